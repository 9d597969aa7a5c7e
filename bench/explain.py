"""Where the time of a start and of a turn goes: what Temporal wrote down and what others saw, on one clock."""

from __future__ import annotations

import asyncio
import statistics
import time
import uuid
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from bench import reattach
from bench.bare import BareClaude
from bench.place import private_place
from bench.rig import Rig, full_rig
from bench.samples import REST_SECONDS
from bench.turn import PROMPT
from workflows.messages import Message, workflow_id

ROUNDS: Final = 20
TAKEOVERS: Final = 5


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Something that happened, on time.time()'s clock."""

    what: str
    at: float


async def explain(console: Console) -> None:
    """Print the steps of a start, of a turn, of a turn on a bare claude, and of a takeover."""
    async with private_place(reattach.REPLIES) as place, full_rig(place) as rig:
        for steps in (start_steps, bare_turn_steps, turn_steps):
            console.print(await steps(rig, ROUNDS))
        console.print(await takeover_steps(rig, TAKEOVERS))


async def start_steps(rig: Rig, rounds: int) -> Table:
    """The steps of a session's start."""
    timelines = [await _rested(_start(rig)) for _ in range(rounds + 1)]
    return _table("start of a session", timelines[1:])


async def turn_steps(rig: Rig, rounds: int) -> Table:
    """The steps of a turn on a session that lives through all of them."""
    async with rig.session() as session_id:
        timelines = [await _rested(_turn(rig, session_id)) for _ in range(rounds + 1)]
    return _table("turn", timelines[1:])


async def bare_turn_steps(rig: Rig, rounds: int) -> Table:
    """The steps of the same turn on a bare claude."""
    claude = await BareClaude.spawn(rig.place, str(uuid.uuid4()))
    try:
        await claude.ready()
        timelines = [await _rested(_bare_turn(rig, claude)) for _ in range(rounds + 1)]
    finally:
        await claude.end()
    return _table("turn on a bare claude", timelines[1:])


async def takeover_steps(rig: Rig, rounds: int) -> Table:
    """The steps from a new worker being up to a turn being followed again, after the old one was killed."""
    async with reattach.held_turn(rig) as session_id:
        timelines = [await _takeover(rig, session_id) for _ in range(rounds + 1)]
    return _table("takeover of a turn", timelines[1:])


async def _takeover(rig: Rig, session_id: str) -> list[Mark]:
    follower = await reattach.followed_again(rig, session_id, lambda: rig.worker.kill())
    seen = time.time()
    up = seen - (time.perf_counter() - rig.worker.up_at)
    marks = [
        Mark(what="server: the dead worker's attempt failed", at=_seconds(follower.last_attempt_complete_time)),
        Mark(what="server: next attempt started", at=_seconds(follower.last_started_time)),
        Mark(what="server: its last heartbeat", at=_seconds(follower.last_heartbeat_time)),
        Mark(what="client: seen", at=seen),
    ]
    return _ordered(up, marks)


def _seconds(stamp: Timestamp) -> float:
    return stamp.ToNanoseconds() / 1e9


async def _rested(timeline: Coroutine[Any, Any, list[Mark]]) -> list[Mark]:
    """As when it is measured."""
    await asyncio.sleep(REST_SECONDS)
    return await timeline


async def _start(rig: Rig) -> list[Mark]:
    began = time.time()
    async with rig.session() as session_id:
        ready = Mark(what="client: ready", at=time.time())
        return _ordered(began, [ready, *await _history(rig, session_id, began)])


async def _turn(rig: Rig, session_id: str) -> list[Mark]:
    turn_id, began = uuid.uuid4().hex, time.time()
    await rig.sessions.send(session_id, Message(turn_id=turn_id, text=PROMPT))
    accepted = Mark(what="client: message accepted", at=time.time())
    await rig.sessions.wait_turn(session_id, turn_id)
    ended = Mark(what="client: result", at=time.time())
    return _ordered(began, [accepted, ended, *_asked(rig, began), *await _history(rig, session_id, began)])


async def _bare_turn(rig: Rig, claude: BareClaude) -> list[Mark]:
    began = time.time()
    await claude.turn(PROMPT)
    return _ordered(began, [Mark(what="client: result", at=time.time()), *_asked(rig, began)])


def _asked(rig: Rig, since: float) -> Iterable[Mark]:
    """When claude asked the scripted API."""
    return [Mark(what="API: asked by claude", at=at) for at in rig.place.asked_at if at >= since]


async def _history(rig: Rig, session_id: str, since: float) -> list[Mark]:
    history = await rig.client.get_workflow_handle(workflow_id(session_id)).fetch_history()
    marks = [Mark(what=_name(event), at=_seconds(event.event_time)) for event in history.events]
    return [mark for mark in marks if mark.at >= since]


def _name(event: HistoryEvent) -> str:
    name = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").lower().replace("_", " ")
    activity = event.activity_task_scheduled_event_attributes.activity_type.name
    return f"history: {name} {activity}".strip()


def _ordered(began: float, marks: Iterable[Mark]) -> list[Mark]:
    return [Mark(what=mark.what, at=mark.at - began) for mark in sorted(marks, key=lambda mark: mark.at)]


def _table(title: str, timelines: list[list[Mark]]) -> Table:
    """Medians over the timelines that have the most common order of steps."""
    orders = [tuple(mark.what for mark in timeline) for timeline in timelines]
    order = statistics.mode(orders)
    alike = [timeline for timeline, its in zip(timelines, orders, strict=True) if its == order]
    shown = Table(title=f"{title}: {len(alike)} of {len(timelines)} alike", title_justify="left")
    for heading in ("step", "at ms", "after the step before, ms"):
        shown.add_column(heading, justify="left" if heading == "step" else "right")
    before = 0.0
    for step, what in enumerate(order):
        at = statistics.median(timeline[step].at for timeline in alike) * 1000
        shown.add_row(what, f"{at:.1f}", f"{at - before:.1f}")
        before = at
    return shown
