"""`logs`: what claude wrote, as a person reads it or as it is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import select
from collections import deque
from dataclasses import dataclass
from typing import Final, TypedDict

from claude.identity import message_id
from handlers import console, naming
from handlers.connection import session_named
from handlers.failure import REFUSED, CommandFailed
from handlers.telling import Item, Teller, as_bytes, as_lines
from workflows.client import Sessions
from workflows.reading import Written

# `| head` has what it wanted and is gone; nobody minds a second.
_LOOK_SECONDS: Final = 1.0
STYLES: Final = {
    "asked": "bold",
    "tool": "cyan",
    "answer": "dim",
    "question": "bold yellow",
    "waiting": "yellow",
    "result": "dim",
    "restart": "yellow",
}


class Place(TypedDict, total=False):
    """Where in a session's journal to begin."""

    generation: int
    offset: int
    since: str


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What of a journal is to be shown, and how."""

    follow: bool = False
    raw: bool = False
    lines: int | None = None
    since_turn: str = ""
    generation: int | None = None
    as_json: bool = False


async def logs(name: str, wanted: Wanted) -> None:
    """Show a session's journal; with `follow` until the session is over."""
    naming.check_text(wanted.since_turn, "the turn's id")
    sessions, session_id = await session_named(name, ended=True)
    showing = asyncio.create_task(_show(sessions, session_id, wanted))
    watching = asyncio.create_task(_reader_gone())
    try:
        await asyncio.wait([showing, watching], return_when=asyncio.FIRST_COMPLETED)
        if showing.done():
            showing.result()
    finally:
        for task in (showing, watching):
            task.cancel()
        await asyncio.gather(showing, watching, return_exceptions=True)


async def _show(sessions: Sessions, session_id: str, wanted: Wanted) -> None:
    teller = Teller()
    printed = _Printer(wanted)
    place = await _first(sessions, session_id, wanted)
    kept: deque[Item | Written] = deque(maxlen=wanted.lines)
    take = printed.show if wanted.lines is None else kept.append
    # All that is there already first: which lines are the last ones is known only then.
    for follow in (False, True)[: 2 if wanted.follow else 1]:
        async with contextlib.aclosing(sessions.journal(session_id, **place, follow=follow)) as lines:
            async for line in lines:
                place = Place(generation=line.generation, offset=line.end)
                for one in [line] if wanted.raw else teller.tell(line):
                    take(one)
        for one in kept:
            printed.show(one)
        kept.clear()
        take = printed.show


async def _first(sessions: Sessions, session_id: str, wanted: Wanted) -> Place:
    """Where to begin; CommandFailed when there is no such place."""
    if wanted.since_turn:
        place = Place(since=message_id(session_id, wanted.since_turn))
        missing = f"no turn {wanted.since_turn!r} is in the journal of session {session_id!r}"
    elif wanted.generation is not None:
        place = Place(generation=wanted.generation)
        missing = f"session {session_id!r} has no journal of process {wanted.generation}"
    else:
        return Place(generation=1)
    async with contextlib.aclosing(sessions.journal(session_id, **place)) as lines:
        async for line in lines:
            if line.generation == place.get("generation", line.generation):
                return place
            break
    raise CommandFailed(missing, REFUSED)


class _Printer:
    """Shows items or lines at once, in the form that is wanted."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted

    def show(self, one: Item | Written) -> None:
        """Print it."""
        if isinstance(one, Written):
            console.raw(as_bytes(_marked(one)))
        elif self._wanted.as_json:
            console.event(one.kind, one.document())
        else:
            print_item(one)


def print_item(item: Item) -> None:
    """Show one item to a person."""
    style = "red" if item.is_error else STYLES.get(item.kind, "")
    console.lines(as_lines(item), style)


def _marked(line: Written) -> str:
    """The line; one that was shortened and is no JSON says so after its beginning."""
    if not line.cut_bytes or line.text.startswith("{"):
        return line.text
    return json.dumps({"type": "unreadable", "head": line.text, "cut_bytes": line.cut_bytes})


async def _reader_gone() -> None:
    """Return when nobody reads our output any more; a file and a terminal never come to that."""
    poll = select.poll()
    with contextlib.suppress(OSError, ValueError):
        poll.register(console.out.file.fileno(), 0)
        while not any(seen & (select.POLLERR | select.POLLNVAL) for _, seen in poll.poll(0)):
            await asyncio.sleep(_LOOK_SECONDS)
        return
    await asyncio.Event().wait()
