"""What a session tells its listener, and that it never waits for one."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle, WorkflowHistory
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from activities.calls import PermissionNeeded, SendTurn, TurnEnded, TurnStep
from activities.failures import PROJECT_REFUSED
from tests.workflow.conftest import Desk, ScriptedHost, answer, gone, host_working, until, workflows_working
from tests.workflow.listening import Handler
from workflows.approvals import Answer
from workflows.client import Sessions
from workflows.courier import COURIER_TYPE
from workflows.errors import Refused, SessionEnded
from workflows.messages import Message, SessionOptions
from workflows.notices import STOP_ASKED_FOR, Listener, told_apart
from workflows.session import SessionWorkflow

ASKS = PermissionNeeded(turn_id="t", request_id="r1", tool="Bash", input={"command": "rm x"}, digest="rm")


@pytest.fixture(autouse=True)
def short_farewell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long enough for a handler that is there; nobody sits through the wait for one that is not."""
    monkeypatch.setattr("workflows.courier.LAST_SECONDS", 2.0)


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
async def told(client: Client, desk: Desk, handler: Handler) -> AsyncIterator[Desk]:
    """A session, not open yet, whose listener is there."""
    desk.sessions = Sessions(client, SessionOptions(), listener=handler.listener())
    async with handler.working(client):
        yield desk


def opens(desk: Desk, handler: Handler, client: Client, **options: float) -> None:
    """The session of this desk gets a listener, and these options."""
    desk.sessions = Sessions(client, SessionOptions(**options), listener=handler.listener())  # type: ignore[arg-type]


def asking(host: ScriptedHost) -> None:
    """claude asks once, anew when it was started again, and goes on when it has its answer."""

    def script(call: SendTurn) -> TurnStep | Exception:
        request = f"r{call.generation}"
        if request not in call.asked:
            return TurnStep(permission=PermissionNeeded(**{**vars(ASKS), "request_id": request}))
        return answer(call) if host.answers else host.busy()

    host.script = script


async def resolve(desk: Desk, decision: str = "allow", **more: str) -> None:
    await desk.sessions.resolve(desk.session_id, Answer(approval_id="a1", decision=decision), **more)  # type: ignore[arg-type]


async def asked(desk: Desk) -> None:
    async def look() -> bool:
        return bool((await desk.status()).approvals)

    await desk.eventually(look)


@pytest.mark.parametrize(("by", "text"), [("d:somebody", ""), ("d:another", STOP_ASKED_FOR), ("", STOP_ASKED_FOR)])
async def test_who_stops_a_session_is_not_told_that_it_was_stopped(
    told: Desk, handler: Handler, by: str, text: str
) -> None:
    """It is answered; whoever listens elsewhere learns it by the notice."""
    await told.open()
    await told.sessions.stop(told.session_id, by=by)
    await told.handle.result()

    assert [(notice.status, notice.text) for notice in handler.taken] == [("stopped", text)]


async def test_the_end_of_a_lifetime_says_that_it_was_that(told: Desk, client: Client, handler: Handler) -> None:
    """Nobody asked for this stop, so its reason is told, and stays where people look."""
    opens(told, handler, client, lifetime_seconds=3600, idle_seconds=0)
    await told.open()
    await told.skip(timedelta(minutes=61))
    report = await told.handle.result()

    assert (handler.taken[-1].status, handler.taken[-1].text) == ("stopped", "its lifetime is over")
    assert (report.status, report.note) == ("stopped", "its lifetime is over")


async def courier_of(client: Client, desk: Desk) -> WorkflowHandle[Any, int]:
    """The workflow that has the session's last notices."""
    run_id = (await desk.handle.describe()).run_id or ""
    return client.get_workflow_handle(f"notices-{desk.session_id}-{told_apart(run_id)}", result_type=int)


async def test_every_end_of_a_turn_is_told_in_order_and_once(told: Desk, host: ScriptedHost, handler: Handler) -> None:
    """Done, cancelled and stopped turns, whoever sent them, and then that the session is stopped."""
    host.hold()
    await told.open()
    for text in ("one", "two", "three"):
        await told.send(text * 100, turn_id=text)
    await told.reaches("busy")
    await told.sessions.cancel_turn(told.session_id, "two")
    host.may_end = True
    await told.turn("three")
    host.hold()
    await told.send("four", turn_id="four")
    await told.reaches("busy")
    await told.sessions.stop(told.session_id)
    await told.handle.result()

    assert handler.names == ["turn/two", "turn/one", "turn/three", "turn/four", "status/1"]
    two, one, _, four, last = handler.taken
    assert [turn.report.state for turn in (two, one, four) if turn.report] == ["cancelled", "done", "stopped"]
    assert one.report is not None
    assert one.report.ended is not None
    assert one.report.ended.text == "answer to " + "one" * 100
    assert one.asked == ("one" * 100)[:200]
    assert (last.status, last.text) == ("stopped", "the session was stopped")
    assert {(notice.session_id, notice.project_path, notice.address) for notice in handler.taken} == {
        (told.session_id, "/project", "d:somebody")
    }
    assert one.at <= last.at


