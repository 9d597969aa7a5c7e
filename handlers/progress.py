"""Where the live view of a turn goes: a status line, plain lines, or JSON."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Protocol

from rich.status import Status

from handlers import console, views
from workflows.approvals import ASKING_TOOL, Approval


class Outage(Protocol):
    """Where news go that no turn makes."""

    def now(self, text: str) -> None:
        """What goes on at this moment."""


class Progress(Outage, Protocol):
    """Where the live view goes."""

    def action(self, number: int, text: str) -> None:
        """Claude did the number-th thing of the turn."""

    def question(self, session_id: str, approval: Approval) -> None:
        """A person is asked for leave."""

    def warning(self, text: str) -> None:
        """Something that needs no answer, but a person should know."""


@contextlib.asynccontextmanager
async def live_view(*, as_json: bool) -> AsyncIterator[Progress]:
    """JSON lines on stdout, or a status line on a terminal, or plain lines on stderr."""
    if as_json:
        yield JsonLines()
    elif console.err.is_terminal:
        with console.err.status("sent", spinner="dots") as status:
            yield StatusLine(status)
    else:
        yield PlainLines()


class StatusLine:
    """For a person at a terminal: what was done stays, what goes on is the last line."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def action(self, number: int, text: str) -> None:
        """Print it above the status line."""
        console.err.print(
            f"  {console.printable(text)}", style="cyan", soft_wrap=False, overflow="ellipsis", no_wrap=True
        )

    def now(self, text: str) -> None:
        """Replace the status line."""
        self._status.update(console.printable(text))

    def question(self, session_id: str, approval: Approval) -> None:
        """Print it above the status line, with the commands to copy."""
        _print_question(session_id, approval)

    def warning(self, text: str) -> None:
        """Print it above the status line."""
        console.alert(text)


class PlainLines:
    """For a pipe: one line for each thing done."""

    def action(self, number: int, text: str) -> None:
        """Print it."""
        console.note(text)

    def now(self, text: str) -> None:
        """A line that comes and goes has no place in a file."""

    def question(self, session_id: str, approval: Approval) -> None:
        """Print it, with the commands to copy."""
        _print_question(session_id, approval)

    def warning(self, text: str) -> None:
        """Print it."""
        console.alert(text)


def _print_question(session_id: str, approval: Approval) -> None:
    asks = "asks you" if approval.tool == ASKING_TOOL else "asks for leave"
    console.alert(f"claude {asks} ({approval.approval_id}): {views.asked_for(approval)}")
    for command in views.how_to_answer(session_id, approval):
        console.note(f"  {command}")


class JsonLines:
    """For a program: one JSON line for each thing done."""

    def action(self, number: int, text: str) -> None:
        """Print it."""
        console.event("action", {"number": number, "text": text})

    def now(self, text: str) -> None:
        """The program that reads has no use for it."""

    def question(self, session_id: str, approval: Approval) -> None:
        """Print it with all that an answer needs."""
        console.event("question", {"session_id": session_id, **asdict(approval)})

    def warning(self, text: str) -> None:
        """Print it."""
        console.event("warning", {"text": text})


class Moment:
    """For a conversation: an outage is said when it begins."""

    def __init__(self) -> None:
        self._said = ""

    def now(self, text: str) -> None:
        """Print it, once."""
        if text != self._said:
            console.note(text)
            self._said = text
