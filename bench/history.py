"""What a session writes into Temporal's history: its events per turn, and in an hour in which nothing happens."""

from __future__ import annotations

import asyncio
from typing import Final

from bench.report import Row
from bench.rig import Rig
from bench.samples import REST_SECONDS
from bench.sleep import IDLE, PROMPT, asleep
from workflows.messages import SessionOptions, workflow_id

# No event comes more rarely than a heartbeat or a poll would, and those come every few seconds.
WATCH_SECONDS: Final = 20.0
SETTLED_SECONDS: Final = 1.0
AN_HOUR: Final = 3600.0


async def measure(rig: Rig, rounds: int) -> list[Row]:
    """Two rows, counted in the histories of real sessions."""
    per_turn = await _per_turn(rig, rounds)
    watched = f"watched for {WATCH_SECONDS:.0f} s awake and as long asleep"
    return [
        Row(
            name="events per turn in history", value=per_turn, unit="events", note=f"over {rounds} turns without tools"
        ),
        Row(
            name="events per idle hour in history",
            value=await _per_idle_hour(rig),
            unit="events",
            note=f"of falling asleep, which happens once, and what goes on besides: {watched}",
        ),
    ]


async def _per_turn(rig: Rig, rounds: int) -> float:
    async with rig.session() as session_id:
        await rig.turn(session_id, PROMPT)
        before = await length(rig, session_id)
        for _ in range(rounds):
            await rig.turn(session_id, PROMPT)
        return (await length(rig, session_id) - before) / rounds


async def _per_idle_hour(rig: Rig) -> float:
    """Half an hour awake by default, one hibernation, and the rest asleep."""
    awake_share = SessionOptions().idle_seconds / AN_HOUR
    async with rig.session() as awake, rig.session(IDLE) as sleepy:
        await rig.turn(awake, PROMPT)
        await rig.turn(sleepy, PROMPT)
        # A turn's last events follow its answer, and those of falling asleep its status.
        await asyncio.sleep(REST_SECONDS)
        before = await length(rig, sleepy)
        await asleep(rig, sleepy)
        await asyncio.sleep(SETTLED_SECONDS)
        marks = await asyncio.gather(length(rig, awake), length(rig, sleepy))
        await asyncio.sleep(WATCH_SECONDS)
        added = [await length(rig, session_id) for session_id in (awake, sleepy)]
    hourly = [(now - then) * AN_HOUR / WATCH_SECONDS for now, then in zip(added, marks, strict=True)]
    return marks[1] - before + hourly[0] * awake_share + hourly[1] * (1 - awake_share)


async def length(rig: Rig, session_id: str) -> int:
    """How many events the session's history has."""
    return (await rig.client.get_workflow_handle(workflow_id(session_id)).describe()).history_length
