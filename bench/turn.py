"""A short turn through Temporal against the same turn on a bare claude; both processes live through all of them."""

from __future__ import annotations

import time
import uuid

from bench.bare import BareClaude
from bench.report import Bar, Row
from bench.rig import Rig
from bench.samples import interleaved

BAR = Bar(limit=50.0, of="difference")
PROMPT = "Say hello."


async def measure(rig: Rig, rounds: int) -> list[Row]:
    """One row."""
    bare = await BareClaude.spawn(rig.place, str(uuid.uuid4()))
    try:
        await bare.ready()
        async with rig.session() as session_id:
            pairs = await interleaved(rounds, baseline=lambda: _bare(bare), ours=lambda: _durable(rig, session_id))
    finally:
        await bare.end()
    return [pairs.row("turn, message to result", "ms", BAR, "baseline: the same turn on a bare claude")]


async def _bare(claude: BareClaude) -> float:
    began = time.perf_counter()
    await claude.turn(PROMPT)
    return (time.perf_counter() - began) * 1000


async def _durable(rig: Rig, session_id: str) -> float:
    began = time.perf_counter()
    await rig.turn(session_id, PROMPT)
    return (time.perf_counter() - began) * 1000
