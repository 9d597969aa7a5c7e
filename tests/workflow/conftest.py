"""The session workflow on a server whose clocks can be moved, with a scripted host in place of real processes."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import TimeSkippingConfig, WorkflowEnvironment
from temporalio.worker import Interceptor, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.calls import (
    AnswerPermission,
    ClaudeEnded,
    ClaudeStarted,
    InterruptTurn,
    SendTurn,
    StartClaude,
    StopClaude,
    TurnEnded,
    TurnStep,
    WatchClaude,
)
from activities.failures import CLAUDE_GONE
from runtime.temporal import temporal_binary
from workflows import edge
from workflows.attributes import KEYS
from workflows.client import Sessions
from workflows.courier import CourierWorkflow
from workflows.errors import Refused, SessionEnded
from workflows.line import Line
from workflows.messages import SHARED_QUEUE, AwaitTurn, Message, SessionOptions, SessionReport, Status, TurnReport
from workflows.session import SessionWorkflow

# Imported once and shared by all workflow runs: a fresh import per session costs four times the CPU.
SHARED_MODULES = ("activities", "claude", "shim", "workflows", "runtime", "psutil", "structlog")
RUNNER = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(*SHARED_MODULES, "tests")
)

Script = Callable[[SendTurn], TurnStep | Exception]
Session = WorkflowHandle[SessionWorkflow, SessionReport]


def parked() -> ApplicationError:
    """An activity that waits in retry back-off is not open, so the server's clock may skip past it."""
    return ApplicationError("parked", next_retry_delay=timedelta(days=3000))


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
        self.interrupts: list[InterruptTurn] = []
        self.start_failures: deque[ApplicationError] = deque()
        self.endings: deque[tuple[timedelta, ClaudeEnded]] = deque()
        self.endings_taken = 0
        # However often a watcher looks, and in whichever run of the workflow.
        self._over: dict[tuple[str, int], ClaudeEnded] = {}
        self.ends_when_stopped = False
        """A watcher sees the end of a claude that was stopped; else it stays parked."""
        self.may_end = True
        self.is_deaf = False
        """Short calls do not get through; they are tried again."""
        self.pace = timedelta(milliseconds=50)
        """How soon a busy claude is looked at again: in a test that skips hours, not every moment of them."""
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
        if over := self._over.get((call.session_id, call.generation)):
            return over
        if not self.endings and self.ends_when_stopped:
            if self.stops and self.stops[-1].generation == call.generation:
                return ClaudeEnded(generation=call.generation, why="stopped", signal=9)
            raise self.busy()
        if not self.endings:
            raise parked()
        delay, ending = self.endings[0]
        if delay and activity.info().attempt == 1:
            raise ApplicationError("lives for a while", next_retry_delay=delay)
        self.endings.popleft()
        self.endings_taken += 1
        over = self._over[call.session_id, call.generation] = replace(ending, generation=call.generation)
        return over

    @activity.defn(name="send_turn")
    async def send(self, call: SendTurn) -> TurnStep:
        self.sent.append(call)
        outcome = self.script(call)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @activity.defn(name="answer_permission")
    async def answer(self, call: AnswerPermission) -> None:
        self._hear()
        self.answers.append(call)

    @activity.defn(name="interrupt_turn")
    async def interrupt(self, call: InterruptTurn) -> None:
        self.interrupts.append(call)
        self._hear()

    @activity.defn(name="stop_claude")
    async def stop(self, call: StopClaude) -> ClaudeEnded:
        self.stops.append(call)
        self._hear()
        return ClaudeEnded(generation=call.generation, why="stopped", signal=15)

    def _hear(self) -> None:
        if self.is_deaf:
            raise ApplicationError("deaf", next_retry_delay=timedelta(milliseconds=100))

    def hold(self) -> None:
        """Turns end once `may_end` says so."""
        self.may_end = False
        self.script = lambda call: answer(call) if self.may_end else self.busy()

    def busy(self) -> ApplicationError:
        """Nothing new from claude; its follower looks again soon."""
        return ApplicationError("nothing new", next_retry_delay=self.pace)

    def dies(self, times: int, *, after: timedelta = timedelta(), **how: object) -> None:
        """Claude ends this often, each time the given while after its start."""
        ending = ClaudeEnded(generation=0, **{"code": 1, "why": "exited", "stderr_tail": "out of luck\n", **how})  # type: ignore[arg-type]
        self.endings.extend([(after, ending)] * times)


# Time skipping is off in a stock dev server; without the second flag each skip costs a second.
SKIPPING = ("frontend.WorkflowTimeSkippingEnabled=true", 'history.timerProcessorMaxTimeShift="5ms"')


@pytest.fixture(scope="session")
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    """One real server for all tests, where each workflow has a clock of its own that a test may move."""
    flags = [part for flag in SKIPPING for part in ("--dynamic-config-value", flag)]
    async with await WorkflowEnvironment.start_time_skipping_v2(
        # No workflow skips by itself: with nothing but parked activities left it would run away by years.
        ts_config=TimeSkippingConfig(enabled=False),
        dev_server_existing_path=str(temporal_binary()),
        dev_server_extra_args=flags,
        search_attributes=KEYS,
        dev_server_log_level="error",
    ) as started:
        yield started


