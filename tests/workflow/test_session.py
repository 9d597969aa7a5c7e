"""The session's life as a workflow: turns, deaths of claude, stops. Every wait is skipped, none is sat through."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from activities.calls import SendTurn, TurnStep
from activities.failures import EXITED_EARLY, PROJECT_REFUSED
from tests.workflow.conftest import (
    Desk,
    ScriptedHost,
    answer,
    gone,
    host_working,
    parked,
    until,
    workflows_only,
    workflows_working,
)
from workflows import opening
from workflows.client import Sessions
from workflows.errors import NoWorker, Refused, SessionEnded, SessionNotFound
from workflows.messages import MESSAGE_CAP_BYTES, Message, SessionOptions


async def test_a_session_starts_runs_a_turn_and_stops(desk: Desk, host: ScriptedHost) -> None:
    """A session goes from start through a turn to its stop and tells where it stands."""
    await desk.open()
    turn_id = await desk.send("hello")
    report = await desk.sessions.wait_turn(desk.session_id, turn_id)
    stopped = await desk.sessions.stop(desk.session_id)

    assert report.ended is not None
    assert report.ended.text == "answer to hello"
    assert (stopped.status, stopped.turns_done, stopped.cost_usd, stopped.generation) == ("stopped", 1, 0.25, 1)
    assert len(host.stops) == 1


async def test_first_message_opens_the_session(desk: Desk, host: ScriptedHost) -> None:
    """A session opened with its first message runs it, and the same call again is answered and not run."""
    first = Message(turn_id="first", text="hello")
    accepted = [
        await desk.sessions.open_with("/project", first, session_id=desk.session_id),
        await desk.sessions.open_with("/project", first, session_id=desk.session_id),
    ]
    report = await desk.sessions.wait_turn(desk.session_id, "first")

    assert accepted[0] == accepted[1]
    assert report.state == "done"
    assert len(host.sent) == 1


async def test_open_and_wait_in_one_call_spares_a_task(desk: Desk, host: ScriptedHost) -> None:
    """The call is taken up in the first task of the session, with the start of claude, and answered when it is up."""
    report = await desk.sessions.open_ready("/project", session_id=desk.session_id)
    names = [EventType.Name(event.event_type) for event in (await desk.handle.fetch_history()).events]
    tasks = [place for place, name in enumerate(names) if name == "EVENT_TYPE_WORKFLOW_TASK_SCHEDULED"]

    assert (report.status, report.generation, len(host.starts)) == ("ready", 1, 1)
    first = names[tasks[0] : tasks[1]]
    assert {"EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED", "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"} <= set(first)


async def test_who_opens_what_is_open_does_not_wait_for_it(desk: Desk, host: ScriptedHost) -> None:
    """A second opening is refused, whoever made the first, and the session is as it was; so is one that was stopped."""
    await desk.open()
    with pytest.raises(Refused, match="exists already"):
        await desk.sessions.open_ready("/project", session_id=desk.session_id)
    await desk.sessions.stop(desk.session_id)
    with pytest.raises(Refused, match="exists already"):
        await desk.sessions.open_ready("/project", session_id=desk.session_id)

    assert len(host.starts) == 1


async def test_a_session_that_fails_to_open_says_why(desk: Desk, host: ScriptedHost) -> None:
    """Who waits for claude in the same call hears why there will be none, and may open the session again."""
    host.start_failures.append(ApplicationError("'/x' is a file", type=PROJECT_REFUSED, non_retryable=True))
    failed = await desk.sessions.open_ready("/x", session_id=desk.session_id)
    again = await desk.sessions.open_ready("/project", session_id=desk.session_id)

    assert (failed.status, failed.note) == ("failed", "'/x' is a file")
    assert again.status == "ready"


async def test_a_resent_message_is_answered_and_not_run_again(desk: Desk, host: ScriptedHost) -> None:
    """One turn id runs once, however often and by whatever update it is sent."""
    await desk.open()
    for _ in range(3):
        await desk.send("hello", turn_id="same")
    # A different update that carries a known turn id reaches the handler and is recognised there.
    await desk.handle.execute_update("send", Message(turn_id="same", text="hello"), id="another-update")
    report = await desk.sessions.wait_turn(desk.session_id, "same")

    assert report.state == "done"
    assert [call.turn_id for call in host.sent] == ["same"]


async def test_turns_run_one_at_a_time_in_order(desk: Desk, host: ScriptedHost) -> None:
    """Messages that arrive together queue, say their place and run in order."""
    running: list[int] = []

    def note(call: SendTurn) -> TurnStep:
        running.append(len(host.sent))
        return answer(call)

    host.script = note
    await desk.open()
    turns = [await desk.send(f"message {number}") for number in range(6)]
    reports = [await desk.sessions.wait_turn(desk.session_id, turn) for turn in turns]

    assert [report.state for report in reports] == ["done"] * 6
    assert [call.text for call in host.sent] == [f"message {number}" for number in range(6)]
    assert running == [1, 2, 3, 4, 5, 6]


async def test_a_waiting_sender_learns_where_the_turn_stands(desk: Desk, host: ScriptedHost) -> None:
    """A bounded wait ends with `running` and the next in line knows its place."""
    host.script = lambda _: parked()
    await desk.open()
    turns = [await desk.send("long"), await desk.send("next")]
    waiting = [asyncio.create_task(desk.sessions.wait_turn(desk.session_id, turn, seconds=5)) for turn in turns]
    await desk.until(lambda: all(wait.done() for wait in waiting))
    reports = [await wait for wait in waiting]

    assert [(report.state, report.place) for report in reports] == [("running", 0), ("queued", 1)]


async def test_a_death_in_mid_turn_restarts_claude_and_the_turn_ends_once(desk: Desk, host: ScriptedHost) -> None:
    """The turn is taken up by the next process and has one result."""

    def die_once(call: SendTurn) -> TurnStep | Exception:
        return gone() if call.generation == 1 else answer(call)

    host.script = die_once
    host.dies(1, after=timedelta(seconds=1))
    await desk.open()
    turn_id = await desk.send("work")
    report = await desk.turn(turn_id)
    status = await desk.status()

    assert report.state == "done"
    assert [call.generation for call in host.sent] == [1, 2]
    assert [start.generation for start in host.starts] == [1, 2]
    assert (status.turns_done, status.restarts) == (1, 1)


async def test_restarts_are_budgeted_and_the_last_words_are_kept(desk: Desk, host: ScriptedHost) -> None:
    """A claude that dies at once, again and again, is given up with the reason, and nothing is left."""
    host.dies(6)
    await desk.open()
    await desk.until(lambda: host.stops)
    with pytest.raises(WorkflowFailureError) as failed:
        await desk.handle.result()

    assert "given up after claude ended 6 times within 600 seconds" in str(failed.value.cause)
    assert "out of luck" in str(failed.value.cause)
    assert [start.generation for start in host.starts] == [1, 2, 3, 4, 5, 6]
    assert len(host.stops) == 1
    assert (await desk.status()).status == "failed"


async def test_rare_deaths_never_spend_the_budget(desk: Desk, host: ScriptedHost) -> None:
    """Deaths further apart than the window go on being mended: twelve of them, eleven minutes apart."""
    host.dies(12, after=timedelta(minutes=11))
    await desk.open()
    await desk.until(lambda: len(host.starts) == 13, timedelta(minutes=5))
    report = await desk.sessions.wait_ready(desk.session_id)

    assert (report.status, report.restarts) == ("ready", 12)


async def test_deaths_by_the_lease_are_not_held_against_claude(desk: Desk, host: ScriptedHost) -> None:
    """A host that was cut off stopped its processes on purpose: that costs nothing of the budget."""
    host.dies(8, why="lease", code=None, signal=15)
    await desk.open()
    await desk.until(lambda: len(host.starts) == 9)

    assert (await desk.sessions.wait_ready(desk.session_id)).restarts == 0


async def test_a_start_that_fails_later_counts_as_a_death(desk: Desk, host: ScriptedHost) -> None:
    """Claude that exits before it is ready on a restart is tried again with the next generation."""
    host.dies(1)
    await desk.open()
    host.start_failures.append(ApplicationError("exit 1: no", type=EXITED_EARLY, non_retryable=True))
    await desk.until(lambda: len(host.starts) >= 3)
    report = await desk.sessions.wait_ready(desk.session_id)

    assert report.status == "ready"
    assert report.restarts == 2


async def test_a_refused_project_fails_the_session_with_the_sentence(desk: Desk, host: ScriptedHost) -> None:
    """A path that cannot be is refused once, in words, and nothing has to be stopped."""
    host.start_failures.append(ApplicationError("'/x' is a file", type=PROJECT_REFUSED, non_retryable=True))
    await desk.sessions.open("/x", session_id=desk.session_id)
    report = await desk.sessions.wait_ready(desk.session_id)

    assert (report.status, report.note) == ("failed", "'/x' is a file")
    assert (len(host.starts), len(host.stops)) == (1, 0)


async def test_a_failed_session_may_be_opened_again_and_a_stopped_one_may_not(desk: Desk, host: ScriptedHost) -> None:
    """Failure is not for good; a stop is."""
    host.start_failures.append(ApplicationError("no", type=PROJECT_REFUSED, non_retryable=True))
    await desk.sessions.open("/project", session_id=desk.session_id)
    await desk.sessions.wait_ready(desk.session_id)
    await desk.open()
    await desk.sessions.stop(desk.session_id)

    with pytest.raises(Refused):
        await desk.sessions.open("/project", session_id=desk.session_id)
    with pytest.raises(Refused):
        await desk.sessions.open_with("/project", Message(turn_id="t", text="x"), session_id=desk.session_id)
    assert len(host.starts) == 2


async def test_stop_in_mid_turn_tells_everybody(desk: Desk, host: ScriptedHost) -> None:
    """The running and the queued turns are reported as stopped, once claude is gone."""
    host.script = lambda _: parked()
    await desk.open()
    turns = [await desk.send("long"), await desk.send("never begun")]
    stopped = await desk.sessions.stop(desk.session_id)
    again = await desk.sessions.stop(desk.session_id)
    reports = [await desk.sessions.wait_turn(desk.session_id, turn) for turn in turns]

    assert stopped == again
    assert [(report.state, report.error) for report in reports] == [("stopped", "the session was stopped")] * 2
    assert len(host.stops) == 1


async def test_stop_by_signal_and_by_cancellation(environment: WorkflowEnvironment, host: ScriptedHost) -> None:
    """The Web UI's two buttons stop a session as well as the update does."""
    for press in ("signal", "cancel"):
        desk = Desk(environment, SessionOptions())
        await desk.open()
        await (desk.handle.signal("stop") if press == "signal" else desk.handle.cancel())
        report = await desk.handle.result()

        assert report.status == "stopped"
    assert len(host.stops) == 2


