"""How long a session has had nothing to do, over all runs of its workflow."""

from __future__ import annotations

from collections.abc import Callable

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.alarm import Alarm


class Idleness:
    """Measures one stretch of doing nothing after the other; 0 seconds means that none is too long."""

    def __init__(self, seconds: float, since: float, alarm: Alarm) -> None:
        self.since = since
        """When the stretch began that still lasts, or 0: the next run of the workflow counts on from there."""
        self._seconds = seconds
        self._alarm = alarm

    def end(self) -> None:
        """There is something to do."""
        self.since = 0.0

    async def until(self, has_work: Callable[[], bool], *, leaves: Callable[[], bool]) -> bool:
        """Wait for something to do, unless the session leaves; False when there was nothing for too long."""
        is_needed = lambda: has_work() or leaves()  # noqa: E731
        if not self._seconds:
            await workflow.wait_condition(is_needed)
            return True
        left = self.since + self._seconds - workflow.time() if self.since else self._seconds
        self.since = self.since or workflow.time()
        is_awake = await self._alarm.within(left, is_needed, "idle until hibernation")
        if not leaves():
            self.end()
        return is_awake
