"""Heartbeats beside a long activity, and the ways such an activity ends early."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Final, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.failures import WORKER_DRAINING

# Cancellation and fresh details reach their readers once per beat; the SDK batches faster beats anyway.
BEAT_SECONDS: Final = 0.5
FIRST_BEAT_SECONDS: Final = 0.2
# Who only looks on has little that is new, and nobody waits for its cancellation: one beat a second of a hundred idle
# sessions was half a core to the server and a third of one to the worker. Two beats may be late before it is missed.
ONLOOKER_SHARE: Final = 0.4
# A draining worker hands over at once: the next one may already be polling.
HANDOVER: Final = timedelta(milliseconds=50)

Details = Callable[[], dict[str, Any]]
T = TypeVar("T")


def onlooker_seconds() -> float:
    """How far apart the beats of an activity may be that only looks on."""
    timeout = activity.info().heartbeat_timeout
    return ONLOOKER_SHARE * timeout.total_seconds() if timeout else BEAT_SECONDS


async def pulsing(work: Coroutine[Any, Any, T], details: Details, beat_seconds: float = BEAT_SECONDS) -> T:
    """Run `work` with heartbeats; a draining worker ends it so that the next worker's attempt goes on.

    Cancelling cancels `work`, which is expected to let go of the process and never to end it.
    """
    tasks = [asyncio.ensure_future(job) for job in (work, _beat(details, beat_seconds), _drained())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        first = tasks[0] if tasks[0] in done else done.pop()
        return await first  # type: ignore[return-value]
    finally:
        await _end(tasks)


async def _beat(details: Details, seconds: float) -> None:
    # Most calls are over by then, and a beat costs the server as much as the rest of the call.
    await asyncio.sleep(FIRST_BEAT_SECONDS)
    while True:
        activity.heartbeat(details())
        await asyncio.sleep(seconds)


async def _drained() -> None:
    await activity.wait_for_worker_shutdown()
    raise ApplicationError(
        "the worker is draining; the next one takes over",
        type=WORKER_DRAINING,
        next_retry_delay=HANDOVER,
        category=ApplicationErrorCategory.BENIGN,
    )


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
