"""How often a dying claude is brought back: a budget in a sliding window, with growing pauses."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

FIRST_PAUSE_SECONDS: Final = 1.0
# Longer pauses would outlast a person's patience before the budget is spent.
LONGEST_PAUSE_SECONDS: Final = 30.0


class RestartBudget:
    """Counts restarts by the caller's clock; knows nothing of why they happen."""

    def __init__(self, limit: int, window_seconds: float, spent: Iterable[float] = ()) -> None:
        self._limit = limit
        self._window = window_seconds
        self._spent = deque(spent)

    @property
    def spent(self) -> list[float]:
        """When the restarts were that still count."""
        return list(self._spent)

    def spend(self, now: float) -> float | None:
        """Seconds to pause before the next restart, or None when the budget is spent."""
        while self._spent and self._spent[0] <= now - self._window:
            self._spent.popleft()
        if len(self._spent) >= self._limit:
            return None
        self._spent.append(now)
        return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (len(self._spent) - 1))
