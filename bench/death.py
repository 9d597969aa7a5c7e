"""claude is killed: how long until the session has a new one that is ready."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from typing import Final

from bench.bare import BareClaude
from bench.report import Row
from bench.rig import Rig
from bench.samples import interleaved
from workflows.messages import SessionReport

PROMPT: Final = "Say hello."
READY_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.01


async def measure(rig: Rig, rounds: int) -> list[Row]:
    """One row, without a bar: most of it is the pause that keeps a broken claude from spinning."""
    conversation = str(uuid.uuid4())
    await _talked(rig, conversation)
    pairs = await interleaved(rounds, baseline=lambda: _resumed(rig, conversation), ours=lambda: _restarted(rig))
    return [
        pairs.row("claude killed, to restarted and ready", "ms", None, "baseline: bare claude --resume to handshake")
    ]


async def _talked(rig: Rig, conversation: str) -> None:
    """Leave a transcript to resume."""
    claude = await BareClaude.spawn(rig.place, conversation)
    try:
        await claude.turn(PROMPT)
    finally:
        await claude.end()


async def _resumed(rig: Rig, conversation: str) -> float:
    began = time.perf_counter()
    claude = await BareClaude.spawn(rig.place, conversation, "resume")
    try:
        await claude.ready()
        return (time.perf_counter() - began) * 1000
    finally:
        await claude.end()


async def _restarted(rig: Rig) -> float:
    """A session of its own each time: the pause before a restart grows with every one before it."""
    async with rig.session() as session_id:
        await rig.turn(session_id, PROMPT)
        before = await rig.sessions.status(session_id)
        began = time.perf_counter()
        os.kill(before.pid, signal.SIGKILL)
        async with asyncio.timeout(READY_SECONDS):
            while not is_restarted(await rig.sessions.status(session_id), after=before):
                await asyncio.sleep(LOOK_SECONDS)
        return (time.perf_counter() - began) * 1000


def is_restarted(report: SessionReport, *, after: SessionReport) -> bool:
    """A later process is ready."""
    return report.status == "ready" and report.generation > after.generation
