"""Sleep, lifetime, money, the longest turn, silence: every limit of a session, with its timer skipped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from activities.calls import PermissionNeeded, SendTurn, TurnStep
from tests.workflow.conftest import Desk, ScriptedHost, answer, gone, parked
from workflows.errors import Refused, SessionEnded
from workflows.messages import SessionOptions


@pytest.fixture
async def limited(environment: WorkflowEnvironment, host: ScriptedHost) -> AsyncIterator[Any]:
    """Opens a session with the given options; stopped at the end."""
    desks: list[Desk] = []

    async def open_desk(**options: Any) -> Desk:
        desk = Desk(environment, SessionOptions(**options))
        desks.append(desk)
        await desk.open()
        return desk

    yield open_desk
    for desk in desks:
        await desk.sessions.stop(desk.session_id)


async def test_an_idle_session_hibernates_and_wakes_with_the_next_message(limited: Any, host: ScriptedHost) -> None:
    """After half an hour without work the process is ended; the next message brings the next generation."""
    desk = await limited()
    await desk.turn(await desk.send("one"))
    await desk.until(lambda: host.stops, timedelta(minutes=10))
    asleep = await desk.reaches("hibernated")
    report = await desk.turn(await desk.send("two"))
    awake = await desk.status()

    assert (asleep.pid, asleep.generation) == (0, 1)
    assert report.state == "done"
    assert (awake.generation, awake.restarts, awake.status) == (2, 0, "ready")


async def test_a_sleeping_session_is_woken_without_a_message(limited: Any, host: ScriptedHost) -> None:
    """Its claude comes up once, however often it is woken, and it falls asleep again when nothing comes."""
    desk: Desk = await limited(idle_seconds=1800)
    await desk.until(lambda: host.stops, timedelta(minutes=10))
    await desk.reaches("hibernated")
    woken = await desk.sessions.wake(desk.session_id)
    awake = await desk.sessions.wait_ready(desk.session_id)
    again = await desk.sessions.wake(desk.session_id)
    starts = len(host.starts)
    await desk.until(lambda: len(host.stops) == 2, timedelta(minutes=10))
    await desk.reaches("hibernated")

    assert (woken.status, awake.status, again.status) == ("starting", "ready", "ready")
    assert starts == len(host.starts) == 2


async def test_a_session_that_is_stopped_is_not_woken(limited: Any, host: ScriptedHost) -> None:
    """It says so, and nothing is started."""
    desk: Desk = await limited(idle_seconds=1800)
    await desk.sessions.stop(desk.session_id)
    with pytest.raises(SessionEnded):
        await desk.sessions.wake(desk.session_id)

    assert len(host.starts) == 1


async def test_a_busy_session_does_not_hibernate(limited: Any, host: ScriptedHost) -> None:
    """Only idle time counts."""
    host.script = lambda _: parked()
    desk = await limited(max_turn_seconds=86400)
    await desk.send("long")
    await desk.skip(timedelta(hours=3))

    assert (await desk.status()).status == "busy"
    assert host.stops == []


async def test_a_hibernated_session_is_stopped_like_any_other(limited: Any, host: ScriptedHost) -> None:
    """Nothing is started in order to be stopped."""
    desk = await limited(idle_seconds=60)
    await desk.until(lambda: host.stops)
    await desk.reaches("hibernated")
    stopped = await desk.sessions.stop(desk.session_id)

    assert stopped.status == "stopped"
    assert len(host.starts) == 1


async def test_a_lifetime_ends_with_a_warning_before(limited: Any, host: ScriptedHost) -> None:
    """A session of ten hours warns after eight and is stopped after ten."""
    desk = await limited(lifetime_seconds=36000, idle_seconds=0)
    await desk.skip(timedelta(hours=8, minutes=1))

    async def is_warned() -> bool:
        return bool((await desk.status()).warnings)

    # A question may overtake the timer that has just fired.
    await desk.eventually(is_warned)
    warned = await desk.status()
    await desk.until(lambda: host.stops, timedelta(minutes=30))
    report = await desk.handle.result()

    assert (warned.status, warned.warnings) == ("ready", ["the session ends in 120 minutes"])
    assert report.status == "stopped"
    with pytest.raises(SessionEnded):
        await desk.send("too late")


async def test_a_budget_warns_and_then_refuses(limited: Any, host: ScriptedHost) -> None:
    """Each turn costs 0.25 USD: of 1 USD the fourth is the last, and what is queued behind it is told so."""
    desk = await limited(cost_budget_usd=1.0)
    for number in range(3):
        await desk.turn(await desk.send(f"turn {number}"))
    nothing_said = (await desk.status()).warnings
    held = await desk.send("the fourth")
    await desk.turn(held)
    with pytest.raises(Refused, match=r"budget of 1.00 USD is spent"):
        await desk.send("the fifth")

    assert nothing_said == []
    assert len(host.sent) == 4


async def test_a_budget_that_is_nearly_spent_is_told(limited: Any, host: ScriptedHost) -> None:
    """At four fifths the person is warned."""
    desk = await limited(cost_budget_usd=0.30)
    await desk.turn(await desk.send("one"))

    assert (await desk.status()).warnings == ["0.25 of 0.30 USD are spent"]


async def test_a_turn_that_takes_too_long_is_interrupted(limited: Any, host: ScriptedHost) -> None:
    """After its time the turn is interrupted, and its result says why."""
    host.pace = timedelta(seconds=20)

    def script(call: SendTurn) -> TurnStep | Exception:
        return answer(call) if host.interrupts else host.busy()

    host.script = script
    desk = await limited(max_turn_seconds=600)
    report = await desk.turn(await desk.send("for ever"), timedelta(minutes=2))

    assert report.ended is not None
    assert report.ended.error_kind == "limit"
    assert len(host.interrupts) == 1
    assert host.stops == []


async def test_a_turn_that_does_not_hear_is_ended_with_its_process(limited: Any, host: ScriptedHost) -> None:
    """Half a minute after the interrupt claude is killed; the turn is given up, and the session goes on."""
    host.pace = timedelta(seconds=40)

    def script(call: SendTurn) -> TurnStep | Exception:
        if call.text != "deaf":
            return answer(call)
        return gone() if host.stops else host.busy()

    host.script = script
    host.ends_when_stopped = True
    desk = await limited(max_turn_seconds=600)
    report = await desk.turn(await desk.send("deaf"), timedelta(minutes=1))
    after = await desk.turn(await desk.send("still there?"))

    assert (report.state, report.error) == ("failed", "the turn took longer than 600 seconds")
    assert after.state == "done"
    assert [call.timeout_seconds for call in host.stops] == [0.0]


async def test_a_question_ends_with_the_turn_that_is_given_up(limited: Any, host: ScriptedHost) -> None:
    """Asked in the half minute after the interrupt, it waits for nobody any more, and the next turn is an ordinary one."""
    host.pace = timedelta(seconds=20)
    needed = PermissionNeeded(turn_id="deaf", request_id="r", tool="Bash", input={}, digest="d")

    def script(call: SendTurn) -> TurnStep | Exception:
        if call.text != "deaf":
            return answer(call)
        if host.interrupts and "r" not in call.asked:
            return TurnStep(permission=needed)
        return gone() if host.stops else host.busy()

    host.script = script
    host.ends_when_stopped = True
    desk = await limited(max_turn_seconds=600)
    report = await desk.turn(await desk.send("deaf", turn_id="deaf"), timedelta(minutes=1))
    left = (await desk.status()).approvals
    after = await desk.turn(await desk.send("still there?"))

    assert (report.state, left, after.state) == ("failed", [], "done")
    assert any("r" in call.asked for call in host.sent)


async def test_time_that_a_person_is_asked_for_does_not_count(limited: Any, host: ScriptedHost) -> None:
    """A question that waits for two hours leaves the turn its own time."""
    host.pace = timedelta(minutes=5)
    needed = PermissionNeeded(turn_id="t", request_id="r", tool="Bash", input={}, digest="d")

    def script(call: SendTurn) -> TurnStep | Exception:
        if "r" not in call.asked:
            return TurnStep(permission=needed)
        return answer(call) if host.answers else host.busy()

    host.script = script
    desk = await limited(max_turn_seconds=600, approval_seconds=7200)
    await desk.send("ask", turn_id="t")
    report = await desk.turn("t", timedelta(minutes=20))

    assert report.state == "done"
    assert host.interrupts == []


async def test_a_silent_claude_is_ended_and_the_turn_goes_on(limited: Any, host: ScriptedHost) -> None:
    """A claude that says nothing for too long is replaced, and the person is told."""

    def script(call: SendTurn) -> TurnStep | Exception:
        if call.generation == 1:
            return gone() if host.stops else TurnStep(is_silent=True)
        return answer(call)

    host.script = script
    host.ends_when_stopped = True
    desk = await limited()
    report = await desk.turn(await desk.send("hello", turn_id="t"))
    status = await desk.status()

    assert report.state == "done"
    assert status.warnings == ["claude was silent in turn t: it was ended and starts again"]
    assert status.generation == 2


async def test_stop_after_the_turn(limited: Any, host: ScriptedHost) -> None:
    """The running turn ends well, the queued one is not begun, and no new one is taken."""

    def script(call: SendTurn) -> TurnStep | Exception:
        return answer(call) if host.may_end else host.busy()

    host.script = script
    host.may_end = False
    desk = await limited()
    turns = [await desk.send("running"), await desk.send("queued")]
    await desk.reaches("busy")
    stopping = desk.begin_stop(when="after_turn")
    await desk.refuses("too late")
    host.may_end = True
    stopped = await stopping
    reports = [await desk.sessions.wait_turn(desk.session_id, turn) for turn in turns]

    assert stopped.status == "stopped"
    assert [report.state for report in reports] == ["done", "stopped"]


async def test_a_queued_turn_may_be_taken_back(limited: Any, host: ScriptedHost) -> None:
    """A turn that has not begun is cancelled; the running one has to be interrupted."""
    host.script = lambda call: answer(call) if host.interrupts else host.busy()
    desk = await limited()
    turns = [await desk.send("running"), await desk.send("queued")]
    await desk.reaches("busy")
    cancelled = await desk.sessions.cancel_turn(desk.session_id, turns[1])
    with pytest.raises(Refused, match="is running: interrupt it"):
        await desk.sessions.cancel_turn(desk.session_id, turns[0])
    await desk.sessions.interrupt(desk.session_id)
    await desk.turn(turns[0])
    with pytest.raises(Refused, match="no turn is running"):
        await desk.sessions.interrupt(desk.session_id)

    assert cancelled.state == "cancelled"
    assert [call.text for call in host.sent if call.text == "queued"] == []
