"""A session outgrows its history: the next run of its workflow takes over, and neither claude nor anybody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from activities.calls import PermissionNeeded, TurnStep
from tests.workflow.conftest import Desk, ScriptedHost, answer, until
from workflows.approvals import Answer
from workflows.errors import Refused
from workflows.messages import Message, SessionOptions, TurnReport

# Temporal ends a workflow that has more.
EVENTS_CAP = 51_200
BYTES_CAP = 50 * 1024 * 1024
# Few enough for a handful of calls to use up, enough for a turn with a question.
SHORT = 60

REMOVE = PermissionNeeded(turn_id="t", request_id="r1", tool="Bash", input={"command": "rm x"}, digest="rm")
Opens = Callable[..., Awaitable[Desk]]


@pytest.fixture
async def short_lived(environment: WorkflowEnvironment, host: ScriptedHost) -> AsyncIterator[Opens]:
    """Opens a session whose runs are short; stopped at the end."""
    desks: list[Desk] = []

    async def open_desk(**options: Any) -> Desk:
        desks.append(Desk(environment, SessionOptions(**{"history_limit": SHORT, **options})))
        await desks[-1].open()
        return desks[-1]

    yield open_desk
    for desk in desks:
        await desk.sessions.stop(desk.session_id)


async def runs_of(client: Client, desk: Desk) -> list[list[HistoryEvent]]:
    """The histories of all runs, the first one first."""
    latest = await desk.handle.fetch_history()
    run_id = latest.events[0].workflow_execution_started_event_attributes.first_execution_run_id
    runs = []
    while run_id:
        history = await client.get_workflow_handle(desk.handle.id, run_id=run_id).fetch_history()
        runs.append(list(history.events))
        run_id = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return runs


def scheduled(events: list[HistoryEvent], activity: str) -> int:
    """How often a run called this activity."""
    return sum(event.activity_task_scheduled_event_attributes.activity_type.name == activity for event in events)


async def test_turns_go_on_over_many_runs(short_lived: Opens, client: Client, host: ScriptedHost) -> None:
    """Thirty turns take several runs and one claude; numbers add up, and lists show the same."""
    desk = await short_lived()
    turns = [await desk.send(f"message {number}") for number in range(30)]
    reports = [await desk.sessions.wait_turn(desk.session_id, turn) for turn in turns]
    status = await desk.status()
    runs = await runs_of(client, desk)
    described = await desk.handle.describe()

    assert [report.state for report in reports] == ["done"] * 30
    assert list(dict.fromkeys(call.text for call in host.sent)) == [f"message {number}" for number in range(30)]
    assert (status.turns_done, status.cost_usd, status.generation, status.restarts) == (30, 7.5, 1, 0)
    assert len(runs) > 3
    assert max(len(run) for run in runs) < 2 * SHORT
    assert (len(host.starts), host.stops) == (1, [])
    assert (await described.memo())["project"] == "/project"


async def test_a_turn_that_ended_in_an_earlier_run_is_answered_and_not_run(
    short_lived: Opens, host: ScriptedHost
) -> None:
    """Temporal knows update ids only within a run; the session knows its turns over all of them."""
    desk = await short_lived()
    turn_id = await desk.send("once")
    await desk.sessions.wait_turn(desk.session_id, turn_id)
    await desk.outgrow()
    await desk.outgrow()
    await desk.send("once", turn_id)
    report = await desk.sessions.wait_turn(desk.session_id, turn_id)

    assert report.ended is not None
    assert report.ended.text == "answer to once"
    assert len(host.sent) == 1


async def test_a_turn_goes_on_in_the_next_run_with_the_same_process(
    short_lived: Opens, client: Client, host: ScriptedHost
) -> None:
    """Only the follower is exchanged; queued turns keep their places and their order."""
    host.hold()
    desk = await short_lived()
    turns = [await desk.send(text) for text in ("running", "next", "last")]
    await desk.reaches("busy")
    await desk.outgrow()
    await desk.outgrow()
    between = [await desk.handle.query("turn", turn, result_type=TurnReport) for turn in turns]
    status = await desk.status()
    host.may_end = True
    reports = [await desk.sessions.wait_turn(desk.session_id, turn) for turn in turns]
    runs = await runs_of(client, desk)

    assert [(report.state, report.place) for report in between] == [("running", 0), ("queued", 1), ("queued", 2)]
    assert (status.status, status.turn_id, status.generation) == ("busy", turns[0], 1)
    assert [report.state for report in reports] == ["done"] * 3
    assert list(dict.fromkeys(call.text for call in host.sent)) == ["running", "next", "last"]
    assert [scheduled(run, "start_claude") for run in runs][:3] == [1, 0, 0]
    assert {call.generation for call in host.sent} == {1}
    assert host.stops == []


async def test_a_question_keeps_its_name_and_its_time(short_lived: Opens, host: ScriptedHost) -> None:
    """A person who saw the question in one run answers it in the next; claude gets the answer once."""
    host.script = lambda call: (
        TurnStep(permission=REMOVE) if "r1" not in call.asked else answer(call) if host.answers else host.busy()
    )
    desk = await short_lived()
    await desk.send("remove x", turn_id="t")
    before = (await desk.reaches("awaiting_approval")).approvals
    await desk.outgrow()
    after = (await desk.reaches("awaiting_approval")).approvals
    await desk.sessions.resolve(desk.session_id, Answer(approval_id="a1", decision="allow"))
    report = await desk.turn("t")
    await desk.outgrow()
    with pytest.raises(Refused, match="needs no answer any more"):
        await desk.sessions.resolve(desk.session_id, Answer(approval_id="a1", decision="deny"))

    assert before == after
    assert report.state == "done"
    assert [(call.request_id, call.behavior) for call in host.answers] == [("r1", "allow")]


async def test_a_question_times_out_when_it_would_have(short_lived: Opens, host: ScriptedHost) -> None:
    """The ten minutes count from the question, not from the latest run."""
    host.pace = timedelta(minutes=2)
    host.script = lambda call: (
        TurnStep(permission=REMOVE) if "r1" not in call.asked else answer(call) if host.answers else host.busy()
    )
    desk = await short_lived()
    await desk.send("remove x", turn_id="t")
    await desk.reaches("awaiting_approval")
    await desk.skip(timedelta(minutes=6))
    await desk.outgrow()
    await desk.skip(timedelta(minutes=3))
    waiting = len((await desk.status()).approvals)
    await desk.skip(timedelta(minutes=2))
    await until(lambda: host.answers)

    assert waiting == 1
    assert host.answers[0].message == "Nobody answered within 10 minutes."


async def test_an_answer_that_claude_has_not_yet_is_not_lost(short_lived: Opens, host: ScriptedHost) -> None:
    """The answer is given in one run while the host is in trouble, and handed over in the next."""
    host.is_deaf = True
    host.script = lambda call: (
        TurnStep(permission=REMOVE) if "r1" not in call.asked else answer(call) if host.answers else host.busy()
    )
    desk = await short_lived()
    await desk.send("remove x", turn_id="t")
    await desk.reaches("awaiting_approval")
    await desk.sessions.resolve(desk.session_id, Answer(approval_id="a1", decision="deny", message="no"))
    await desk.outgrow()
    with pytest.raises(Refused, match="was answered already: deny"):
        await desk.sessions.resolve(desk.session_id, Answer(approval_id="a1", decision="allow"))
    host.is_deaf = False
    report = await desk.turn("t")

    assert report.state == "done"
    assert {(call.request_id, call.behavior, call.message) for call in host.answers} == {("r1", "deny", "no")}


async def test_a_sleeping_session_sleeps_on(short_lived: Opens, host: ScriptedHost) -> None:
    """A new run of a hibernated session starts nothing; the next message does."""
    desk = await short_lived(idle_seconds=60)
    await desk.until(lambda: host.stops)
    await desk.reaches("hibernated")
    await desk.outgrow()
    await desk.outgrow()
    status = await desk.status()
    starts = len(host.starts)
    report = await desk.turn(await desk.send("wake up"))

    assert (status.status, status.pid, starts) == ("hibernated", 0, 1)
    assert report.state == "done"
    assert (await desk.status()).generation == 2


async def test_idle_time_counts_over_all_runs(short_lived: Opens, host: ScriptedHost) -> None:
    """Fifty seconds in one run and eleven in the next are enough to fall asleep after sixty."""
    desk = await short_lived(idle_seconds=60)
    await desk.skip(timedelta(seconds=50))
    await desk.outgrow()
    slept_early = bool(host.stops)
    await desk.skip(timedelta(seconds=11))
    await desk.reaches("hibernated")
    report = await desk.turn(await desk.send("wake up"))

    assert (slept_early, report.state, len(host.stops)) == (False, "done", 1)


async def test_a_turn_begins_idle_time_anew(short_lived: Opens, host: ScriptedHost) -> None:
    """What was waited in an earlier run before a turn does not count after it."""
    desk = await short_lived(idle_seconds=60)
    await desk.skip(timedelta(seconds=50))
    await desk.outgrow()
    await desk.sessions.wait_turn(desk.session_id, await desk.send("work"))
    await desk.skip(timedelta(seconds=50))
    await desk.outgrow()

    assert ((await desk.status()).status, host.stops) == ("ready", [])


async def test_a_session_that_falls_asleep_while_it_hands_over_is_asleep(
    short_lived: Opens, host: ScriptedHost
) -> None:
    """The process it ended for sleep is not taken for one that died."""
    host.is_deaf = True
    desk = await short_lived(idle_seconds=60)
    await desk.skip(timedelta(seconds=61))
    await until(lambda: host.stops)
    before = await desk.run_id()
    # History fills up while the stop is under way.
    for _ in range(SHORT // 3):
        await desk.poke()
    host.is_deaf = False
    status = await desk.reaches("hibernated")
    await desk.poke()

    assert await desk.run_id() != before
    assert (status.restarts, (await desk.status()).status, len(host.starts)) == (0, "hibernated", 1)


async def test_the_pause_before_a_restart_is_kept(short_lived: Opens, client: Client, host: ScriptedHost) -> None:
    """A run that takes over in the pause waits for its end before it starts claude again."""
    host.dies(4)
    desk = await short_lived(history_limit=100)
    await desk.until(lambda: len(host.starts) == 4, timedelta(seconds=1))
    await until(lambda: host.endings_taken == 4)
    await desk.reaches("restarting")
    await desk.outgrow()
    starts = len(host.starts)
    # The new run has begun: skipping time before would skip its pause.
    await desk.poke()
    await desk.until(lambda: len(host.starts) == 5, timedelta(seconds=1))
    status = await desk.sessions.wait_ready(desk.session_id)
    commands = [
        event.event_type
        for event in (await runs_of(client, desk))[-1]
        if event.event_type in (EventType.EVENT_TYPE_TIMER_STARTED, EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
    ]

    assert starts == 4
    assert commands[0] == EventType.EVENT_TYPE_TIMER_STARTED
    assert (status.status, status.generation, status.restarts) == ("ready", 5, 4)


async def test_everybody_is_answered_while_runs_follow_each_other(short_lived: Opens, host: ScriptedHost) -> None:
    """Senders and long polls that arrive at the very moment are served by one run or by the next."""
    desk = await short_lived(history_limit=40)

    async def talk(name: str) -> list[str]:
        states: list[str] = []
        for number in range(8):
            message = Message(turn_id=f"{name}-{number}", text=f"{name} {number}")
            states.append((await desk.sessions.ask(desk.session_id, message)).state)
        return states

    said = await asyncio.gather(*(talk(name) for name in "abcd"))
    status = await desk.status()

    assert said == [["done"] * 8] * 4
    assert (status.turns_done, status.generation) == (32, 1)
    assert len({call.turn_id for call in host.sent}) == 32


@pytest.mark.parametrize("when", ["now", "after_turn"])
async def test_a_stop_is_answered_while_runs_follow_each_other(
    short_lived: Opens, host: ScriptedHost, when: Any
) -> None:
    """A stop among many calls is carried out once, whichever run it meets."""
    host.hold()
    desk = await short_lived(history_limit=20)
    turns = [await desk.send("running"), await desk.send("queued")]
    await desk.reaches("busy")
    pokes = [asyncio.create_task(desk.poke()) for _ in range(8)]
    stopping = desk.begin_stop(when=when)
    await asyncio.gather(*pokes, return_exceptions=True)
    host.may_end = True
    stopped = await stopping
    reports = [await desk.sessions.wait_turn(desk.session_id, turn) for turn in turns]

    assert stopped.status == "stopped"
    assert reports[1].state == "stopped"
    assert reports[0].state in (("done",) if when == "after_turn" else ("done", "stopped"))
    assert (await desk.handle.result()).status == "stopped"
    assert len(host.starts) == 1


async def test_a_stop_after_the_turn_that_meets_the_end_of_a_run(short_lived: Opens, host: ScriptedHost) -> None:
    """The run rests already and waits for one slow call: the turn then goes on in this run, and the stop after it."""
    host.hold()
    host.is_deaf = True
    desk = await short_lived()
    turn_id = await desk.send("running")
    await desk.reaches("busy")
    slow = asyncio.create_task(desk.sessions.interrupt(desk.session_id))
    await until(lambda: host.interrupts)
    before = await desk.run_id()
    for _ in range(SHORT // 3):
        await desk.poke()
    stopping = desk.begin_stop(when="after_turn")
    await desk.refuses("too late")
    host.is_deaf = False
    host.may_end = True
    await slow
    stopped = await stopping

    assert (stopped.status, await desk.run_id()) == ("stopped", before)
    assert (await desk.sessions.wait_turn(desk.session_id, turn_id)).state == "done"


async def test_a_lifetime_counts_from_the_first_run(short_lived: Opens, host: ScriptedHost) -> None:
    """Ten hours are ten hours, however many runs they take; the warning is given once."""
    desk = await short_lived(lifetime_seconds=36000, idle_seconds=0)
    await desk.skip(timedelta(hours=4))
    await desk.outgrow()
    await desk.skip(timedelta(hours=4, minutes=1))
    await desk.outgrow()
    warnings = (await desk.status()).warnings
    await desk.until(lambda: host.stops, timedelta(minutes=30))

    assert warnings == ["the session ends in 120 minutes"]
    assert (await desk.handle.result()).warnings == warnings


async def test_a_budget_counts_over_all_runs(short_lived: Opens, host: ScriptedHost) -> None:
    """Money spent in earlier runs is spent."""
    desk = await short_lived(cost_budget_usd=0.5)
    for text in ("one", "two"):
        await desk.turn(await desk.send(text))
        await desk.outgrow()

    with pytest.raises(Refused, match=r"budget of 0.50 USD is spent"):
        await desk.send("three")


async def test_the_longest_turn_is_not_prolonged(short_lived: Opens, host: ScriptedHost) -> None:
    """A turn's time goes on counting when another run takes over."""
    host.pace = timedelta(seconds=20)
    host.script = lambda call: answer(call) if host.interrupts else host.busy()
    desk = await short_lived(max_turn_seconds=600)
    turn_id = await desk.send("for ever")
    await desk.reaches("busy")
    await desk.skip(timedelta(seconds=400))
    await desk.outgrow()
    await desk.skip(timedelta(seconds=150))
    early = len(host.interrupts)
    await desk.skip(timedelta(seconds=100))
    report = await desk.turn(turn_id)

    assert early == 0
    assert report.ended is not None
    assert report.ended.error_kind == "limit"


