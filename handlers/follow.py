"""The live view of a turn: what claude does, each thing once, until there is a result."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from typing import Any, Final, Protocol

from rich.status import Status

from handlers import choices, console, views
from workflows.approvals import Approval
from workflows.client import Sessions
from workflows.errors import NoServer, NoWorker, SessionError
from workflows.messages import TurnReport

# Heartbeats bring news about once a second; looking more often shows nothing new.
_LOOK_SECONDS: Final = 0.5
# One wait for the turn, so that an outage is told from a long turn.
_WAIT_SECONDS: Final = 15.0
# A worker that is redeployed, or a server that restarts, is back by then; the turn goes on in any case.
_OUTAGE_SECONDS: Final = 120.0


class Progress(Protocol):
    """Where the live view goes."""

    def action(self, number: int, text: str) -> None:
        """Claude did the number-th thing of the turn."""

    def now(self, text: str) -> None:
        """What goes on at this moment."""

    def question(self, session_id: str, approval: Approval) -> None:
        """A person is asked for leave."""

    def warning(self, text: str) -> None:
        """Something that needs no answer, but a person should know."""


async def follow(sessions: Sessions, session_id: str, turn_id: str, progress: Progress) -> TurnReport:
    """Show what claude does until the turn has ended, whatever became of it; outlasts a short loss of the worker."""
    showing = [
        asyncio.create_task(_show(sessions, session_id, turn_id, progress)),
        asyncio.create_task(_show_questions(sessions, session_id, progress)),
    ]
    try:
        return await _outcome(sessions, session_id, turn_id, progress)
    finally:
        for task in showing:
            task.cancel()
        for ended in await asyncio.gather(*showing, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


async def _outcome(sessions: Sessions, session_id: str, turn_id: str, progress: Progress) -> TurnReport:
    answered_at = time.monotonic()
    while True:
        try:
            report = await sessions.wait_turn(session_id, turn_id, _WAIT_SECONDS)
        except (NoWorker, NoServer) as error:
            if time.monotonic() - answered_at > _OUTAGE_SECONDS:
                raise
            progress.now(f"{error} (the turn goes on)")
            await asyncio.sleep(_LOOK_SECONDS)
            continue
        answered_at = time.monotonic()
        if report.state not in ("queued", "running"):
            return report


async def _show(sessions: Sessions, session_id: str, turn_id: str, progress: Progress) -> None:
    shown = 0
    while True:
        with contextlib.suppress(SessionError):
            details = await sessions.doing(session_id)
            if details.get("turn_id", turn_id) != turn_id:
                progress.now("waits for its turn")
            else:
                shown = _show_actions(details, shown, progress)
                progress.now(_moment(details))
        await asyncio.sleep(_LOOK_SECONDS)


async def _show_questions(sessions: Sessions, session_id: str, progress: Progress) -> None:
    """Each question and each new warning once; those of a turn before ours keep ours waiting too."""
    shown: set[str] = set()
    old_warnings: set[str] | None = None
    while True:
        # Asked apart from what claude does: without a worker this takes long to fail.
        with contextlib.suppress(SessionError):
            report = await sessions.status(session_id)
            old_warnings = set(report.warnings) if old_warnings is None else old_warnings
            for warning in report.warnings:
                if warning not in old_warnings:
                    progress.warning(warning)
            old_warnings.update(report.warnings)
            for approval in report.approvals:
                if approval.approval_id not in shown:
                    progress.question(session_id, approval)
                    shown.add(approval.approval_id)
        await asyncio.sleep(_LOOK_SECONDS)


def _show_actions(details: Mapping[str, Any], shown: int, progress: Progress) -> int:
    for number, text in details.get("actions", []):
        if number > shown:
            progress.action(number, text)
            shown = number
    return shown


def _moment(details: Mapping[str, Any]) -> str:
    if not details:
        return "sent"
    figures = f"{details.get('turn_seconds', 0):.0f} s · pid {details.get('pid')} · {details.get('rss_mb', 0):.0f} MB"
    return f"{details.get('doing') or 'thinks'} ({figures})"


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
    asks = "asks you" if approval.tool == choices.ASKING_TOOL else "asks for leave"
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
