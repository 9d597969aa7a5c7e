"""A session's journal, read from anywhere: by standalone activities on its host, which no history remembers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from temporalio.client import ActivityFailureError, Client, WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.calls import JournalPart, ReadJournal
from workflows.errors import CALL_ERRORS, NoServer, NotLive, NoWorker, SessionError, explain
from workflows.line import Line
from workflows.standalone import Standalone

# Longer waits would keep a place on the host for a reader that has gone; shorter ones only cost more calls.
POLL_SECONDS: Final = 10.0
# Each call costs some 20 ms of processor time on all sides together, and a busy claude writes a line every few: lines
# that come closer together than this travel together. The first one after a silence does not wait.
PACE_SECONDS: Final = 0.08
# Who reads what was written long ago does not wait either.
BACKLOG_CHARACTERS: Final = 100_000
# A process that has ended is followed by another one or by the end of its session, mostly at once.
ENDED_POLL_SECONDS: Final = 1.0
# A worker that is up takes a read in milliseconds, unless all places are taken.
TAKEN_SECONDS: Final = 5.0
ANSWER_MARGIN_SECONDS: Final = 30.0
# A worker that is redeployed, or a server that restarts, is back by then.
OUTAGE_SECONDS: Final = 120.0
PAUSE_SECONDS: Final = 0.2


@dataclass(frozen=True, kw_only=True)
class Here:
    """The host that this program runs on, and where it keeps its sessions."""

    host_id: str
    state: Path
    run: Path


@dataclass(frozen=True, kw_only=True)
class Written:
    """One line that claude wrote, with the offset after it. A line of `cut_bytes` was too long and is shortened."""

    generation: int
    end: int
    text: str
    cut_bytes: int = 0


class JournalReader:
    """Reads the journals of sessions, wherever they run."""

    def __init__(self, client: Client, line: Line, here: Here | None) -> None:
        self._standalone = Standalone(client)
        self._line = line
        self._here = here
        self._reads_files = False
        self._hosts: dict[str, str] = {}

    async def lines(self, place: ReadJournal, *, follow: bool) -> AsyncGenerator[Written, None]:
        """Lines from a place on; with `follow` also those to come, until the session is over and all is read."""
        is_over = not follow
        try:
            while True:
                asked_at = time.monotonic()
                part = await self._patiently(
                    replace(place, wait_seconds=0.0 if is_over else _patience(place)), follow=follow
                )
                for line in part.lines:
                    yield Written(generation=part.generation, end=line.end, text=line.text, cut_bytes=line.cut_bytes)
                place = _next(place, part)
                if part.lines or (part.is_ended and part.later):
                    if sum(len(line.text) for line in part.lines) < BACKLOG_CHARACTERS:
                        await asyncio.sleep(asked_at + PACE_SECONDS - time.monotonic())
                    continue
                if is_over:
                    return
                is_over = await self._is_over(place.session_id)
        finally:
            await self._standalone.settle()

    async def end(self, session_id: str) -> tuple[int, int]:
        """The latest generation, 0 for none yet, and where its last whole line ends."""
        try:
            part = await self._part(ReadJournal(session_id=session_id, offset=-1))
        finally:
            await self._standalone.settle()
        return part.generation, part.offset

    async def _patiently(self, call: ReadJournal, *, follow: bool) -> JournalPart:
        """A follower outlasts a short loss of the worker or the server."""
        give_up = time.monotonic() + OUTAGE_SECONDS
        while True:
            try:
                return await self._part(call)
            except (NoWorker, NoServer):
                self._hosts.pop(call.session_id, None)
                if not follow or time.monotonic() > give_up:
                    raise
            await asyncio.sleep(PAUSE_SECONDS)

    async def _part(self, call: ReadJournal) -> JournalPart:
        host_id = await self._host_of(call.session_id)
        if not host_id:
            # No host has taken the session yet.
            await asyncio.sleep(min(PAUSE_SECONDS, call.wait_seconds))
            return JournalPart(generation=0, offset=0)
        if not self._reads_files:
            try:
                return await self._asked(host_id, call)
            except (NoWorker, NotLive):
                if self._here is None or self._here.host_id != host_id:
                    raise
        # It needs what a worker needs, which is loaded only where no worker answers.
        from activities.reading import part_here

        assert self._here is not None
        self._reads_files = True
        return await part_here(self._here.state, self._here.run, call)

    async def _asked(self, host_id: str, call: ReadJournal) -> JournalPart:
        seconds = call.wait_seconds + ANSWER_MARGIN_SECONDS
        try:
            return await self._standalone.ask(
                host_id, "read_journal", call, answer=JournalPart, taken_seconds=TAKEN_SECONDS, seconds=seconds
            )
        except (TimeoutError, ActivityFailureError, *CALL_ERRORS) as error:
            raise _explained(error, host_id, call.session_id) from error

    async def _host_of(self, session_id: str) -> str:
        """The host that has the session; empty as long as none has."""
        if not self._hosts.get(session_id):
            description = await self._line.describe(session_id)
            self._hosts[session_id] = str((await description.memo()).get("host", ""))
        return self._hosts[session_id]

    async def _is_over(self, session_id: str) -> bool:
        status = (await self._line.describe(session_id)).status
        return status not in (WorkflowExecutionStatus.RUNNING, None)


def _patience(place: ReadJournal) -> float:
    return ENDED_POLL_SECONDS if place.is_ended else POLL_SECONDS


def _next(place: ReadJournal, part: JournalPart) -> ReadJournal:
    """Where to read on: after what came, or at the beginning of what follows an ended process."""
    if not part.generation:
        return place
    if part.is_ended and part.later and not part.lines:
        return replace(place, generation=part.later, offset=0, since="", is_ended=False)
    return replace(place, generation=part.generation, offset=part.offset, since="", is_ended=part.is_ended)


def _explained(error: Exception, host_id: str, session_id: str) -> SessionError:
    if isinstance(error, RPCError) and error.status == RPCStatusCode.UNIMPLEMENTED:
        return NotLive(
            "this Temporal server has no standalone activities (they come with server 1.31), so a journal can only be "
            f"read on its own host, {host_id}"
        )
    if isinstance(error, ActivityFailureError) and isinstance(error.cause, ApplicationError):
        return SessionError(f"the journal could not be read: {error.cause.message}")
    if isinstance(error, ActivityFailureError | TimeoutError):
        return NoWorker(f"no worker of host {host_id} answered: start one there with `python worker.py`")
    return explain(error, session_id)
