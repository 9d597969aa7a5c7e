"""Two things measured in turn, so that a noisy machine disturbs both alike."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bench.report import Bar, Row, number

Measure = Callable[[], Awaitable[float]]

# claude goes on working for about 50 ms after a result, a server for as long after a session's end: whoever is
# measured next would pay for it, the slower of the two less often than the faster.
REST_SECONDS: Final = 0.2


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """What was measured, in the order it was: one of the baseline, one of ours."""

    baseline: list[float]
    ours: list[float]

    def row(self, name: str, unit: str, bar: Bar | None = None, note: str = "") -> Row:
        """The medians as a row; its note says how far the samples lie apart."""
        apart = f"{spread(self.ours)}, baseline {spread(self.baseline)}"
        return Row(
            name=name,
            value=statistics.median(self.ours),
            unit=unit,
            baseline=statistics.median(self.baseline),
            bar=bar,
            note=f"{note}; {apart}" if note else apart,
        )


async def interleaved(rounds: int, *, baseline: Measure, ours: Measure) -> Pairs:
    """Measure both `rounds` times, each after a rest. The first pair fills caches and is thrown away."""
    pairs = Pairs(baseline=[], ours=[])
    for _ in range(rounds + 1):
        for samples, measure in ((pairs.baseline, baseline), (pairs.ours, ours)):
            await asyncio.sleep(REST_SECONDS)
            samples.append(await measure())
    del pairs.baseline[0], pairs.ours[0]
    return pairs


def spread(samples: Sequence[float]) -> str:
    """How many samples there are and between which values nine tenths of them lie."""
    low, high = quantile(samples, 0.05), quantile(samples, 0.95)
    return f"n={len(samples)} {number(low)}–{number(high)}"


def quantile(samples: Sequence[float], share: float) -> float:
    """The sample that this share of all does not exceed."""
    ordered = sorted(samples)
    return ordered[round(share * (len(ordered) - 1))]
