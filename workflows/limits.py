"""How long a session may live, what it may cost, and how long its history may be; with a warning before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.messages import SessionOptions, StopSession
    from workflows.turns import Turns
    from workflows.waiting import within

# Warned early enough to finish what matters, late enough to be news.
WARN_AT: Final = 0.8
# A run that may not even take up its work before it hands on would do nothing but hand on.
SHORTEST_HISTORY: Final = 20


class Limits:
    """The limits of one session; 0 in its options means none."""

    def __init__(self, options: SessionOptions, opened_at: float) -> None:
        self.opened_at = opened_at
        self._lifetime = options.lifetime_seconds
        self._budget = options.cost_budget_usd
        self._history = options.history_limit

    @property
    def is_history_long(self) -> bool:
        """It is time for the next run of the workflow."""
        info = workflow.info()
        is_over = bool(self._history) and info.get_current_history_length() >= max(self._history, SHORTEST_HISTORY)
        return is_over or info.is_continue_as_new_suggested()

    def over_budget(self, cost_usd: float) -> str:
        """A sentence when the money is spent, else nothing."""
        spent = self._budget and cost_usd >= self._budget
        return f"the session's budget of {self._budget:.2f} USD is spent" if spent else ""

    def mind_cost(self, turns: Turns, warn: Callable[[str], None]) -> None:
        """Warn when little money is left, and give the queued turns up when none is."""
        if spent := self.over_budget(turns.cost_usd):
            turns.abandon(spent, "failed")
        elif self._budget and turns.cost_usd >= WARN_AT * self._budget:
            warn(f"{turns.cost_usd:.2f} of {self._budget:.2f} USD are spent")

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
        stop(StopSession(when="after_turn", why="its lifetime is over"))

    def _left(self, share: float) -> float:
        return self.opened_at + share * self._lifetime - workflow.time()
