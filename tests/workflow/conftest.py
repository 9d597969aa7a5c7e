"""The session workflow on the time-skipping server, with a scripted host in place of real processes."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.calls import (
    AnswerPermission,
    ClaudeEnded,
    ClaudeStarted,
    SendTurn,
    StartClaude,
    StopClaude,
    TurnEnded,
    TurnStep,
    WatchClaude,
)
from activities.failures import CLAUDE_GONE
from worker import SHARED_MODULES
from workflows.client import Sessions
from workflows.messages import SHARED_QUEUE, Message, SessionOptions, SessionReport
from workflows.session import SessionWorkflow

# An activity that waits in retry back-off is not open, so the server's clock may skip past it.
PARKED = ApplicationError("parked", next_retry_delay=timedelta(days=3000))

Script = Callable[[SendTurn], TurnStep | Exception]
Session = WorkflowHandle[SessionWorkflow, SessionReport]


def answer(call: SendTurn) -> TurnStep:
    """What a healthy claude does with any message."""
    return TurnStep(ended=TurnEnded(turn_id=call.turn_id, text=f"answer to {call.text}", cost_usd=0.25, journal_end=1))


def gone() -> ApplicationError:
    """What a follower reports when claude ended under it."""
    return ApplicationError("claude ended before the turn did", type=CLAUDE_GONE, non_retryable=True)


class ScriptedHost:
    """Stands where a host's activities would be, writes down every call and plays what a test scripted."""

    def __init__(self) -> None:
        name = uuid.uuid4().hex[:8]
        self.queue, self.watch_queue = f"claude-host-{name}", f"claude-host-{name}-watch"
        self.starts: list[StartClaude] = []
        self.sent: list[SendTurn] = []
        self.stops: list[StopClaude] = []
        self.answers: list[AnswerPermission] = []
        self.start_failures: deque[ApplicationError] = deque()
        self.endings: deque[tuple[timedelta, ClaudeEnded]] = deque()
        self.script: Script = answer

    @activity.defn(name="start_claude")
    async def start(self, call: StartClaude) -> ClaudeStarted:
        self.starts.append(call)
        if self.start_failures:
            raise self.start_failures.popleft()
        return ClaudeStarted(
            host_id="here",
            host_queue=self.queue,
            watch_queue=self.watch_queue,
            pid=4000 + call.generation,
            generation=call.generation,
            journal_end=0,
            conversation="new",
        )

    @activity.defn(name="watch_claude")
    async def watch(self, call: WatchClaude) -> ClaudeEnded:
        if not self.endings:
            raise PARKED
        delay, ending = self.endings[0]
        if delay and activity.info().attempt == 1:
            raise ApplicationError("lives for a while", next_retry_delay=delay)
        self.endings.popleft()
        return replace(ending, generation=call.generation)

    @activity.defn(name="send_turn")
    async def send(self, call: SendTurn) -> TurnStep:
        self.sent.append(call)
        outcome = self.script(call)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @activity.defn(name="answer_permission")
    async def answer(self, call: AnswerPermission) -> None:
        self.answers.append(call)

    @activity.defn(name="stop_claude")
    async def stop(self, call: StopClaude) -> ClaudeEnded:
        self.stops.append(call)
        return ClaudeEnded(generation=call.generation, why="stopped", signal=15)

    def dies(self, times: int, *, after: timedelta = timedelta(), **how: object) -> None:
        """claude ends this often, each time the given while after its start."""
        ending = ClaudeEnded(generation=0, **{"code": 1, "why": "exited", "stderr_tail": "out of luck\n", **how})  # type: ignore[arg-type]
        self.endings.extend([(after, ending)] * times)


@pytest.fixture(scope="session")
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    """One time-skipping server for all tests; a test that skips moves the clock for all, which none may mind."""
    binary = Path(sys.executable).with_name("temporal-test-server")
    async with await WorkflowEnvironment.start_time_skipping(test_server_existing_path=str(binary)) as started:
        yield started


@pytest.fixture
def client(environment: WorkflowEnvironment) -> Client:
    return environment.client


@contextlib.asynccontextmanager
async def host_working(client: Client, host: ScriptedHost) -> AsyncIterator[None]:
    """The host's two Workers run inside the block, as in worker.py."""
    control = Worker(client, task_queue=host.queue, activities=[host.start, host.answer, host.stop])
    watch = Worker(client, task_queue=host.watch_queue, activities=[host.watch, host.send])
    async with control, watch:
        yield


@contextlib.asynccontextmanager
async def workflows_working(client: Client, host: ScriptedHost) -> AsyncIterator[None]:
    """The shared Worker runs inside the block: workflows, and the first start of each session."""
    runner = SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules(*SHARED_MODULES, "tests")
    )
    async with Worker(
        client, task_queue=SHARED_QUEUE, workflows=[SessionWorkflow], activities=[host.start], workflow_runner=runner
    ):
        yield


@pytest.fixture
async def host(client: Client) -> AsyncIterator[ScriptedHost]:
    """A host that works."""
    scripted = ScriptedHost()
    async with workflows_working(client, scripted), host_working(client, scripted):
        yield scripted


class Desk:
    """A person at work with one session."""

    def __init__(self, client: Client, options: SessionOptions) -> None:
        self.sessions = Sessions(client, options)
        self.session_id = f"test-{uuid.uuid4().hex[:8]}"
        self.handle: Session = client.get_workflow_handle_for(SessionWorkflow.run, f"session-{self.session_id}")

    async def open(self) -> None:
        await self.sessions.open("/project", session_id=self.session_id)
        await self.sessions.wait_ready(self.session_id)

    async def send(self, text: str, turn_id: str = "") -> str:
        message = Message(turn_id=turn_id or uuid.uuid4().hex, text=text)
        await self.sessions.send(self.session_id, message)
        return message.turn_id

    async def status(self) -> SessionReport:
        return await self.sessions.status(self.session_id)

    @contextlib.asynccontextmanager
    async def skipping(self) -> AsyncIterator[asyncio.Task[SessionReport]]:
        """Inside the block the server's clock skips whatever nobody works through."""
        ending = asyncio.create_task(self.handle.result())
        try:
            yield ending
        finally:
            ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)


@pytest.fixture
async def desk(client: Client, host: ScriptedHost) -> AsyncIterator[Desk]:
    """A session that is not open yet, on a host that works; stopped at the end of the test."""
    sitting = Desk(client, SessionOptions())
    yield sitting
    with contextlib.suppress(Exception):
        await sitting.sessions.stop(sitting.session_id)


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for a condition of this process."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
