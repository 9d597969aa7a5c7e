"""The live view of a turn: what claude does, each thing once, until there is a result."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any, Final

from claude import protocol
from claude.events import Event, TurnResult
from claude.identity import continued_id, message_id
from claude.turn import TurnReader
from handlers.progress import Outage, Progress
from handlers.telling import as_bytes
from workflows.client import Sessions
from workflows.ending import OPEN, Asked
from workflows.errors import NoServer, NoWorker, SessionError
from workflows.messages import TurnReport

# Heartbeats bring news about once a second; looking more often shows nothing new.
_LOOK_SECONDS: Final = 0.5
# One wait for the turn, so that an outage is told from a long turn.
_WAIT_SECONDS: Final = 15.0
# A worker that is redeployed, or a server that restarts, is back by then; the turn goes on in any case.
_OUTAGE_SECONDS: Final = 120.0
# The turn's end is known: what was written before it is milliseconds away, or its host is.
_DRAIN_SECONDS: Final = 2.0


async def follow(
    sessions: Sessions, session_id: str, turn_id: str, progress: Progress, asked: Asked | None = None
) -> TurnReport:
    """Show what claude does until the turn has ended, whatever became of it; outlasts a short loss of the worker."""
    stream = Stream(sessions, session_id, turn_id, progress)
    showing = [
        asyncio.create_task(stream.show()),
        asyncio.create_task(_show_questions(sessions, session_id, progress)),
    ]
    try:
        report = await outcome(sessions, session_id, turn_id, progress, asked)
        # A turn that claude never saw, since a part of its message could not be sent, is in no journal.
        if report.ended is not None and report.ended.generation and stream.is_live:
            await asyncio.wait(showing[:1], timeout=_DRAIN_SECONDS)
        return report
    finally:
        for task in showing:
            task.cancel()
        for ended in await asyncio.gather(*showing, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


class Stream:
    """What claude does in one turn: from its journal, or where that cannot be followed from heartbeats."""

    def __init__(self, sessions: Sessions, session_id: str, turn_id: str, progress: Progress) -> None:
        self._sessions = sessions
        self._session_id = session_id
        self._turn_id = turn_id
        self._progress = progress
        self._reader = TurnReader(message_id(session_id, turn_id))
        self._held: tuple[int, str] | None = None
        self._shown = 0
        self._generation = 0
        self._since = time.monotonic()
        self.is_live = True
        """Its end is the end of the turn in the journal."""

    async def show(self) -> None:
        """Show it until the turn's end is read; from heartbeats, for ever."""
        ticking = asyncio.create_task(self._tick())
        try:
            await self._show_journal()
        except SessionError:
            self.is_live = False
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
        if not self.is_live:
            await _show_heartbeats(self._sessions, self._session_id, self._turn_id, self._progress, self._shown)

    async def _show_journal(self) -> None:
        since = self._reader.message_uuid
        async with contextlib.aclosing(self._sessions.journal(self._session_id, since=since, follow=True)) as lines:
            async for line in lines:
                if self._generation not in (0, line.generation):
                    # The next claude takes the message up in its own way.
                    self._read_anew(since)
                self._generation = line.generation
                for event in protocol.parse(as_bytes(line.text)):
                    if self._take(event):
                        return

    def _take(self, event: Event) -> bool:
        """Show what the event adds; says whether the turn ends with it."""
        began = bool(self._reader.doing)
        outcome = self._reader.feed(event)
        if self._reader.is_echo_only:
            # A resumed claude that has the message in its transcript: the host gets it going under another name.
            self._read_anew(continued_id(self._session_id, self._turn_id, self._generation))
        if not began and self._reader.doing:
            self._since = time.monotonic()
        if isinstance(outcome, TurnResult):
            if outcome.is_error and self._held is not None:
                self._progress.action(*self._held)
            return True
        self._show_latest()
        return False

    def _read_anew(self, message: str) -> None:
        self._reader, self._shown, self._held = TurnReader(message), 0, None

    def _show_latest(self) -> None:
        """What claude says last is its answer, which is not shown twice: so what it says is held until more comes."""
        if not self._reader.actions or self._reader.actions[-1][0] <= self._shown:
            return
        number, text = self._reader.actions[-1]
        self._shown = number
        if self._held is not None:
            self._progress.action(*self._held)
        self._held = (number, text) if text.startswith("writes: ") else None
        if self._held is None:
            self._progress.action(number, text)

    async def _tick(self) -> None:
        while True:
            doing = self._reader.doing
            seconds = time.monotonic() - self._since
            self._progress.now(f"{doing} ({seconds:.0f} s)" if doing else "waits for its turn")
            await asyncio.sleep(_LOOK_SECONDS)


async def outcome(
    sessions: Sessions, session_id: str, turn_id: str, progress: Outage, asked: Asked | None = None
) -> TurnReport:
    """Return when the turn has ended, whatever became of it; outlasts a short loss of the worker.

    Who has asked hears of the end of a short turn at once, and looks for that of a long one like everybody.
    """
    if asked is not None:
        # What keeps the session from answering is found, and told, below.
        with contextlib.suppress(SessionError):
            if (report := await asked.report()).state not in OPEN:
                return report
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
        if report.state not in OPEN:
            return report


async def _show_heartbeats(
    sessions: Sessions, session_id: str, turn_id: str, progress: Progress, shown: int = 0
) -> None:
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
