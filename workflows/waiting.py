"""Waiting in workflow code, with an end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

T = TypeVar("T")


async def within(seconds: float, condition: Callable[[], bool], summary: str) -> bool:
    """Wait for the condition, but no longer than some seconds; says whether it holds."""
    with contextlib.suppress(asyncio.TimeoutError):
        timeout = timedelta(seconds=max(0.001, seconds))
        await workflow.wait_condition(condition, timeout=timeout, timeout_summary=summary)
    return condition()


def let_go(task: asyncio.Task[Any]) -> None:
    """Cancel what nobody waits for any more. How it ends is looked at, since an error that nobody sees is logged."""
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    task.cancel()


async def unless(leaves: Callable[[], bool], work: Coroutine[Any, Any, T] | asyncio.Task[T]) -> T | None:
    """The work's result, or None when it is called off first; it is then cancelled and awaited."""
    task = asyncio.ensure_future(work)
    await workflow.wait_condition(lambda: task.done() or leaves())
    if task.done():
        return task.result()
    task.cancel()
    with contextlib.suppress(ActivityError, asyncio.CancelledError):
        return await task
    return None
