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
# What a call may end with that meets a session on its way from one run to the next.
_MOVING: Final = (
    TimeoutError,
    RPCError,
    RPCTimeoutOrCancelledError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
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
    """The run was closing, the next had not begun, others asked too, or a worker went away over a query."""
    if isinstance(error, RPCError):
        return error.status in _PASSING
    if isinstance(error, WorkflowQueryRejectedError):
        return error.status == WorkflowExecutionStatus.CONTINUED_AS_NEW
    return True
