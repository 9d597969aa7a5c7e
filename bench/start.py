"""The start of a session, from the request to ready, against the spawn of a bare claude to its handshake."""

from __future__ import annotations

import time
import uuid

import psutil

from bench.bare import BareClaude
from bench.report import Bar, Row
from bench.rig import Rig
from bench.samples import interleaved

BAR = Bar(limit=1.25, of="ratio")


async def measure(rig: Rig, rounds: int) -> list[Row]:
    """The start, and what the worker weighs that made all of them."""
    pairs = await interleaved(rounds, baseline=lambda: _spawn(rig), ours=lambda: _open(rig))
    resident = psutil.Process(rig.worker.process.pid).memory_info().rss / 1e6
    return [
        pairs.row("session start, request to ready", "ms", BAR, "baseline: bare claude, spawn to handshake"),
        Row(name="memory of a worker", value=resident, unit="MB", note=f"RSS after {rounds + 1} sessions"),
    ]


async def _spawn(rig: Rig) -> float:
    began = time.perf_counter()
    claude = await BareClaude.spawn(rig.place, str(uuid.uuid4()))
    try:
        await claude.ready()
        return (time.perf_counter() - began) * 1000
    finally:
        await claude.end()


async def _open(rig: Rig) -> float:
    began = time.perf_counter()
    async with rig.session():
        return (time.perf_counter() - began) * 1000
