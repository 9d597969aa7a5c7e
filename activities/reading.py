"""Reading what a host has of its sessions, for somebody who follows them from wherever they are."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Final

from temporalio import activity

from activities.calls import HostView, JournalLine, JournalPart, ReadJournal
from activities.failures import translated
from activities.host import Host
from activities.pulse import pulsing
from activities.roster import Roster
from claude.journal import Journals
from shim.paths import HostDirectory

# A reader that went away leaves one such wait behind, and no more.
LONGEST_WAIT_SECONDS: Final = 10.0
# Two file statuses, 6 µs by measurement: nothing to a core, and a delay that nobody sees.
LOOK_SECONDS: Final = 0.02
# Two changes within one tick of the file system's clock look like one.
RELOOK_SECONDS: Final = 1.0


class ReadingActivities:
    """The activities of readers, bound to the host they run on; started by clients, not by a workflow."""

    def __init__(self, host: Host, roster: Roster) -> None:
        self._host = host
        self._roster = roster

    @activity.defn
    @translated
    async def read_journal(self, call: ReadJournal) -> JournalPart:
        """Answer with the next part of the journal, at once when there is one."""
        return await pulsing(awaited_part(self._host.directory, call), _details)

    @activity.defn
    async def view_host(self) -> HostView:
        """Answer with what this worker sees of the sessions it follows; another worker of the host follows others."""
        return HostView(
            loads=self._roster.loads, turns_since={name: turn.since for name, turn in self._roster.turns.items()}
        )


async def awaited_part(host: HostDirectory, call: ReadJournal) -> JournalPart:
    """The next part, or after a while the news that there is none."""
    journals = Journals(host.session(call.session_id))
    deadline = time.monotonic() + min(LONGEST_WAIT_SECONDS, call.wait_seconds)
    while True:
        # Taken before reading: what comes later changes them again.
        part, marks = await asyncio.to_thread(_look, journals, call)
        if _is_news(call, part) or time.monotonic() >= deadline:
            return part
        relook = min(deadline, time.monotonic() + RELOOK_SECONDS)
        while journals.marks(part.generation) == marks and time.monotonic() < relook:
            await asyncio.sleep(LOOK_SECONDS)


async def part_here(state: Path, run: Path, call: ReadJournal) -> JournalPart:
    """The same for somebody on the host itself, who needs no worker to read a file."""
    return await awaited_part(HostDirectory(state=state, run=run), call)


def _look(journals: Journals, call: ReadJournal) -> tuple[JournalPart, tuple[int, int]]:
    generation, offset = _place(journals, call)
    marks = journals.marks(generation)
    if not generation:
        return JournalPart(generation=0, offset=0), marks
    is_ended = journals.is_ended(generation)
    lines = journals.lines(generation, offset, is_ended=is_ended)
    part = JournalPart(
        generation=generation,
        offset=lines[-1].end if lines else offset,
        lines=[
            JournalLine(end=line.end, text=line.content.decode("utf-8", "surrogateescape"), cut_bytes=line.cut_bytes)
            for line in lines
        ],
        is_ended=is_ended,
        later=min((known for known in journals.generations() if known > generation), default=0),
    )
    return part, marks


def _place(journals: Journals, call: ReadJournal) -> tuple[int, int]:
    if call.since:
        found = journals.find(call.since.encode())
        if found is not None:
            return found
    known = journals.generations()
    latest = known[-1] if known else 0
    if call.since or call.generation == 0:
        return latest, journals.end(latest) if call.since or call.offset < 0 else call.offset
    generation = min((one for one in known if one >= call.generation), default=0)
    if generation != call.generation:
        return generation, 0
    return generation, journals.end(generation) if call.offset < 0 else call.offset


def _is_news(call: ReadJournal, part: JournalPart) -> bool:
    if not part.generation:
        return False
    is_elsewhere = (part.generation, part.offset) != (call.generation, call.offset)
    return bool(part.lines) or is_elsewhere or part.is_ended != call.is_ended or (part.is_ended and part.later > 0)


def _details() -> dict[str, Any]:
    return {"doing": "waits for claude to write"}
