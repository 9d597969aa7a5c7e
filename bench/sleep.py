"""A message to a session that sleeps: how long until its answer, against a bare `claude --resume`."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Final, Literal

from bench.bare import BareClaude
from bench.report import Bar, Row
from bench.rig import Rig
from bench.samples import interleaved
from workflows.messages import SessionOptions

BAR: Final = Bar(limit=1.3, of="ratio")
PROMPT: Final = "Say hello."
# Long enough that no session falls asleep before it is told to work, short enough to wait for.
IDLE: Final = SessionOptions(idle_seconds=0.5)
ASLEEP_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.05


async def measure(rig: Rig, rounds: int) -> list[Row]:
    """One row: both conversations have a transcript, and grow alike."""
    conversation = str(uuid.uuid4())
    await _talk(rig, conversation, "new")
    async with rig.session(IDLE) as session_id:
        await rig.turn(session_id, PROMPT)
        await asleep(rig, session_id)
        pairs = await interleaved(
            rounds,
            baseline=lambda: _talk(rig, conversation, "resume"),
            ours=lambda: _woken(rig, session_id),
        )
    return [pairs.row("hibernated session, message to answer", "ms", BAR, "baseline: bare claude --resume, to answer")]


async def asleep(rig: Rig, session_id: str) -> None:
    """Return once the session has no process any more."""
    async with asyncio.timeout(ASLEEP_SECONDS):
        while (await rig.sessions.status(session_id)).status != "hibernated":
            await asyncio.sleep(LOOK_SECONDS)


async def _talk(rig: Rig, conversation: str, start: Literal["new", "resume"]) -> float:
    """From the spawn to the answer, with the message on its way before claude is up: it cannot be had sooner."""
    began = time.perf_counter()
    claude = await BareClaude.spawn(rig.place, conversation, start)
    try:
        await claude.turn(PROMPT)
        return (time.perf_counter() - began) * 1000
    finally:
        await claude.end()


async def _woken(rig: Rig, session_id: str) -> float:
    began = time.perf_counter()
    await rig.turn(session_id, PROMPT)
    seconds = time.perf_counter() - began
    # Falling asleep is not part of it, and the rest before the next sample begins after it.
    await asleep(rig, session_id)
    return seconds * 1000