async def test_a_death_in_mid_turn_is_mended_by_the_next_run(short_lived: Opens, host: ScriptedHost) -> None:
    """claude dies after the hand-over: the new run's watcher sees it, and the turn goes on once."""
    host.hold()
    desk = await short_lived()
    turn_id = await desk.send("running")
    await desk.reaches("busy")
    await desk.outgrow()
    host.dies(1)
    # The watcher that is parked looks again when claude is stopped under it; here the next run brings a new one.
    await desk.outgrow()
    host.may_end = True
    report = await desk.turn(turn_id)
    await until(lambda: len(host.starts) == 2)

    assert report.state == "done"
    assert (await desk.sessions.wait_ready(desk.session_id)).generation == 2


async def test_a_long_session_stays_within_what_temporal_bears(
    environment: WorkflowEnvironment, client: Client, host: ScriptedHost, request: pytest.FixtureRequest
) -> None:
    """`--turns` turns (600 by default, 5000 by hand): every run ends long before Temporal's limits."""
    count = int(request.config.getoption("--turns"))
    desk = Desk(environment, SessionOptions())
    await desk.open()
    sent: list[str] = []
    while len(sent) < count:
        sent += await asyncio.gather(*(desk.send(f"message {len(sent) + more}") for more in range(10)))
        await desk.eventually(lambda: _room(desk))
    reports = [await desk.sessions.wait_turn(desk.session_id, turn) for turn in sent[-20:]]
    status = await desk.status()
    stopped = await desk.sessions.stop(desk.session_id)
    runs = await runs_of(client, desk)
    sizes = [sum(event.ByteSize() for event in run) for run in runs]
    per_turn = sum(len(run) for run in runs) / count
    print(f"{count} turns: runs {[len(run) for run in runs]} events, {sizes} bytes; {per_turn:.1f} events per turn")

    assert [report.state for report in reports] == ["done"] * 20
    assert (status.turns_done, status.generation, status.restarts) == (count, 1, 0)
    assert stopped.status == "stopped"
    assert max(len(run) for run in runs) < EVENTS_CAP / 5
    assert max(sizes) < BYTES_CAP / 5
    assert per_turn < 20
    assert len(runs) > 1


async def _room(desk: Desk) -> bool:
    return (await desk.status()).queued < 80
