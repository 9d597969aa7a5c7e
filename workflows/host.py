"""The session's calls on the host that runs its claude: queues, timeouts, retries and summaries in one place."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final, TypedDict

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutError, TimeoutType

with workflow.unsafe.imports_passed_through():
    from activities.calls import (
        AnswerPart,
        AnswerPermission,
        ClaudeEnded,
        ClaudeStarted,
        Earlier,
        InterruptTurn,
        ReadAnswer,
        SendTurn,
        StartClaude,
        StopClaude,
        TurnEnded,
        TurnStep,
        WatchClaude,
    )
    from activities.failures import CLAUDE_GONE, FENCED
    from activities.queues import queue_of
    from activities.session import SessionActivities
    from workflows.approvals import Answer, Approval
    from workflows.messages import SHARED_QUEUE, Carried, Message, OpenSession

# A follower has no natural end; a year is "for as long as the session lives".
FOLLOW_FOR: Final = timedelta(days=365)
# A dead worker's follower is picked up at once by the next worker, and a bug does not spin.
FOLLOW_RETRY: Final = RetryPolicy(
    initial_interval=timedelta(milliseconds=100), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=10)
)
# Trouble of the host (no process slots, a full disk) may pass; trouble of claude is the workflow's to judge.
START_RETRY: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=5), maximum_attempts=5
)
STOP_RETRY: Final = RetryPolicy(initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=10))
SHORT_CALL: Final = timedelta(seconds=30)
INTERRUPT_WITHIN: Final = timedelta(seconds=15)
# The polite part of a stop is bounded by its own timeout; this covers the kernel's work on a large tree.
STOP_MARGIN: Final = timedelta(seconds=60)


class Address(TypedDict):
    """What names a session's claude in every call."""

    session_id: str
    project_path: str
    generation: int


class Timeouts(TypedDict):
    """The timeouts every call on a host has."""

    schedule_to_start_timeout: timedelta
    heartbeat_timeout: timedelta


