"""What a session writes into history: little for a turn, and for waiting nothing."""

from __future__ import annotations

import uuid
from datetime import timedelta

from tests.workflow.conftest import Desk, ScriptedHost
from workflows.messages import Message

TURNS = 10
# The message is an update (accepted, completed), the follower an activity (scheduled, started, completed), and either
# is followed by a task of the workflow (scheduled, started, completed); lists learn of its beginning and of its end.
SENT = 13
# Who waits in the same call has a timer that is called off.
ASKED = SENT + 2


async def length(desk: Desk) -> int:
    return (await desk.handle.describe()).history_length


async def test_a_turn_writes_few_events_however_long_somebody_waits(desk: Desk, host: ScriptedHost) -> None:
    """Each turn adds the same few events; looking for its end, again and again, adds none."""
    await desk.open()
    await desk.sessions.wait_turn(desk.session_id, await desk.send("first"))
    before = await length(desk)
    for number in range(TURNS):
        await desk.sessions.wait_turn(desk.session_id, await desk.send(f"message {number}"))

    assert await length(desk) - before == TURNS * SENT
    assert len(host.sent) == TURNS + 1


async def test_who_asks_and_waits_costs_one_timer_more(desk: Desk) -> None:
    """Message and wait in one call spare a task of the workflow."""
    await desk.open()
    messages = [Message(turn_id=uuid.uuid4().hex, text="hello") for _ in range(TURNS + 1)]
    await desk.sessions.ask(desk.session_id, messages[0])
    before = await length(desk)
    reports = [await desk.sessions.ask(desk.session_id, message) for message in messages[1:]]

    assert await length(desk) - before == TURNS * ASKED
    assert [report.state for report in reports] == ["done"] * TURNS


async def test_idle_time_counts_from_the_latest_turn(desk: Desk, host: ScriptedHost) -> None:
    """The timer that was set before a turn rings in vain and is set again for the rest."""
    await desk.open()
    await desk.skip(timedelta(minutes=20))
    await desk.turn(await desk.send("late"))
    await desk.skip(timedelta(minutes=25))
    awake = (await desk.status()).status, list(host.stops)
    await desk.skip(timedelta(minutes=6))
    await desk.reaches("hibernated")

    assert awake == ("ready", [])
    assert len(host.stops) == 1


async def test_an_idle_hour_is_quiet(desk: Desk) -> None:
    """One ring in half an hour, one hibernation, and then nothing."""
    await desk.open()
    before = await length(desk)
    await desk.skip(timedelta(minutes=31))
    await desk.reaches("hibernated")
    asleep = await length(desk)
    await desk.skip(timedelta(hours=5))

    assert asleep - before <= 20
    assert await length(desk) - asleep <= 2, "a skip leaves its own events, and nothing else does"