async def test_stop_while_restarting_ends_the_pause(desk: Desk, host: ScriptedHost) -> None:
    """A stop that comes during the pause before a restart wins: nothing is started again."""
    host.dies(5)
    await desk.open()
    await until(lambda: len(host.starts) >= 2)
    stopped = await desk.sessions.stop(desk.session_id)
    starts = len(host.starts)

    assert stopped.status == "stopped"
    assert (await desk.handle.result()).status == "stopped"
    assert len(host.starts) == starts


async def test_a_turn_that_ended_before_the_stop_was_read_has_ended(environment: WorkflowEnvironment) -> None:
    """Result and stop come while no worker is there: the stop is read first, and the answer is not lost for that."""
    client, desk, scripted = environment.client, Desk(environment, SessionOptions()), ScriptedHost()
    scripted.hold()
    async with host_working(client, scripted):
        async with workflows_working(client, scripted):
            await desk.open()
            turn_id = await desk.send("short")
            await until(lambda: scripted.sent)
        scripted.may_end = True
        await desk.eventually(lambda: ended(desk, "send_turn"))
        await desk.handle.signal("stop")
        async with workflows_working(client, scripted):
            stopped = await desk.handle.result()
            report = await desk.sessions.wait_turn(desk.session_id, turn_id)

    assert (stopped.status, stopped.turns_done, stopped.cost_usd) == ("stopped", 1, 0.25)
    assert (report.state, report.ended and report.ended.text) == ("done", "answer to short")