async def test_a_question_is_told_once_also_when_it_is_asked_again(
    told: Desk, host: ScriptedHost, handler: Handler
) -> None:
    """The claude that asked dies; the next one asks the same, and the person has the question already."""
    asking(host)
    host.dies(1, after=timedelta(seconds=1))
    script = host.script
    host.script = lambda call: gone() if call.generation == 1 and call.asked and host.endings_taken else script(call)
    await told.open()
    await told.send("remove x", turn_id="t")
    await asked(told)
    await told.until(lambda: len(host.starts) == 2)
    await told.reaches("awaiting_approval")
    await resolve(told)
    await told.turn("t")
    await until(lambda: len(handler.taken) == 4)

    assert sorted(handler.names) == ["question/a1", "settled/a1", "status/1", "turn/t"]
    told_of = {notice.kind: notice for notice in handler.taken}
    assert told_of["question"].approval is not None
    assert told_of["question"].approval.input == {"command": "rm x"}
    assert told_of["settled"].text == "it was answered: allow"
    assert told_of["status"].status == "restarting"


async def test_what_nobody_answers_is_told(told: Desk, host: ScriptedHost, handler: Handler) -> None:
    """The question, a warning when its time is over, and that it needs no answer any more."""
    host.pace = timedelta(minutes=2)
    asking(host)
    await told.open()
    await told.send("remove x", turn_id="t")
    await asked(told)
    await told.turn("t", timedelta(minutes=3))
    await until(lambda: len(handler.taken) == 4)

    assert handler.names == ["question/a1", "warning/1", "settled/a1", "turn/t"]
    assert handler.taken[1].text == "nobody answered question a1 within 10 minutes: denied"
    assert handler.taken[2].text == "nobody answered it in time: deny"


async def test_what_is_allowed_for_the_turn_is_not_asked_and_not_told(
    told: Desk, host: ScriptedHost, handler: Handler
) -> None:
    """Only the first question of a turn is told when its answer is for all of them."""
    second = PermissionNeeded(**{**vars(ASKS), "request_id": "r2", "digest": "rm y"})

    def script(call: SendTurn) -> TurnStep | Exception:
        if "r1" not in call.asked:
            return TurnStep(permission=ASKS)
        if host.answers and "r2" not in call.asked:
            return TurnStep(permission=second)
        return answer(call) if len(host.answers) == 2 else host.busy()

    host.script = script
    await told.open()
    await told.send("remove", turn_id="t")
    await asked(told)
    await resolve(told, "allow_turn")
    await told.turn("t")
    await until(lambda: len(handler.taken) == 3)

    assert handler.names == ["question/a1", "settled/a1", "turn/t"]


async def test_a_host_that_goes_and_comes_back_is_told(client: Client, environment: WorkflowEnvironment) -> None:
    """Once that it is gone, however long, and once that it is back."""
    host, handler = ScriptedHost(), Handler()
    desk = Desk(environment, SessionOptions())
    opens(desk, handler, client, host_away_seconds=1)
    async with workflows_working(client, host), handler.working(client):
        async with host_working(client, host):
            await desk.open()
        await desk.send("are you there", turn_id="t")
        await desk.reaches("host_lost")
        async with host_working(client, host):
            await desk.sessions.wait_turn(desk.session_id, "t")
            await desk.sessions.stop(desk.session_id)
            await desk.handle.result()

    assert handler.names == ["status/1", "status/2", "turn/t", "status/3"]
    assert [notice.status for notice in handler.taken if notice.status] == ["host_lost", "ready", "stopped"]


