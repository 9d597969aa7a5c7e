"""Sessions in every status at once, as Temporal's list finds them."""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Final, get_args

import pytest
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from activities.calls import PermissionNeeded, SendTurn, TurnStep
from tests.workflow.conftest import Desk, ScriptedHost, answer, gone, parked, until
from workflows import rows
from workflows.approvals import Answer
from workflows.messages import SessionOptions, Status

STATUSES: Final[tuple[Status, ...]] = get_args(Status)
# Shorter than the session is idle before it sleeps.
SLOW: Final = timedelta(seconds=30)


def slow() -> ApplicationError:
    """A start that takes its time."""
    return ApplicationError("not yet", next_retry_delay=SLOW)


def by_text(call: SendTurn) -> TurnStep | ApplicationError:
    """What claude does is said in the message."""
    if call.text == "ask" and not call.asked:
        asks = PermissionNeeded(turn_id=call.turn_id, request_id="r", tool="Bash", input={}, digest="d")
        return TurnStep(permission=asks)
    return answer(call) if call.text == "hello" else parked()


class Crowd:
    """The sessions of one test, each brought into a status and left there."""

    def __init__(self, environment: WorkflowEnvironment, host: ScriptedHost) -> None:
        self._environment = environment
        self._handler = f"crowd-{uuid.uuid4().hex[:6]}"
        self.host = host
        self.desks: dict[Status, Desk] = {}

    def new(self, status: Status, **options: float) -> Desk:
        """Somebody who brings a session into this status."""
        desk = Desk(self._environment, SessionOptions(**options))  # type: ignore[arg-type]
        desk.sessions._opening._handler = self._handler
        self.desks[status] = desk
        return desk

    async def listed(self, query: str) -> set[str]:
        """The sessions of this crowd that fit, by the status they were brought into."""
        names = {desk.handle.id: status for status, desk in self.desks.items()}
        query = f"ClaudeHandler = '{self._handler}' AND {query}"
        return {names[execution.id] async for execution in self._environment.client.list_workflows(query)}

    async def by_status(self) -> dict[str, set[str]]:
        """What the list says of each status."""
        found = {status: await self.listed(f"ClaudeStatus = '{status}'") for status in STATUSES}
        return {status: names for status, names in found.items() if names}

    async def shows_all(self) -> bool:
        """Whether each session is found by the status it was brought into, and by no other."""
        return await self.by_status() == {status: {status} for status in self.desks}


@pytest.fixture
async def crowd(environment: WorkflowEnvironment, host: ScriptedHost) -> AsyncIterator[Crowd]:
    """Nobody yet; whoever came is gone at the end."""
    host.script = by_text
    crowd = Crowd(environment, host)
    yield crowd
    for desk in crowd.desks.values():
        with contextlib.suppress(Exception):
            await desk.handle.terminate()


async def stopped(crowd: Crowd) -> None:
    desk = crowd.new("stopped")
    await desk.open()
    await desk.sessions.stop(desk.session_id)


async def failed(crowd: Crowd) -> None:
    crowd.host.dies(6)
    desk = crowd.new("failed")
    await desk.open()
    await desk.until(lambda: len(crowd.host.stops) == 2)
    await desk.reaches("failed")


async def ready(crowd: Crowd) -> None:
    desk = crowd.new("ready")
    await desk.open()
    for _ in range(3):
        await desk.turn(await desk.send("hello"))


async def busy(crowd: Crowd) -> None:
    desk = crowd.new("busy")
    await desk.open()
    await desk.send("work")
    await desk.reaches("busy")


async def awaiting_approval(crowd: Crowd) -> None:
    desk = crowd.new("awaiting_approval")
    await desk.open()
    await desk.send("ask")
    await desk.reaches("awaiting_approval")


async def hibernated(crowd: Crowd) -> None:
    desk = crowd.new("hibernated", idle_seconds=60.0)
    await desk.open()
    await desk.skip(timedelta(seconds=61))
    await desk.reaches("hibernated")


async def restarting(crowd: Crowd) -> None:
    crowd.host.dies(1, after=timedelta(seconds=1))
    desk = crowd.new("restarting")
    await desk.open()
    crowd.host.start_failures.append(parked())
    await desk.until(lambda: not crowd.host.start_failures)
    await desk.reaches("restarting")


async def starting(crowd: Crowd) -> None:
    desk = crowd.new("starting")
    crowd.host.start_failures.append(parked())
    await desk.sessions.open("/project", session_id=desk.session_id)
    await desk.until(lambda: not crowd.host.start_failures)


