"""Asking a session's workflow so that nobody notices when one run of it hands over to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from temporalio.client import (
    RPCTimeoutOrCancelledError,
    WorkflowExecutionStatus,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateHandle,
)
from temporalio.service import RPCError, RPCStatusCode

from workflows.errors import is_called_off

T = TypeVar("T")

# A call that the server lost with the old run is found missing after this long; asking twice does no harm.
TRY_SECONDS: Final = 2.0
# A new run has its first task within milliseconds.
PAUSE_SECONDS: Final = 0.05
# While a session takes a step, the server keeps one query for it, and refuses any further one.
_PASSING: Final = (
    RPCStatusCode.FAILED_PRECONDITION,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.RESOURCE_EXHAUSTED,
)
# How the server names the refusal of a call that came back from a worker as it went there.
_UNREAD: Final = "UnprocessedUpdate"


class Unread(Exception):
    """The worker that got the call was letting go of the workflow, and nobody has looked at it."""


# What a call may end with that meets a session on its way from one run to the next.
_MOVING: Final = (
    TimeoutError,
    RPCError,
    RPCTimeoutOrCancelledError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    Unread,
)


async def patiently(ask: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Ask until there is an answer or the time is over; each try must be the same call, with the same update id."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await ask()
            except _MOVING as error:
                if not may_be_asked_again(error) or is_called_off():
                    raise
            await asyncio.sleep(PAUSE_SECONDS)


def may_be_asked_again(error: Exception) -> bool:
    """The run was closing, the next had not begun, others asked too, or a worker went away or forgot over it."""
    if isinstance(error, RPCError):
        return error.status in _PASSING
    if isinstance(error, WorkflowQueryRejectedError):
        return error.status == WorkflowExecutionStatus.CONTINUED_AS_NEW
    return True


def read(taken: WorkflowUpdateHandle[T]) -> WorkflowUpdateHandle[T]:
    """The call, if the workflow has seen it; else Unread, and it may be made again under the same id.

    The SDK shows a refusal only as any other, when the result is asked for.
    """
    outcome = taken._known_outcome  # noqa: SLF001  there is no other way to see it without waiting for the result
    if outcome is not None and outcome.failure.application_failure_info.type == _UNREAD:
        raise Unread(outcome.failure.message)
    return taken
