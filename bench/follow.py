"""How late a follower has what claude writes: through Temporal, against reading the journal's file; and what it costs."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Final

from bench.history import length
from bench.report import Bar, Row
from bench.rig import Rig
from bench.samples import REST_SECONDS, Pairs
from claude import protocol
from claude.events import ToolAnswered, TurnResult
from demo.messages_api import Step, Text, Tool, Tools
from workflows.messages import Message

# A person takes what comes within this time for immediate.
BAR: Final = Bar(limit=100.0, of="difference")
# A turn with 500 tool calls, however often it is looked at; and one that is sent and left alone.
FOLLOWED_BAR: Final = Bar(limit=40.0)
ALONE_BAR: Final = Bar(limit=12.0)
PROMPT: Final = "Say when."
WORDS: Final = "It is now."
READ_ALL: Final = "Read them all."
CALLS: Final = 500
CALLS_AT_ONCE: Final = 125
NOTE: Final = "note.txt"
REPLIES: Final[dict[str, list[Step]]] = {PROMPT: [Text(WORDS)]}


async def measure(rig: Rig, rounds: int) -> list[Row]:
    """Three rows: the latency, and the events of a turn of many tool calls with and without a follower."""
    pairs = await _latencies(rig, rounds)
    return [
        pairs.row(
            "follower latency, from the API's answer to the line", "ms", BAR, "baseline: who polls the file each ms"
        ),
        *[await _events(rig, is_followed=is_followed) for is_followed in (True, False)],
    ]


async def _latencies(rig: Rig, rounds: int) -> Pairs:
    """Both followers see the same line: what differs is how it comes to them."""
    pairs = Pairs(baseline=[], ours=[])
    async with rig.session() as session_id:
        for _ in range(rounds + 1):
            await asyncio.sleep(REST_SECONDS)
            through_temporal = asyncio.create_task(_through_temporal(rig, session_id))
            from_file = asyncio.create_task(_from_file(rig, session_id))
            # Both wait at the journal's end by then.
            await asyncio.sleep(REST_SECONDS)
            await rig.turn(session_id, PROMPT)
            spoken = rig.place.asked_at[-1]
            pairs.ours.append((await through_temporal - spoken) * 1000)
            pairs.baseline.append((await from_file - spoken) * 1000)
    del pairs.ours[0], pairs.baseline[0]
    return pairs


async def _through_temporal(rig: Rig, session_id: str) -> float:
    lines = rig.sessions.journal(session_id, offset=-1, follow=True)
    try:
        async for line in lines:
            if WORDS in line.text:
                return time.time()
    finally:
        await lines.aclose()
    raise RuntimeError(f"session {session_id!r} ended before it said {WORDS!r}")


async def _from_file(rig: Rig, session_id: str) -> float:
    with rig.place.host.session(session_id).journal(1).open("rb") as journal:
        journal.seek(0, 2)
        read = b""
        while WORDS.encode() not in read:
            await asyncio.sleep(0.001)
            read += journal.read()
    return time.time()


async def _events(rig: Rig, *, is_followed: bool) -> Row:
    note = rig.place.project / NOTE
    note.write_text("a note")
    calls = Tools([Tool("Read", {"file_path": str(note)})] * CALLS_AT_ONCE)
    rig.place.api.script[READ_ALL] = [*[calls] * (CALLS // CALLS_AT_ONCE), Text(WORDS)]
    async with rig.session() as session_id:
        before = await length(rig, session_id)
        following = asyncio.create_task(_answers(rig, session_id)) if is_followed else None
        await _turn(rig, session_id, is_followed=is_followed)
        added = await length(rig, session_id) - before
        seen = await following if following else CALLS
    if seen != CALLS:
        raise RuntimeError(f"the follower saw {seen} of {CALLS} tool calls")
    how = "followed" if is_followed else "not followed"
    bar = FOLLOWED_BAR if is_followed else ALONE_BAR
    return Row(name=f"events of a turn of {CALLS} tool calls, {how}", value=added, unit="events", bar=bar)


async def _turn(rig: Rig, session_id: str, *, is_followed: bool) -> None:
    if is_followed:
        await rig.turn(session_id, READ_ALL)
        return
    turn_id = uuid.uuid4().hex
    await rig.sessions.send(session_id, Message(turn_id=turn_id, text=READ_ALL))
    await rig.sessions.wait_turn(session_id, turn_id)


async def _answers(rig: Rig, session_id: str) -> int:
    """How many tool results a follower sees until the turn is over."""
    seen = 0
    lines = rig.sessions.journal(session_id, follow=True)
    try:
        async for line in lines:
            events = protocol.parse(line.text.encode("utf-8", "surrogateescape"))
            seen += sum(isinstance(event, ToolAnswered) for event in events)
            if any(isinstance(event, TurnResult) for event in events):
                break
    finally:
        await lines.aclose()
    return seen
