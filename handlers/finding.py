"""Which session is meant: by its id, by the beginning of one, or by the directory it works in."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from handlers import naming
from workflows.client import Sessions
from workflows.errors import Refused, SessionEnded, SessionNotFound
from workflows.line import known
from workflows.rows import SessionRow

# More names than this in a sentence help nobody.
_NAMED: Final = 5


def check(name: str) -> None:
    """Refuse a name that can be neither an id nor a directory, before anybody is asked."""
    naming.check_text(name, "the session's name")
    if not is_directory(name):
        known(name)


def is_directory(name: str) -> bool:
    """Whether it is written as a path: `.`, `./x`, `~/x`, `/x`. A bare `x` is an id first."""
    return name in (".", "..", "~") or "/" in name


async def find(sessions: Sessions, name: str, *, ended: bool = False) -> str:
    """The id of the session that is meant. A directory means the only one that lives there, or with `ended` also the
    newest that lived there.
    """
    if is_directory(name):
        return await _in_directory(sessions, name, ended=ended)
    try:
        # No list: a session that was opened just now may not be in it yet.
        await sessions.doing(name)
    except SessionNotFound:
        if found := await _by_beginning(sessions, name):
            return found
        if not resolved(name).is_dir():
            raise
        return await _in_directory(sessions, name, ended=ended)
    return name


async def _by_beginning(sessions: Sessions, beginning: str) -> str | None:
    """The only session whose id begins so; living ones come first."""
    rows = [row async for row in sessions.list(ended=True, beginning=beginning)]
    fitting = [row for row in rows if not row.has_ended] or rows
    if len(fitting) > 1:
        raise Refused(f"{beginning!r} fits {len(fitting)} sessions ({_some(fitting)}): give more of the id")
    return _readable(fitting[0]) if fitting else None


async def _in_directory(sessions: Sessions, name: str, *, ended: bool) -> str:
    place = resolved(name)
    living = [row async for row in sessions.list() if is_in(row, place)]
    if len(living) > 1:
        raise Refused(f"{len(living)} sessions live in {str(place)!r} ({_some(living)}): name one of them")
    if living:
        return living[0].session_id
    over = [row async for row in sessions.list(ended=True) if is_in(row, place)]
    if not over:
        raise SessionNotFound(
            f"no session works in {str(place)!r}: `durable-claude ls` shows where they do, "
            "`durable-claude start PATH` opens one"
        )
    if not ended:
        raise SessionEnded(
            f"no session lives in {str(place)!r}, and {over[0].session_id!r} there is {over[0].status}: "
            f"`durable-claude start {shlex.quote(name)}` opens another one"
        )
    return over[0].session_id


def _readable(row: SessionRow) -> str:
    if row.status == "locked":
        raise Refused(row.note)
    return row.session_id


def resolved(name: str) -> Path:
    """The directory as its host will have it: absolute, and without symlinks."""
    return Path(os.path.realpath(Path(name).expanduser() if name.startswith("~/") or name == "~" else name))


def is_in(row: SessionRow, place: Path) -> bool:
    """Whether the session works in this directory. A session's path is kept as it was typed."""
    return bool(row.project_path) and resolved(row.project_path) == place


def _some(rows: Sequence[SessionRow]) -> str:
    return ", ".join(row.session_id for row in rows[:_NAMED]) + (", …" if len(rows) > _NAMED else "")
