"""How long a session may live and what it may cost, with a warning before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.messages import SessionOptions, StopSession
    from workflows.waiting import within

# Warned early enough to finish what matters, late enough to be news.
WARN_AT: Final = 0.8


class Limits:
    """The limits of one session; 0 in its options means none."""

    def __init__(self, options: SessionOptions, opened_at: float) -> None:
        self.opened_at = opened_at
        self._lifetime = options.lifetime_seconds
        self._budget = options.cost_budget_usd

    def over_budget(self, cost_usd: float) -> str:
        """A sentence when the money is spent, else nothing."""
        spent = self._budget and cost_usd >= self._budget
        return f"the session's budget of {self._budget:.2f} USD is spent" if spent else ""

    def near_budget(self, cost_usd: float) -> str:
        """A sentence when little money is left, else nothing."""
        is_near = self._budget and cost_usd >= WARN_AT * self._budget
        return f"{cost_usd:.2f} of {self._budget:.2f} USD are spent" if is_near else ""

    async def age(
        self, is_ending: Callable[[], bool], warn: Callable[[str], None], stop: Callable[[StopSession], None]
    ) -> None:
        """Warn before the lifetime is over, and stop the session then, after the turn that runs."""
        if not self._lifetime:
            return
        if self._left(WARN_AT) > 0:
            await within(self._left(WARN_AT), is_ending, "lifetime of the session: warning")
            if not is_ending():
                warn(f"the session ends in {self._left(1.0) / 60:.0f} minutes")
        await within(self._left(1.0), is_ending, "lifetime of the session")
        stop(StopSession(when="after_turn"))

    def _left(self, share: float) -> float:
        return self.opened_at + share * self._lifetime - workflow.time()
