"""What is measured, in which order, and how often."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from rich.console import Console

from bench import burst, crowd, death, follow, history, reattach, shim, sleep, start, stop, stream, turn
from bench.place import Place, private_place
from bench.report import Row
from bench.rig import Rig, full_rig

Ground = TypeVar("Ground", Place, Rig)


@dataclass(frozen=True, kw_only=True)
class Subject(Generic[Ground]):
    """One thing to measure; `quick` is how often when a look is enough."""

    name: str
    measure: Callable[[Ground, int], Awaitable[list[Row]]]
    rounds: int
    quick: int


# First what needs no Temporal: a server and a worker would disturb it.
ALONE: Final = (
    Subject[Place](name="shim", measure=shim.measure, rounds=40, quick=10),
    Subject[Place](name="stop", measure=stop.measure, rounds=15, quick=3),
    Subject[Place](name="stream", measure=stream.measure, rounds=5, quick=1),
    # With a server and a worker of its own, which are gone before the others begin.
    Subject[Place](name="crowd", measure=crowd.measure, rounds=10, quick=2),
    Subject[Place](name="burst", measure=burst.measure, rounds=10, quick=1),
)
WHOLE: Final = (
    Subject[Rig](name="start", measure=start.measure, rounds=20, quick=3),
    Subject[Rig](name="turn", measure=turn.measure, rounds=50, quick=10),
    Subject[Rig](name="sleep", measure=sleep.measure, rounds=15, quick=2),
    Subject[Rig](name="history", measure=history.measure, rounds=10, quick=3),
    Subject[Rig](name="follow", measure=follow.measure, rounds=20, quick=3),
    Subject[Rig](name="reattach", measure=reattach.measure, rounds=5, quick=1),
    Subject[Rig](name="death", measure=death.measure, rounds=4, quick=1),
)
FULL: Final = {subject.name: subject.rounds for subject in (*ALONE, *WHOLE)}
QUICK: Final = {subject.name: subject.quick for subject in (*ALONE, *WHOLE)}

progress: Final = Console(stderr=True, style="dim", highlight=False)


async def measure(rounds: Mapping[str, int]) -> list[Row]:
    """The rows of the subjects that are named, each measured as often as it says there."""
    rows: list[Row] = []
    async with private_place({**reattach.REPLIES, **follow.REPLIES}) as place:
        for alone in [subject for subject in ALONE if subject.name in rounds]:
            rows += await _rows(alone, place, rounds)
        whole = [subject for subject in WHOLE if subject.name in rounds]
        if whole:
            async with full_rig(place) as rig:
                for subject in whole:
                    rows += await _rows(subject, rig, rounds)
    return rows


async def _rows(subject: Subject[Ground], ground: Ground, rounds: Mapping[str, int]) -> list[Row]:
    progress.print(f"{subject.name}: {rounds[subject.name]} rounds")
    return await subject.measure(ground, rounds[subject.name])
