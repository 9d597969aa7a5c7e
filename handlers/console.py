"""Where commands print: results to stdout, all about them to stderr, colour only where a person looks."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any, Final

from rich.console import Console

from handlers.failure import INTERNAL


class _Console(Console):
    """Rich ends the process with 1 when nobody reads on; whether that is an error is not for it to say."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


# Rich decides about colour: none in a pipe, none with NO_COLOR. What claude or a person wrote is never markup.
out: Final = _Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
err: Final = _Console(highlight=False, markup=False, emoji=False, soft_wrap=True, stderr=True)


def result(text: str) -> None:
    """The thing that was asked for, to stdout."""
    if out.is_terminal:
        out.print(printable(text))
    else:
        # Rich would make spaces of tabs, and `cut -f` wants tabs.
        out.file.write(printable(text) + "\n")


def note(text: str) -> None:
    """Something about it, to stderr."""
    err.print(printable(text), style="dim")


def alert(text: str) -> None:
    """Something that a person should not overlook, to stderr."""
    err.print(printable(text), style="bold yellow")


def problem(sentence: str) -> None:
    """What went wrong and what to do, to stderr."""
    err.print(printable(sentence), style="red")


def lines(texts: Sequence[str], style: str = "") -> None:
    """Lines of something that goes on, to stdout, at once."""
    for text in texts:
        if out.is_terminal:
            out.print(printable(text), style=style)
        else:
            out.file.write(printable(text) + "\n")
    out.file.flush()


def raw(line: bytes) -> None:
    """A line as it is, to stdout, at once; a terminal gets only what it may print."""
    if out.is_terminal:
        lines([line.decode("utf-8", "replace")])
        return
    out.file.flush()
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def document(value: Any) -> None:
    """One JSON document on one line of stdout, at once."""
    out.file.write(json.dumps(value, default=_plain, ensure_ascii=False) + "\n")
    out.file.flush()


def event(kind: str, value: Any) -> None:
    """One JSON line of a command that follows something; `event` says what the line is about."""
    document({"event": kind, **(asdict(value) if is_dataclass(value) and not isinstance(value, type) else value)})


def printable(text: str) -> str:
    """The text without what a terminal would obey: claude repeats what it reads, and files may hold anything."""
    text = text.encode("utf-8", "replace").decode()
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def flush() -> int:
    """Empty both streams; says whether the reader of our output took it all."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return INTERNAL
    return 0


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
