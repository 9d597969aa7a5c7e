"""Many sessions at one moment, again and again: lists, what Temporal keeps of each, and the sessions themselves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

from temporalio.client import Client, WorkflowExecutionDescription
from temporalio.exceptions import TemporalError

from activities.calls import HostView
from workflows import edge
from workflows.errors import SessionError
from workflows.host_views import HostViews
from workflows.line import Line
from workflows.messages import SessionReport
from workflows.rows import SessionRow, refreshed, rows

T = TypeVar("T")

# More at once only wait for each other, in the server and in the worker.
AT_ONCE: Final = 24
# A session that takes longer to answer has no worker; a list is looked at often.
PATIENCE_SECONDS: Final = 2.0
# What Temporal keeps beside a session that sleeps is all of it; asked, the session would be read from its history.
_WRITTEN_DOWN: Final = ("hibernated", "locked")
# The activities whose heartbeats tell of a process; that of a turn tells more.
_TELLING: Final = ("watch_claude", "send_turn")


@dataclass(frozen=True, kw_only=True)
class Sight:
    """One session at one moment. `load` is what its process's heartbeats said last, `report` its own last answer."""

    row: SessionRow
    report: SessionReport | None = None
    load: Mapping[str, Any] = field(default_factory=dict)
    turn_since: datetime | None = None

    @property
    def questions(self) -> int:
        """How many wait for a person; a session that does not answer has told at least of one."""
        if self.report is not None:
            return len(self.report.approvals)
        return int(self.row.status == "awaiting_approval")


@dataclass(frozen=True, kw_only=True)
class _Process:
    """What is told of a session's process and of the turn it is at."""

    load: Mapping[str, Any] = field(default_factory=dict)
    turn_since: datetime | None = None


@dataclass(kw_only=True)
class _Known:
    """What a session answered, and where its history stood when it was asked."""

    mark: tuple[str | None, int] = (None, -1)
    report: SessionReport | None = None


class Lookout:
    """Looks at sessions as often as one likes: one list, one question to each host, a look at whom neither tells of, and
    a question to the session where history has grown.
    """

    def __init__(self, client: Client, line: Line) -> None:
        self._client = client
        self._line = line
        self._hosts = HostViews(client)
        # Apart: sessions without a worker must not keep anybody from being looked at.
        self._looks = asyncio.Semaphore(AT_ONCE)
        self._questions = asyncio.Semaphore(AT_ONCE)
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def overview(self, *, ended: bool) -> Sequence[SessionRow]:
        """The list with what living sessions say of themselves; those that do not answer in time stay as listed."""
        found = [row async for row in rows(self._client, ended=ended)]
        for row in found:
            if not row.has_ended and not row.is_current and row.status not in _WRITTEN_DOWN:
                self._ask(row.session_id, ("", 0))
        await self._answers(PATIENCE_SECONDS)
        return [refreshed(row, self._report(row)) for row in found]

    async def look(self, chosen: Collection[str] = (), patience: float = PATIENCE_SECONDS) -> list[Sight]:
        """All that live, or the chosen ones, also when they have ended."""
        found = [row async for row in rows(self._client, chosen=chosen)]
        views = asyncio.ensure_future(self._hosts.views({row.host_id for row in found if _runs(row)}))
        visited = await asyncio.gather(*(self._visit(row, views) for row in found))
        await self._answers(patience)
        return [self._sight(row, process) for row, process in zip(found, visited, strict=True)]

    async def close(self) -> None:
        """Ask nobody any more."""
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
        self._asking.clear()
        await self._hosts.close()

    async def _visit(self, row: SessionRow, views: asyncio.Future[dict[str, HostView]]) -> _Process:
        """What its host tells of the session's process, or else what Temporal keeps. Who has more to tell is asked at
        once: the others need not wait.
        """
        description = None
        if _has_more_to_tell(row) and row.session_id not in self._known:
            # Where its history stands only says whether to ask again.
            self._ask(row.session_id, ("", 0))
        elif _has_more_to_tell(row):
            description = await _within(self._looks, partial(self._describe, row))
            if description is not None:
                self._ask(row.session_id, (description.run_id, description.history_length))
        view = (await views).get(row.host_id)
        if view is not None and row.session_id in view.loads:
            since = view.turns_since.get(row.session_id)
            return _Process(
                load=view.loads[row.session_id], turn_since=datetime.fromtimestamp(since, UTC) if since else None
            )
        if description is None:
            description = await _within(self._looks, partial(self._describe, row))
        return _Process() if description is None else await self._pending(description)

    async def _describe(self, row: SessionRow) -> WorkflowExecutionDescription | None:
        if not _runs(row):
            return None
        try:
            return await self._line.describe(row.session_id)
        except SessionError:
            return None

    def _ask(self, session_id: str, mark: tuple[str | None, int]) -> None:
        known = self._known.setdefault(session_id, _Known())
        if known.mark != mark and session_id not in self._asking:
            known.mark = mark
            self._asking[session_id] = asyncio.create_task(
                _within(self._questions, partial(self._take, session_id, known))
            )

    async def _take(self, session_id: str, known: _Known) -> None:
        try:
            known.report = await self._line.query(session_id, edge.STATUS)
        except (SessionError, TemporalError):
            # Nobody answers, or in a language that is not ours: what was known is old, and is asked for again.
            known.mark, known.report = (None, -1), None

    async def _answers(self, patience: float) -> None:
        """Wait for the answers, but not for ever; who answers later is heard the next time."""
        if self._asking:
            await asyncio.wait(self._asking.values(), timeout=patience)
        self._asking = {name: task for name, task in self._asking.items() if not task.done()}

    async def _pending(self, description: WorkflowExecutionDescription) -> _Process:
        """What heartbeats said last, as Temporal keeps it."""
        load: dict[str, Any] = {}
        turn_since = None
        for pending in description.raw_description.pending_activities:
            if pending.activity_type.name not in _TELLING:
                continue
            with contextlib.suppress(TemporalError, ValueError):
                for details in await self._client.data_converter.decode(pending.heartbeat_details.payloads):
                    load |= details
            if pending.activity_type.name == "send_turn":
                turn_since = pending.scheduled_time.ToDatetime(UTC)
        return _Process(load=load, turn_since=turn_since)

    def _sight(self, row: SessionRow, process: _Process) -> Sight:
        report = self._report(row)
        return Sight(row=refreshed(row, report), report=report, load=process.load, turn_since=process.turn_since)

    def _report(self, row: SessionRow) -> SessionReport | None:
        known = self._known.get(row.session_id)
        return known.report if known and not row.has_ended and _has_more_to_tell(row) else None


def _runs(row: SessionRow) -> bool:
    """Nothing runs in a session that is over or sleeps."""
    return not (row.has_ended or (row.is_current and row.status == "hibernated"))


def _has_more_to_tell(row: SessionRow) -> bool:
    """What a person is asked is known to the session only, and so is everything of one whom no list keeps up with."""
    return row.status == "awaiting_approval" or (not row.is_current and row.status not in _WRITTEN_DOWN)


async def _within(room: asyncio.Semaphore, work: Callable[[], Awaitable[T]]) -> T:
    async with room:
        return await work()
