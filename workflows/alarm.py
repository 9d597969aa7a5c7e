"""Deadlines that mostly move on before they come: one timer for all of them, set again only when it has rung."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.messages import OpenSession
    from workflows.patches import writes_less
    from workflows.waiting import let_go, within

# A ring that comes a trifle early is followed by one more, and not by many.
_SHORTEST_SECONDS: Final = 0.001


class Alarm:
    """A timer for each turn would be two events in history for each turn, and an hour of turns has few deadlines."""

    def __init__(self, opened: OpenSession) -> None:
        self._opened = opened
        self._deadlines: dict[object, float] = {}
        self._rings_at: float | None = None
        self._ringing: asyncio.Task[None] | None = None

    async def within(self, seconds: float, condition: Callable[[], bool], summary: str) -> bool:
        """Wait for the condition, but no longer than some seconds; says whether it holds."""
        if not writes_less(self._opened):
            return await within(seconds, condition, summary)
        deadline, waiter = workflow.time() + seconds, object()
        self._deadlines[waiter] = deadline
        try:
            self._set(summary)
            await workflow.wait_condition(lambda: condition() or workflow.time() >= deadline)
        finally:
            del self._deadlines[waiter]
        return condition()

    def _set(self, summary: str) -> None:
        """Ring at the next deadline. A ring that was set for sooner stays, and looks again when it comes."""
        ahead = [deadline for deadline in self._deadlines.values() if deadline > workflow.time()]
        soonest = min(ahead, default=None)
        if soonest is None or (self._rings_at is not None and self._rings_at <= soonest):
            return
        if self._ringing is not None:
            let_go(self._ringing)
        self._rings_at = soonest
        self._ringing = asyncio.create_task(self._ring(soonest, summary))

    async def _ring(self, at: float, summary: str) -> None:
        pause = max(_SHORTEST_SECONDS, at - workflow.time())
        # Waking is all it does: everybody who waits looks at the clock then.
        await workflow.sleep(timedelta(seconds=pause), summary=f"next look: {summary}")
        self._rings_at = self._ringing = None
        self._set(summary)