class ClaudeOnHost:
    """A session's claude, wherever it runs. Until the first start any host may take the session."""

    def __init__(self, opened: OpenSession, carried: Carried) -> None:
        self._opened = opened
        self._options = opened.options
        self.started = carried.started
        """The latest start; None while no host has taken the session."""
        self.generation = carried.generation
        self.offset = carried.offset
        """Where in the journal the next turn may begin."""
        self.before = carried.before
        """The same for the process before this one: a turn may have ended there while nobody looked."""

    def turn_ended(self, journal_end: int) -> None:
        """The next turn begins here, and owes nothing to earlier processes."""
        self.offset, self.before = journal_end, None

    async def start(self) -> ClaudeStarted:
        """Bring up the next generation on the session's host, or on any host if it has none yet."""
        self.generation += 1
        started = await workflow.execute_activity_method(
            SessionActivities.start_claude,
            StartClaude(origin=self._opened.origin, **self._address()),
            task_queue=self._start_queue(),
            start_to_close_timeout=timedelta(seconds=self._options.start_timeout_seconds),
            retry_policy=START_RETRY,
            # The process may exist already when the stop comes: the answer says so.
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=f"start claude, generation {self.generation}",
            **self._timeouts(),
        )
        if started.conversation != "adopted":
            if self.started is not None:
                self.before = Earlier(generation=started.generation - 1, offset=self.offset)
            self.offset = 0
        self.started = started
        return started

    async def watch(self) -> ClaudeEnded:
        """Return when claude has ended."""
        return await workflow.execute_activity_method(
            SessionActivities.watch_claude,
            WatchClaude(**self._address()),
            task_queue=self._host().watch_queue,
            start_to_close_timeout=FOLLOW_FOR,
            retry_policy=FOLLOW_RETRY,
            summary=f"watch pid {self._host().pid}",
            **self._timeouts(),
        )

    async def send(self, message: Message, asked: list[str]) -> TurnStep:
        """Deliver one message, unless it was, and follow its turn to its end or the next question."""
        return await workflow.execute_activity_method(
            SessionActivities.send_turn,
            SendTurn(
                turn_id=message.turn_id,
                text=message.text,
                attachments=message.attachments,
                offset=self.offset,
                before=self.before,
                asked=asked,
                quiet_seconds=self._options.quiet_seconds,
                **self._address(),
            ),
            task_queue=self._host().watch_queue,
            start_to_close_timeout=FOLLOW_FOR,
            retry_policy=FOLLOW_RETRY,
            summary=f"turn {message.turn_id}: {message.text[:80]}",
            **self._timeouts(),
        )

    async def answer(self, approval: Approval, answer: Answer) -> None:
        """Hand claude the answer to one permission request."""
        await workflow.execute_activity_method(
            SessionActivities.answer_permission,
            AnswerPermission(
                request_id=approval.request_id,
                offset=self.offset,
                behavior="deny" if answer.decision == "deny" else "allow",
                message=answer.message,
                remember=answer.decision == "allow_always",
                answers=answer.answers,
                **self._address(),
            ),
            task_queue=self._host().host_queue,
            start_to_close_timeout=SHORT_CALL,
            # A person has decided: the answer is not given up.
            retry_policy=STOP_RETRY,
            summary=f"{answer.decision} {approval.approval_id}: {approval.tool}",
            **self._timeouts(),
        )

    async def interrupt(self, request_id: str) -> None:
        """Ask claude to end its turn."""
        await workflow.execute_activity_method(
            SessionActivities.interrupt_turn,
            InterruptTurn(request_id=request_id, **self._address()),
            task_queue=self._host().host_queue,
            start_to_close_timeout=SHORT_CALL,
            retry_policy=START_RETRY,
            summary="interrupt the turn",
            # Whoever interrupts looks on; minutes later it would hit something else.
            schedule_to_start_timeout=INTERRUPT_WITHIN,
            heartbeat_timeout=self._timeouts()["heartbeat_timeout"],
        )

    async def read(self, ended: TurnEnded, start: int) -> AnswerPart:
        """A part of a turn's whole answer."""
        return await workflow.execute_activity_method(
            SessionActivities.read_answer,
            ReadAnswer(
                session_id=self._opened.session_id,
                project_path=self._opened.project_path,
                generation=ended.generation,
                journal_end=ended.journal_end,
                start=start,
            ),
            task_queue=self._host().host_queue,
            schedule_to_start_timeout=INTERRUPT_WITHIN,
            start_to_close_timeout=SHORT_CALL,
            retry_policy=START_RETRY,
            summary=f"read the answer of turn {ended.turn_id}",
        )

    async def stop(self, timeout_seconds: float) -> ClaudeEnded | None:
        """End claude's process tree, however long its host takes to answer."""
        while True:
            try:
                return await workflow.execute_activity_method(
                    SessionActivities.stop_claude,
                    StopClaude(timeout_seconds=timeout_seconds, **self._address()),
                    task_queue=self._host().host_queue,
                    start_to_close_timeout=timedelta(seconds=timeout_seconds) + STOP_MARGIN,
                    retry_policy=STOP_RETRY,
                    summary="stop claude",
                    **self._timeouts(),
                )
            except ActivityError as error:
                if not is_host_away(error):
                    raise

    def _start_queue(self) -> str:
        if self.started is not None:
            return self.started.host_queue
        return queue_of(self._opened.host_id) if self._opened.host_id else SHARED_QUEUE

    def _host(self) -> ClaudeStarted:
        if self.started is None:
            raise RuntimeError("no host has taken this session yet")
        return self.started

    def _address(self) -> Address:
        return {
            "session_id": self._opened.session_id,
            "project_path": self._opened.project_path,
            "generation": self.generation,
        }

    def _timeouts(self) -> Timeouts:
        return {
            "schedule_to_start_timeout": timedelta(seconds=self._options.host_away_seconds),
            "heartbeat_timeout": timedelta(seconds=self._options.heartbeat_timeout_seconds),
        }


def is_host_away(error: ActivityError) -> bool:
    """No worker of the host took the call in time. Temporal never retries this by itself."""
    cause = error.cause
    return isinstance(cause, TimeoutError) and cause.type == TimeoutType.SCHEDULE_TO_START


def failure_type(error: ActivityError) -> str:
    """The type given where the error was translated; empty for timeouts and cancellations."""
    return error.cause.type or "" if isinstance(error.cause, ApplicationError) else ""


def fence_of(error: ActivityError) -> int:
    """The generation that fenced the call; 0 when it was not fenced."""
    cause = error.cause
    return (
        int(cause.details[0]) if isinstance(cause, ApplicationError) and cause.type == FENCED and cause.details else 0
    )


def failure_sentence(error: ActivityError) -> str:
    """What went wrong, for a person."""
    if is_host_away(error):
        return "no worker of its host answers"
    cause: Any = error.cause
    return str(getattr(cause, "message", None) or cause or error)


def is_claude_gone(error: ActivityError) -> bool:
    """The process of this generation ended, or was replaced: its watcher knows more."""
    return failure_type(error) in (CLAUDE_GONE, FENCED)
