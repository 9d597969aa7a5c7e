"""Asking a session's workflow so that nobody notices when one run of it hands over to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from temporalio.client import RPCTimeoutOrCancelledError, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

T = TypeVar("T")

# An update that the server lost with the old run is found missing after this long; asking twice does no harm.
TRY_SECONDS: Final = 2.0
# A new run has its first task within milliseconds.
PAUSE_SECONDS: Final = 0.05


async def patiently(ask: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Ask until there is an answer or the time is over; each try must be the same call, with the same update id."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await ask()
            except (RPCError, RPCTimeoutOrCancelledError, WorkflowQueryFailedError) as error:
                if not may_be_asked_again(error) or _is_cancelled():
                    raise
            await asyncio.sleep(PAUSE_SECONDS)


def may_be_asked_again(error: Exception) -> bool:
    """The run was closing, the next had not begun, nobody has answered yet, or a worker went away over a query."""
    if isinstance(error, RPCError):
        return error.status in (RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.DEADLINE_EXCEEDED)
    return True


def _is_cancelled() -> bool:
    # The SDK turns a cancellation of the caller into an error of the call, and nobody may go on after it.
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