async def host_lost(crowd: Crowd) -> None:
    desk = crowd.new("host_lost", host_away_seconds=1.0)
    queues = crowd.host.queue, crowd.host.watch_queue
    crowd.host.queue, crowd.host.watch_queue = "claude-host-nobody", "claude-host-nobody-watch"
    await desk.open()
    crowd.host.queue, crowd.host.watch_queue = queues
    await desk.reaches("host_lost")


async def stopping(crowd: Crowd) -> None:
    desk = crowd.new("stopping")
    await desk.open()
    crowd.host.is_deaf = True
    await desk.handle.signal("stop")
    await desk.reaches("stopping")


# In this order: the last one leaves a host that stops nobody.
STEPS: Final[tuple[Callable[[Crowd], Awaitable[None]], ...]] = (
    *(stopped, failed, ready, busy, awaiting_approval, hibernated, restarting, starting, host_lost, stopping),
)


async def test_a_list_finds_exactly_the_sessions_of_a_status(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """One session after the other is brought into a status; each time every status finds who is in it, and nobody else."""
    for step in STEPS:
        await step(crowd)
        async with asyncio.timeout(30):
            while not await crowd.shows_all():
                await asyncio.sleep(0.05)

    assert set(crowd.desks) == set(STATUSES)
    assert await crowd.by_status() == {status: {status} for status in STATUSES}
    assert await crowd.listed("ClaudeTurns = 3 AND ClaudeCostUsd = 0.75 AND ClaudeHost = 'here'") == {"ready"}
    assert await crowd.listed("ClaudeHost IS NULL") == {"starting"}
    assert await crowd.listed("ExecutionStatus != 'Running'") == {"stopped", "failed"}
    assert await crowd.listed('ClaudeStatus IN ("busy", "awaiting_approval")') == {"busy", "awaiting_approval"}
    # However many pages it comes in.
    monkeypatch.setattr(rows, "PAGE", 3)
    names = {desk.session_id: status for status, desk in crowd.desks.items()}
    listed = [row async for row in crowd.desks["ready"].sessions.list(ended=True)]
    shown = {names[row.session_id]: row.status for row in listed if row.session_id in names}
    assert shown == {status: status for status in STATUSES}
    assert len({row.session_id for row in listed}) == len(listed)


async def test_a_list_follows_a_session_through_its_life(crowd: Crowd) -> None:
    """One session goes from one status to the next, and the list finds it by the newest alone."""
    desk, host = crowd.new("ready", idle_seconds=60.0), crowd.host
    seen: list[Status] = []

    async def found_by(status: Status) -> None:
        async with asyncio.timeout(30):
            while await crowd.by_status() != {status: {"ready"}}:
                await asyncio.sleep(0.05)
        seen.append(status)

    host.start_failures.append(slow())
    await desk.sessions.open("/project", session_id=desk.session_id)
    await found_by("starting")
    await desk.skip(SLOW)
    await found_by("ready")
    host.script = lambda call: by_text(call) if host.may_end else host.busy()
    host.may_end = False
    turn = await desk.send("ask")
    await found_by("busy")
    host.may_end = True
    await found_by("awaiting_approval")
    host.script = lambda call: answer(call) if host.answers else host.busy()
    await desk.sessions.resolve(desk.session_id, Answer(approval_id="a1", decision="deny"))
    await desk.turn(turn)
    await found_by("ready")
    await desk.skip(timedelta(seconds=61))
    await found_by("hibernated")
    host.dies(1, after=timedelta(seconds=2))
    host.start_failures.append(slow())
    await desk.send("hello")
    await found_by("starting")
    host.script = lambda _: gone()
    started = len(host.starts)
    await desk.skip(SLOW)
    await until(lambda: len(host.starts) > started)
    host.start_failures.append(slow())
    await found_by("restarting")
    host.script = answer
    await desk.skip(SLOW)
    await found_by("ready")
    host.is_deaf = True
    await desk.handle.signal("stop")
    await found_by("stopping")
    host.is_deaf = False
    await found_by("stopped")

    assert Counter(seen) == Counter(
        {status: 1 for status in STATUSES if status not in ("failed", "host_lost")}
    ) + Counter(starting=1, ready=2)


def documented() -> list[str]:
    """The queries of the guide to the Web UI."""
    guide = (Path(__file__).parents[2] / "docs" / "web-ui.md").read_text()
    return re.findall(r"^\| `(Claude.+)` \| .+ \|$", guide.partition("Queries worth saving")[2], re.MULTILINE)


@pytest.mark.parametrize("query", documented())
async def test_a_query_of_the_guide_is_one(client: Client, query: str) -> None:
    """The server takes what the guide says to type."""
    counted = await client.count_workflows(query)

    assert counted.count >= 0
