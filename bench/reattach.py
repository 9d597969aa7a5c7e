"""A worker is killed in mid-turn: how soon the next one follows the turn again, once it is up."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final

from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo

from bench.report import Bar, Row
from bench.rig import Rig
from bench.samples import interleaved
from demo.messages_api import Hold, Step, Text
from workflows.messages import Message, workflow_id

BAR: Final = Bar(limit=1000.0)
# The scripted API is silent on this prompt until the end of the subject: one turn sees all workers come and go.
PROMPT: Final = "Think until you are told."
REPLIES: Final[Mapping[str, Sequence[Step]]] = {PROMPT: [Hold(), Text("Done.")]}
# Past every timeout that could hand the turn over.
FOLLOWED_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.005


async def measure(rig: Rig, rounds: int) -> list[Row]:
    """One row; the turn must have been asked and answered once when all is over."""
    async with held_turn(rig) as session_id:
        pairs = await interleaved(
            rounds,
            baseline=lambda: _replaced(rig, session_id, lambda: rig.worker.end()),
            ours=lambda: _replaced(rig, session_id, lambda: rig.worker.kill()),
        )
    return [
        pairs.row("re-attach after SIGKILL of the worker", "ms", BAR, "from `worker is up`; baseline: after a drain")
    ]


@contextlib.asynccontextmanager
async def held_turn(rig: Rig) -> AsyncIterator[str]:
    """A session in the middle of a turn, which ends with the block: asked once, whatever happened in between."""
    async with rig.session() as session_id:
        turn_id, asked_before = uuid.uuid4().hex, rig.place.api.asked[PROMPT]
        await rig.sessions.send(session_id, Message(turn_id=turn_id, text=PROMPT))
        await rig.place.api.wait_asked(PROMPT, asked_before + 1)
        yield session_id
        rig.place.api.release(PROMPT)
        report = await rig.sessions.wait_turn(session_id, turn_id)
        asked = rig.place.api.asked[PROMPT] - asked_before
        if report.state != "done" or asked != 1:
            raise RuntimeError(f"the turn that saw the workers go is {report.state} and was asked {asked} times")


async def followed_again(rig: Rig, session_id: str, end: Callable[[], Awaitable[None]]) -> PendingActivityInfo:
    """Replace the worker, ending the old one this way; return when the turn is followed by the new one."""
    before = await _follower(rig, session_id)
    await end()
    await rig.start_worker()
    async with asyncio.timeout(FOLLOWED_SECONDS):
        while not is_followed(follower := await _follower(rig, session_id), after=before):
            await asyncio.sleep(LOOK_SECONDS)
    return follower


async def _replaced(rig: Rig, session_id: str, end: Callable[[], Awaitable[None]]) -> float:
    """Milliseconds from the new worker being up to the turn being followed again."""
    await followed_again(rig, session_id, end)
    return (time.perf_counter() - rig.worker.up_at) * 1000


async def _follower(rig: Rig, session_id: str) -> PendingActivityInfo:
    """The turn's activity, once it has begun."""
    handle = rig.client.get_workflow_handle(workflow_id(session_id))
    description = await handle.describe()
    return next(
        pending
        for pending in description.raw_description.pending_activities
        if pending.activity_type.name == "send_turn"
    )


def is_followed(pending: PendingActivityInfo, *, after: PendingActivityInfo) -> bool:
    """A later attempt runs and has sent a heartbeat of its own."""
    return (
        pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
        and pending.attempt > after.attempt
        and pending.last_heartbeat_time.ToNanoseconds() >= pending.last_started_time.ToNanoseconds()
    )
