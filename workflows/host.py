"""The session's calls on the host that runs its claude: queues, timeouts, retries and summaries in one place."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final, TypedDict

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutError, TimeoutType

with workflow.unsafe.imports_passed_through():
    from activities.calls import (
        AnswerPermission,
        ClaudeEnded,
        ClaudeStarted,
        SendTurn,
        StartClaude,
        StopClaude,
        TurnStep,
        WatchClaude,
    )
    from activities.failures import FENCED
    from activities.session import SessionActivities
    from workflows.messages import SHARED_QUEUE, SessionOptions

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
ANSWER_FOR: Final = timedelta(seconds=30)
# The polite part of a stop is bounded by its own timeout; this covers the kernel's work on a large tree.
STOP_MARGIN: Final = timedelta(seconds=60)


class Timeouts(TypedDict):
    """The timeouts every call on a host has."""

    schedule_to_start_timeout: timedelta
    heartbeat_timeout: timedelta


class HostCalls:
    """Where a session's claude is reached. Until the first start any host may take the session."""

    def __init__(self, options: SessionOptions) -> None:
        self._options = options
        self._started: ClaudeStarted | None = None

    @property
    def started(self) -> ClaudeStarted | None:
        """The latest start; None while no host has taken the session."""
        return self._started

    async def start(self, call: StartClaude) -> ClaudeStarted:
        """Bring claude up on the session's host, or on any host if it has none yet."""
        self._started = await workflow.execute_activity_method(
            SessionActivities.start_claude,
            call,
            task_queue=self._started.host_queue if self._started else SHARED_QUEUE,
            start_to_close_timeout=timedelta(seconds=self._options.start_timeout_seconds),
            retry_policy=START_RETRY,
            # The process may exist already when the stop comes: the answer says so.
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=f"start claude, generation {call.generation}",
            **self._timeouts(),
        )
        return self._started

    async def watch(self, call: WatchClaude) -> ClaudeEnded:
        """Return when claude has ended."""
        return await workflow.execute_activity_method(
            SessionActivities.watch_claude,
            call,
            task_queue=self._host().watch_queue,
            start_to_close_timeout=FOLLOW_FOR,
            retry_policy=FOLLOW_RETRY,
            summary=f"watch pid {self._host().pid}",
            **self._timeouts(),
        )

    async def send(self, call: SendTurn) -> TurnStep:
        """Deliver one message and follow its turn."""
        return await workflow.execute_activity_method(
            SessionActivities.send_turn,
            call,
            task_queue=self._host().watch_queue,
            start_to_close_timeout=FOLLOW_FOR,
            retry_policy=FOLLOW_RETRY,
            summary=f"turn {call.turn_id}: {call.text[:80]}",
            **self._timeouts(),
        )

    async def answer(self, call: AnswerPermission) -> None:
        """Hand claude the answer to one permission request."""
        await workflow.execute_activity_method(
            SessionActivities.answer_permission,
            call,
            task_queue=self._host().host_queue,
            start_to_close_timeout=ANSWER_FOR,
            retry_policy=START_RETRY,
            summary=f"{call.behavior} request {call.request_id}",
            **self._timeouts(),
        )

    async def stop(self, call: StopClaude) -> ClaudeEnded | None:
        """End claude's process tree, however long its host takes to answer."""
        while True:
            try:
                return await workflow.execute_activity_method(
                    SessionActivities.stop_claude,
                    call,
                    task_queue=self._host().host_queue,
                    start_to_close_timeout=timedelta(seconds=call.timeout_seconds) + STOP_MARGIN,
                    retry_policy=STOP_RETRY,
                    summary="stop claude",
                    **self._timeouts(),
                )
            except ActivityError as error:
                if not is_host_away(error):
                    raise

    def _host(self) -> ClaudeStarted:
        if self._started is None:
            raise RuntimeError("no host has taken this session yet")
        return self._started

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
    cause: Any = error.cause
    return str(getattr(cause, "message", None) or cause or error)