async def ended(desk: Desk, name: str) -> bool:
    """Whether no such activity is on its way any more."""
    described = await desk.handle.describe()
    return all(pending.activity_type.name != name for pending in described.raw_description.pending_activities)


async def test_stop_before_any_host_took_the_session(environment: WorkflowEnvironment) -> None:
    """A session nobody has started yet is stopped at once."""
    desk = Desk(environment, SessionOptions())
    # Only the workflow runs: the start waits on a queue that has no one for activities.
    async with workflows_only(environment.client):
        await desk.sessions.open("/project", session_id=desk.session_id)
        stopped = await desk.sessions.stop(desk.session_id)

    assert (stopped.status, stopped.pid, stopped.host_id) == ("stopped", 0, "")


async def test_without_a_worker_a_session_is_open_all_the_same(
    environment: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for claude hears that no worker answers; the session is there, and begins when one comes."""
    monkeypatch.setattr(opening, "ANSWER_SECONDS", 0.5)
    scripted, desk = ScriptedHost(), Desk(environment, SessionOptions())
    with pytest.raises(NoWorker):
        await desk.sessions.open_ready("/project", session_id=desk.session_id)
    before = list(scripted.starts)
    async with workflows_working(environment.client, scripted), host_working(environment.client, scripted):
        report = await desk.sessions.wait_ready(desk.session_id)
        await desk.sessions.stop(desk.session_id)

    assert (before, report.status, len(scripted.starts)) == ([], "ready", 1)


async def test_who_leaves_while_claude_starts_leaves_the_session_open(desk: Desk, host: ScriptedHost) -> None:
    """A caller that is called off goes at once; the session goes on starting."""
    host.start_failures.append(ApplicationError("not yet", next_retry_delay=timedelta(seconds=30)))
    opening_it = asyncio.create_task(desk.sessions.open_ready("/project", session_id=desk.session_id))
    await until(lambda: host.starts)
    opening_it.cancel()
    ended = await asyncio.gather(opening_it, return_exceptions=True)
    await desk.until(lambda: len(host.starts) == 2)

    assert [type(error) for error in ended] == [asyncio.CancelledError]
    assert (await desk.reaches("ready")).generation == 1


async def test_a_host_that_went_away_is_named_and_waited_for(environment: WorkflowEnvironment) -> None:
    """No worker on the host: the session says so, and goes on with its turn when the host is back."""
    scripted = ScriptedHost()
    desk = Desk(environment, SessionOptions(host_away_seconds=1))
    client = environment.client
    async with workflows_working(client, scripted):
        async with host_working(client, scripted):
            await desk.open()
        turn_id = await desk.send("are you there?")
        async with asyncio.timeout(60):
            while (report := await desk.status()).status != "host_lost":
                await asyncio.sleep(0.1)
        async with host_working(client, scripted):
            answered = await desk.sessions.wait_turn(desk.session_id, turn_id)
            stopped = await desk.sessions.stop(desk.session_id)

    assert "no worker of host here answers" in report.note
    assert answered.state == "done"
    assert stopped.status == "stopped"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the message is empty"),
        (" \n\t", "the message is empty"),
        ("x" * (MESSAGE_CAP_BYTES + 1), "put the text into a file"),
        ("a\0b", "NUL"),
    ],
)
async def test_a_message_that_cannot_be_taken_changes_nothing(
    desk: Desk, host: ScriptedHost, text: str, sentence: str
) -> None:
    """Client and session both refuse it in words, and the session goes on."""
    await desk.open()
    with pytest.raises(Refused, match=sentence):
        await desk.send(text)
    with pytest.raises(Exception, match="failed") as refused:
        await desk.handle.execute_update("send", Message(turn_id="t", text=text))
    report = await desk.sessions.wait_turn(desk.session_id, await desk.send("still there?"))

    assert sentence in str(refused.value.__cause__)
    assert report.state == "done"
    assert len(host.sent) == 1


async def test_what_cannot_be_a_session_is_said_so(client: Client, desk: Desk, host: ScriptedHost) -> None:
    """Unknown and impossible ids and ended sessions each have their own error."""
    sessions = Sessions(client)
    with pytest.raises(SessionNotFound, match="no session 'nowhere' is known"):
        await sessions.status("nowhere")
    with pytest.raises(SessionNotFound):
        await sessions.send("nowhere", Message(turn_id="t", text="x"))
    for bad in ("a/b", "x" * 500, "", "../up"):
        with pytest.raises(Refused):
            await sessions.status(bad)
        with pytest.raises(Refused):
            await sessions.open("/project", session_id=bad)
    await desk.open()
    await sessions.stop(desk.session_id)
    with pytest.raises(SessionEnded, match="has ended"):
        await desk.send("too late")
    assert len(host.starts) == 1