@pytest.fixture
def client(environment: WorkflowEnvironment) -> Client:
    return environment.client


def named(client: Client, queue: str, **parts: Any) -> Worker:
    """A Worker with a name that no other had, as those of two processes have.

    By default all of one process share one, and a server that ends the polls of one that shut down ends those of the
    next one too: its queue then stood still for up to a minute.
    """
    return Worker(client, task_queue=queue, identity=uuid.uuid4().hex, **parts)


@contextlib.asynccontextmanager
async def host_working(client: Client, host: ScriptedHost) -> AsyncIterator[None]:
    """The host's two Workers run inside the block, as in worker.py."""
    control = named(client, host.queue, activities=[host.start, host.answer, host.interrupt, host.stop])
    watch = named(client, host.watch_queue, activities=[host.watch, host.send])
    async with control, watch:
        yield


def workflows_working(client: Client, host: ScriptedHost, *interceptors: Interceptor) -> Worker:
    """The shared Worker: workflows, and the first start of each session."""
    return named(
        client,
        SHARED_QUEUE,
        workflows=[SessionWorkflow, CourierWorkflow],
        activities=[host.start],
        workflow_runner=RUNNER,
        interceptors=interceptors,
    )


def workflows_only(client: Client) -> Worker:
    """A shared Worker that takes no activity: nobody is there to start anything."""
    return named(client, SHARED_QUEUE, workflows=[SessionWorkflow, CourierWorkflow], workflow_runner=RUNNER)


@pytest.fixture
async def host(client: Client) -> AsyncIterator[ScriptedHost]:
    """A host that works."""
    scripted = ScriptedHost()
    async with workflows_working(client, scripted), host_working(client, scripted):
        yield scripted


async def poke(client: Client, session_id: str) -> None:
    """A call that costs some events and changes nothing."""
    call = AwaitTurn(turn_id="nobody's", seconds=0)
    with contextlib.suppress(SessionEnded):
        await Line(client).update(session_id, edge.WAIT_TURN, call, patience=call.seconds)


class Desk:
    """A person at work with one session."""

    def __init__(self, environment: WorkflowEnvironment, options: SessionOptions) -> None:
        client = environment.client
        self._environment = environment
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

    async def until(self, condition: Callable[[], object], step: timedelta = timedelta(seconds=5)) -> None:
        """Move the session's clock on, step by step, until the condition of this process holds."""
        for _ in range(500):
            if condition() or not (await self._environment.fast_forward(self.handle, step) or await self._runs()):
                break
        await until(condition)

    async def _runs(self) -> bool:
        """Whether any run is at work: a skip that meets the end of one may take it for the end of all."""
        return (await self.handle.describe()).status == WorkflowExecutionStatus.RUNNING

    async def turn(self, turn_id: str, step: timedelta = timedelta(seconds=5)) -> TurnReport:
        """The turn's report once it has ended, skipping whatever it waits for."""
        waiting = asyncio.create_task(self._ended(turn_id))
        await self.until(waiting.done, step)
        return await waiting

    async def _ended(self, turn_id: str) -> TurnReport:
        """Told by the session itself: whoever looks from outside sees the clock move on first."""
        while True:
            call = AwaitTurn(turn_id=turn_id, seconds=60)
            report: TurnReport = await self.sessions._line.update(
                self.session_id, edge.WAIT_TURN, call, patience=call.seconds
            )
            if report.state not in ("queued", "running"):
                return report

    async def poke(self) -> None:
        """A call that costs some events and changes nothing."""
        await poke(self._environment.client, self.session_id)

    async def run_id(self) -> str:
        """Which run of the workflow is at work."""
        return (await self.handle.describe()).run_id or ""

    async def outgrow(self) -> None:
        """Use up the history of the run that is at work."""
        before = await self.run_id()
        async with asyncio.timeout(60):
            while await self.run_id() == before:
                await self.poke()

    async def skip(self, duration: timedelta) -> None:
        """Move the session's clock."""
        await self._environment.fast_forward(self.handle, duration)

    async def eventually(self, condition: Callable[[], Awaitable[object]]) -> None:
        """Wait for a condition that asks the session."""
        async with asyncio.timeout(30):
            while not await condition():
                await asyncio.sleep(0.05)

    async def reaches(self, status: Status) -> SessionReport:
        """The session's report once it has this status."""

        async def look() -> bool:
            return (await self.status()).status == status

        await self.eventually(look)
        return await self.status()

    def begin_stop(self, when: Literal["now", "after_turn"]) -> asyncio.Task[SessionReport]:
        """A stop that takes a while."""
        return asyncio.create_task(self.sessions.stop(self.session_id, when=when))

    async def refuses(self, text: str) -> None:
        """Return once the session takes no message any more."""

        async def look() -> bool:
            try:
                await self.send(text)
            except Refused:
                return True
            return False

        await self.eventually(look)


@pytest.fixture
async def desk(environment: WorkflowEnvironment, host: ScriptedHost) -> AsyncIterator[Desk]:
    """A session that is not open yet, on a host that works; stopped at the end of the test."""
    sitting = Desk(environment, SessionOptions())
    yield sitting
    with contextlib.suppress(Exception):
        await sitting.sessions.stop(sitting.session_id)


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for a condition of this process."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
