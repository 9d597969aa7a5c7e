"""Random sessions on a real server against the promises, as a model that a person could keep on paper.

A scenario is a list of steps that one person takes with one session; several sessions share a host, and the workers of
the host and of the workflows may be replaced at any moment. `--runs` says how many; a failure prints the scenario.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from runtime.query_guard import QueryGuard
from tests.workflow.conftest import named
from tests.workflow.person import LOSSES, SCENARIOS, Person, Scenario, verdict
from tests.workflow.simulated import Claude, SimulatedHost
from worker import STICKY
from workflows.approvals import Answer, Approvals
from workflows.client import Sessions
from workflows.courier import CourierWorkflow
from workflows.life import SessionLife
from workflows.messages import SHARED_QUEUE, Message, OpenSession, SessionOptions, workflow_id
from workflows.session import SessionWorkflow
from workflows.turns import Turns

# So many sessions at once keep the server busy without making anybody wait.
TOGETHER = 10
PATIENCE_SECONDS = 90.0


@contextlib.asynccontextmanager
async def working(client: Client, host: SimulatedHost) -> AsyncIterator[Callable[[str], Any]]:
    """All workers; the yielded function replaces those of one kind."""

    def make(kind: str) -> list[Worker]:
        if kind == "workflows":
            # Nothing here is imported anew for each workflow: the mutants below must be the ones that run.
            guard = QueryGuard()
            guard.worker = named(
                client,
                SHARED_QUEUE,
                workflows=[SessionWorkflow, CourierWorkflow],
                activities=[host.start],
                workflow_runner=guard,
                sticky_queue_schedule_to_start_timeout=STICKY,
            )
            return [guard.worker]
        control: list[Callable[..., Any]] = [host.start, host.answer, host.interrupt, host.stop]
        return [
            named(client, host.queue, activities=control, max_concurrent_activities=1000),
            named(client, host.watch_queue, activities=[host.watch, host.send], max_concurrent_activities=1000),
        ]

    alive: dict[str, contextlib.AsyncExitStack] = {}

    async def renew(kind: str) -> None:
        if kind in alive:
            await alive.pop(kind).aclose()
        alive[kind] = contextlib.AsyncExitStack()
        for worker in make(kind):
            await alive[kind].enter_async_context(worker)

    for kind in ("workflows", "host"):
        await renew(kind)
    try:
        yield renew
    finally:
        for stack in alive.values():
            await stack.aclose()


async def play(client: Client, scenarios: list[Scenario], losses: list[tuple[str, int]]) -> None:
    """Several sessions at once, while workers come and go."""
    host = SimulatedHost(uuid.uuid4().hex[:8])
    async with working(client, host) as renew, asyncio.timeout(PATIENCE_SECONDS):
        async with asyncio.TaskGroup() as group:
            for scenario in scenarios:
                group.create_task(live(client, host, scenario))
            for kind, moment in losses:
                await asyncio.sleep(0.1 * moment)
                await renew(kind)


async def live(client: Client, host: SimulatedHost, scenario: Scenario) -> None:
    """One session from its start to the verdict."""
    options = SessionOptions(
        history_limit=scenario.history_limit,
        idle_seconds=scenario.idle_seconds,
        approval_seconds=scenario.approval_seconds,
        restart_limit=1000,
        heartbeat_timeout_seconds=30,
    )
    session_id = f"promise-{uuid.uuid4().hex[:8]}"
    person = Person(Sessions(client, options), session_id, client)
    claude = host.claudes[session_id] = Claude()
    await person.sessions.open("/project", session_id=session_id)
    try:
        for step in scenario.steps:
            await person.take(step, claude)
        await person.finish(scenario.ending, claude)
        await verdict(person, claude, scenario.ending)
    finally:
        await person.leave()
        # A session that breaks its promises lives on, and the next test's workers would get its steps.
        with contextlib.suppress(RPCError):
            await client.get_workflow_handle(workflow_id(session_id)).terminate("the test is over")


def search(environment: WorkflowEnvironment, runs: int, *, chance: int = 0, **more: Any) -> int:
    """Play random scenarios and return how many; the one that breaks a promise is made small and shown."""
    kept = 0
    # A loop of its own: hypothesis calls plain functions only.
    loop = asyncio.new_event_loop()

    @seed(chance)
    @settings(
        max_examples=max(1, runs // TOGETHER),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )
    @given(st.lists(SCENARIOS, min_size=TOGETHER, max_size=TOGETHER), LOSSES)
    def played(scenarios: list[Scenario], losses: list[tuple[str, int]]) -> None:
        nonlocal kept
        loop.run_until_complete(play(environment.client, scenarios, losses))
        kept += len(scenarios)

    try:
        played()
    finally:
        loop.close()
    return kept


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead claude is brought back at once."""
    monkeypatch.setattr("workflows.restarts.FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("workflows.restarts.LONGEST_PAUSE_SECONDS", 0.02)


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("quarter", range(4))
def test_promises_hold_in_random_sessions(
    environment: WorkflowEnvironment, request: pytest.FixtureRequest, quarter: int
) -> None:
    """Sends, answers, interrupts, crashes, lost workers, sleep and new runs in any order break no promise."""
    # The same ones every day, as many more of them as `--runs` says.
    wanted = int(request.config.getoption("--runs")) // 4
    kept = search(environment, wanted, chance=quarter)

    assert kept >= max(1, wanted // TOGETHER) * TOGETHER


def forgets_turns(patch: pytest.MonkeyPatch) -> None:
    """A message that comes again is taken for a new one."""
    patch.setattr(Turns, "_remember", lambda self, report: None)


def jumps_the_queue(patch: pytest.MonkeyPatch) -> None:
    """The latest message runs first."""

    def begin(self: Turns) -> Message | None:
        if self.current is None and self._queue:
            self.current = self._queue.pop()
        return self.current

    patch.setattr(Turns, "begin", begin)


def asks_nobody(patch: pytest.MonkeyPatch) -> None:
    """Questions answer themselves."""
    patch.setattr(Approvals, "answer_to", lambda self, name: Answer(approval_id=name, decision="allow"))


def stops_nothing(patch: pytest.MonkeyPatch) -> None:
    """The session says that it is stopped, and claude lives on."""

    async def stop_claude(self: SessionLife) -> None:
        return

    patch.setattr(SessionLife, "_stop_claude", stop_claude)


def loses_a_turn(patch: pytest.MonkeyPatch) -> None:
    """The next run of the workflow does not know what the last one was at."""
    carry = SessionLife.next_run

    def next_run(self: SessionLife) -> OpenSession:
        opened = carry(self)
        return replace(opened, carried=replace(opened.carried, current=None)) if opened.carried else opened

    patch.setattr(SessionLife, "next_run", next_run)


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("breaks", [forgets_turns, jumps_the_queue, asks_nobody, stops_nothing, loses_a_turn])
def test_a_broken_promise_is_found(
    environment: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch, breaks: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """With one part of the session broken, the same search finds it."""
    breaks(monkeypatch)
    with pytest.raises(ExceptionGroup) as found:
        # Not made small: that it is found is all that is asked.
        search(environment, 60, phases=[Phase.generate], report_multiple_bugs=False)

    assert found.group_contains(AssertionError)