async def test_a_session_does_not_wait_for_a_handler_that_is_away(client: Client, desk: Desk, handler: Handler) -> None:
    """Turns run and a stop is answered; when the handler is there again it is told everything, in order."""
    opens(desk, handler, client)
    await desk.open()
    for text in ("one", "two"):
        await desk.sessions.wait_turn(desk.session_id, await desk.send(text, turn_id=text))
    stopped = await desk.sessions.stop(desk.session_id)
    await desk.handle.result()
    courier = await courier_of(client, desk)
    described = await courier.describe()
    listed = [row.session_id async for row in desk.sessions.list(ended=True)]
    async with handler.working(client):
        delivered = await courier.result()

    assert stopped.status == "stopped"
    assert (described.workflow_type, described.status) == (COURIER_TYPE, WorkflowExecutionStatus.RUNNING)
    assert handler.names == ["turn/one", "turn/two", "status/1"]
    assert delivered == 3
    assert [name for name in listed if name.startswith("notices")] == []


async def test_the_last_notices_are_given_up_some_day(
    client: Client, desk: Desk, handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler that never comes back leaves nothing that runs for ever."""
    # No clock can be moved while a task waits for somebody to take it.
    monkeypatch.setattr("workflows.courier.GIVE_UP_SECONDS", 1.0)
    opens(desk, handler, client)
    await desk.open()
    await desk.sessions.stop(desk.session_id)
    await desk.handle.result()
    courier = await courier_of(client, desk)

    assert await courier.result() == 0
    assert handler.taken == []


async def test_a_session_that_has_ended_is_not_listed_while_it_tells_that(
    client: Client, desk: Desk, handler: Handler
) -> None:
    """Its workflow waits for the handler for some seconds; the list of those that live does not have it."""
    opens(desk, handler, client)
    await desk.open()
    before = [row.session_id async for row in desk.sessions.list()]
    await desk.sessions.stop(desk.session_id)

    async def is_gone() -> bool:
        return desk.session_id not in [row.session_id async for row in desk.sessions.list()]

    await desk.eventually(is_gone)
    described = await desk.handle.describe()
    await desk.handle.result()

    assert desk.session_id in before
    assert described.status == WorkflowExecutionStatus.RUNNING


async def test_a_session_that_tells_its_end_is_over_for_everybody(client: Client, desk: Desk, handler: Handler) -> None:
    """A message in these seconds is told the same as one that comes later."""
    opens(desk, handler, client)
    await desk.open()
    await desk.sessions.stop(desk.session_id)
    with pytest.raises(SessionEnded):
        await desk.send("too late")
    with pytest.raises(SessionEnded):
        await desk.sessions.listen(desk.session_id, None)
    described = await desk.handle.describe()
    await desk.handle.result()

    assert described.status == WorkflowExecutionStatus.RUNNING


async def test_keys_outlast_a_run(client: Client, desk: Desk, host: ScriptedHost, handler: Handler) -> None:
    """What is on its way when the next run begins comes again under its key, and each thing has one key."""
    opens(desk, handler, client, history_limit=40)
    handler.is_deaf = True
    first = ""
    async with handler.working(client):
        await desk.open()
        await desk.turn(await desk.send("one", turn_id="one"))
        await until(lambda: handler.attempts)
        first = handler.attempts[0][1]
        async with asyncio.timeout(60):
            while (await desk.handle.describe()).run_id == first:
                await desk.poke()
        await until(lambda: {run for _, run in handler.attempts} != {first})
        await desk.turn(await desk.send("two", turn_id="two"))
        handler.is_deaf = False
        await desk.sessions.stop(desk.session_id)
        await until(lambda: len(handler.taken) == 3)
        await desk.handle.result()

    assert handler.names == ["turn/one", "turn/two", "status/1"]
    assert len({notice.key for notice in handler.taken}) == 3
    assert {run for key, run in handler.attempts if "/turn/one/" in key} > {first}


async def test_a_session_that_is_opened_again_tells_new_things(
    client: Client, told: Desk, host: ScriptedHost, handler: Handler
) -> None:
    """It counts from the beginning, and no key is one of its earlier life."""
    for open_it in (told.sessions.open, lambda _, session_id: told.sessions.reopen(session_id)):
        host.start_failures.append(ApplicationError("no such project", type=PROJECT_REFUSED, non_retryable=True))
        await open_it("/project", session_id=told.session_id)
        with pytest.raises(WorkflowFailureError):
            await client.get_workflow_handle(told.handle.id).result()

    assert [(notice.status, notice.text) for notice in handler.taken] == [("failed", "no such project")] * 2
    assert handler.names == ["status/1"] * 2
    assert len({notice.key for notice in handler.taken}) == 2


async def test_who_takes_over_is_told_what_waits(client: Client, desk: Desk, host: ScriptedHost) -> None:
    """The question that is open, under a key of its own, and all that comes; who listened before is told no more."""
    asking(host)
    old, new = Handler(), Handler()
    opens(desk, old, client)
    async with old.working(client), new.working(client):
        await desk.open()
        await desk.send("remove x", turn_id="t")
        await until(lambda: old.taken)
        for _ in range(2):
            await desk.sessions.listen(desk.session_id, new.listener("g:others"))
        await until(lambda: new.taken)
        await resolve(desk)
        await desk.turn("t")
        await until(lambda: len(new.taken) == 3)
        await desk.sessions.listen(desk.session_id, None)
        await desk.sessions.stop(desk.session_id)
        await desk.handle.result()
        with pytest.raises(SessionEnded):
            await desk.sessions.listen(desk.session_id, new.listener())

    assert old.names == ["question/a1"]
    assert new.names == ["question/a1", "settled/a1", "turn/t"]
    assert {notice.address for notice in new.taken} == {"g:others"}
    assert not {notice.key for notice in old.taken} & {notice.key for notice in new.taken}


async def test_who_takes_over_gets_what_was_not_delivered(client: Client, desk: Desk, host: ScriptedHost) -> None:
    """A handler that is gone for good holds nobody up: what it did not take goes to the next one, once."""
    asking(host)
    gone_for_good, new = Handler(), Handler()
    opens(desk, gone_for_good, client)
    await desk.open()
    await desk.send("remove x", turn_id="t")
    await asked(desk)
    await desk.sessions.listen(desk.session_id, new.listener("g:others"))
    async with new.working(client):
        await until(lambda: new.taken)
        await resolve(desk)
        await desk.turn("t")
        await until(lambda: len(new.taken) == 3)

    assert new.names == ["question/a1", "settled/a1", "turn/t"]
    assert gone_for_good.taken == []


async def test_without_a_listener_nothing_is_written_down(
    client: Client, desk: Desk, host: ScriptedHost, handler: Handler
) -> None:
    """A session that tells nobody does what it always did: its four calls, and nothing after the last."""
    lived: list[WorkflowHistory] = []
    names = [desk.session_id, f"{desk.session_id}-told"]
    async with handler.working(client):
        for desk.session_id, listener in zip(names, (None, handler.listener()), strict=True):
            desk.handle = client.get_workflow_handle_for(SessionWorkflow.run, f"session-{desk.session_id}")
            desk.sessions = Sessions(client, SessionOptions(), listener=listener)
            await desk.open()
            await desk.sessions.wait_turn(desk.session_id, await desk.send("hello"))
            await desk.sessions.stop(desk.session_id)
            await desk.handle.result()
            lived.append(await desk.handle.fetch_history())

    untold, told = ([line_of(event) for event in history.events] for history in lived)
    assert [line for line in untold if line.startswith("activity")] == [
        *("activity start_claude", "activity watch_claude", "activity send_turn", "activity stop_claude")
    ]
    # The last thing it does is to end claude; one that tells waits for a moment after that.
    assert [line for line in untold if line][-1] == "activity stop_claude"
    assert "timer" in told[told.index("activity stop_claude") :]
    assert told.count("activity notify") == 2
    assert len(told) > len(untold)


def line_of(event: HistoryEvent) -> str:
    """What a session decided to do, or nothing for what happened to it."""
    if event.HasField("activity_task_scheduled_event_attributes"):
        return f"activity {event.activity_task_scheduled_event_attributes.activity_type.name}"
    return "timer" if event.HasField("timer_started_event_attributes") else ""


async def test_what_is_dropped_is_told(
    client: Client, desk: Desk, handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nobody takes them the oldest but one make room; the person learns how many."""
    monkeypatch.setattr("workflows.backlog.BACKLOG_CAP", 3)
    opens(desk, handler, client)
    await desk.open()
    for number in range(6):
        await desk.sessions.wait_turn(desk.session_id, await desk.send("hello", turn_id=f"t{number}"))
    async with handler.working(client):
        await until(lambda: len(handler.taken) == 3)

    assert handler.names == ["turn/t0", "turn/t1/dropped", "turn/t5"]
    assert handler.taken[1].kind == "warning"
    assert handler.taken[1].text == "4 notices were dropped: nobody took them for too long"


async def test_a_notice_that_is_refused_does_not_hold_the_others_up(told: Desk, handler: Handler) -> None:
    """The handler will never take it; the next one comes."""
    handler.refuses = lambda notice: "/turn/one/" in notice.key
    await told.open()
    for text in ("one", "two"):
        await told.turn(await told.send(text, turn_id=text))
    await until(lambda: handler.taken)

    assert handler.names == ["turn/two"]
    assert len(handler.attempts) == 2


@pytest.mark.parametrize(
    "listener",
    [
        Listener(queue="", address="a"),
        Listener(queue="q", address=""),
        Listener(queue="q" * 201, address="a"),
        Listener(queue="/_sys/q", address="a"),
        Listener(queue="q\n", address="a"),
    ],
)
async def test_a_listener_that_cannot_be_told_is_refused(desk: Desk, listener: Listener) -> None:
    """Such a queue would stop the session; it is refused before a session has it, and by one that lives."""
    with pytest.raises(Refused):
        await desk.sessions.open("/project", session_id=desk.session_id, listener=listener)
    await desk.open()
    with pytest.raises(Refused):
        await desk.sessions.listen(desk.session_id, listener)
    with pytest.raises(Exception, match="Workflow update failed"):
        await desk.handle.execute_update("listen", {"listener": vars(listener)})

    assert (await desk.status()).status == "ready"


async def test_an_interrupt_meets_the_turn_that_it_names_or_none(desk: Desk, host: ScriptedHost) -> None:
    """One that is queued, over or unknown is refused in a sentence; the one that runs is ended."""
    host.hold()
    await desk.open()
    for text in ("runs", "waits"):
        await desk.send(text, turn_id=text)
    await desk.reaches("busy")
    for turn_id, state in (("waits", "queued"), ("no-such", "unknown")):
        with pytest.raises(Refused, match=f"turn '{turn_id}' is not the one that runs: it is {state}"):
            await desk.sessions.interrupt(desk.session_id, turn_id)
    assert host.interrupts == []
    await desk.sessions.interrupt(desk.session_id, "runs")
    await desk.handle.execute_update("interrupt", result_type=dict)

    assert len(host.interrupts) == 2


async def test_the_next_turn_waits_for_an_interrupt_of_the_last(desk: Desk, host: ScriptedHost) -> None:
    """One that is on its way when its turn ends by itself does not meet the next."""
    host.hold()
    host.is_deaf = True
    await desk.open()
    for text in ("first", "second"):
        await desk.send(text, turn_id=text)
    await desk.reaches("busy")
    interrupting = asyncio.create_task(desk.sessions.interrupt(desk.session_id, "first"))
    await until(lambda: host.interrupts)
    host.may_end = True
    # No clock is moved here: an interrupt that nobody hears is given up soon.
    await desk.sessions.wait_turn(desk.session_id, "first")
    for _ in range(3):
        await desk.poke()
    sent = {call.turn_id for call in host.sent}
    host.is_deaf = False
    await interrupting
    second = await desk.sessions.wait_turn(desk.session_id, "second")

    assert sent == {"first"}
    assert isinstance(second.ended, TurnEnded)


async def test_a_call_that_comes_twice_is_done_once(desk: Desk, host: ScriptedHost) -> None:
    """Under one id an answer, an interrupt, a cancellation and a stop are answered again, and not done again."""
    asking(host)
    sessions, name = desk.sessions, desk.session_id
    await desk.open()
    await desk.send("remove x", turn_id="t")
    await desk.send("waits", turn_id="waits")
    await asked(desk)
    for _ in range(2):
        await sessions.interrupt(name, "t", call_id="c1")
        await sessions.cancel_turn(name, "waits", call_id="c1")
        await sessions.wake(name, call_id="c1")
        await sessions.listen(name, None, call_id="c1")
        await resolve(desk, call_id="c1")
    with pytest.raises(Refused):
        await resolve(desk, call_id="c2")
    await desk.turn("t")
    stopped = [(await sessions.stop(name, call_id="c1")).status for _ in range(2)]

    assert len(host.interrupts) == 1
    assert len(host.answers) == 1
    assert stopped == ["stopped", "stopped"]


async def test_a_session_is_opened_with_a_listener_however_it_is_opened(
    client: Client, desk: Desk, host: ScriptedHost, handler: Handler
) -> None:
    """With a message, with a conversation, and in place of the listener that others have."""
    ids = [f"{desk.session_id}-{number}" for number in range(2)]
    listener = handler.listener("g:these")
    async with handler.working(client):
        await desk.sessions.open_with("/project", Message(turn_id="a", text="a"), session_id=ids[0], listener=listener)
        await desk.sessions.adopt("/project", str(uuid.uuid4()), session_id=ids[1], listener=listener)
        await desk.sessions.send(ids[1], Message(turn_id="b", text="b"))
        await until(lambda: len(handler.taken) == 2)
        for session_id in ids:
            await desk.sessions.stop(session_id)
        await until(lambda: len(handler.taken) == 4)

    assert {(notice.session_id, notice.address) for notice in handler.taken} == {(name, "g:these") for name in ids}
