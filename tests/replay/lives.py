"""The kinds of lives whose histories are kept: each one is lived by a scripted host, to be recorded once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from temporalio import activity
from temporalio.client import Client, WorkflowFailureError

from activities.calls import AnswerPart, Origin, PermissionNeeded, ReadAnswer, SendTurn, TurnStep
from runtime.keys import Key
from tests.workflow.conftest import Desk, ScriptedHost, answer, gone, host_working, named, parked
from tests.workflow.listening import Handler
from workflows.approvals import Answer, Decision
from workflows.client import Sessions
from workflows.messages import Message, SessionOptions
from workflows.notices import told_apart

# Known to everybody: it encrypts one kept history, which holds nothing of anybody's.
KEY: Final = Key(secret=b"a key of a history that is kept.")

ASKS: Final = PermissionNeeded(
    turn_id="t", request_id="r1", tool="Bash", input={"command": "rm x"}, digest="rm", reason="it removes a file"
)


@dataclass(kw_only=True)
class Life:
    """What a life is lived with."""

    client: Client
    desk: Desk
    host: ScriptedHost

    async def turn(self, text: str, step: timedelta = timedelta(seconds=5)) -> None:
        await self.desk.turn(await self.desk.send(text, turn_id=text.replace(" ", "-")), step)

    async def stop(self) -> None:
        await self.desk.sessions.stop(self.desk.session_id)

    async def asked(self) -> None:
        async def look() -> bool:
            return bool((await self.desk.status()).approvals)

        await self.desk.eventually(look)

    async def resolve(self, decision: Decision) -> None:
        decided = Answer(approval_id="a1", decision=decision, message="as you like")
        await self.desk.sessions.resolve(self.desk.session_id, decided)


def busy_until(condition: Callable[[], object], host: ScriptedHost) -> Callable[[SendTurn], TurnStep | Exception]:
    """claude works on a turn until the condition holds."""
    return lambda call: answer(call) if condition() else host.busy()


def asking(host: ScriptedHost) -> Callable[[SendTurn], TurnStep | Exception]:
    """claude asks once and goes on when it has its answer."""

    def script(call: SendTurn) -> TurnStep | Exception:
        if ASKS.request_id not in call.asked:
            return TurnStep(permission=ASKS)
        return answer(call) if host.answers else host.busy()

    return script


async def turns(life: Life) -> None:
    """Some turns, one sent twice, some queued and one of those taken back; then a stop."""
    host, desk = life.host, life.desk
    await desk.open()
    await life.turn("one")
    await desk.send("one", turn_id="one")
    host.hold()
    for text in ("two", "three", "four"):
        await desk.send(text, turn_id=text)
    await desk.sessions.cancel_turn(desk.session_id, "three")
    host.may_end = True
    await desk.turn("four")
    await life.stop()


async def begun_with_a_message(life: Life) -> None:
    """Start and first message in one step."""
    message = Message(turn_id="first", text="hello", attachments=["/project/picture.png"])
    await life.desk.sessions.open_with("/project", message, session_id=life.desk.session_id)
    await life.desk.turn("first")
    await life.stop()


async def begun_and_waited_for(life: Life) -> None:
    """Start and the wait for claude in one step; then a message whose sender waits in the same call."""
    desk = life.desk
    await desk.sessions.open_ready("/project", session_id=desk.session_id)
    await desk.sessions.ask(desk.session_id, Message(turn_id="asked", text="hello"))
    await life.stop()


async def stopped_while_busy(life: Life) -> None:
    """A stop in mid-turn, with another turn queued and somebody waiting for it."""
    life.host.script = lambda _: parked()
    await life.desk.open()
    for text in ("long", "never begun"):
        await life.desk.send(text, turn_id=text)
    await life.desk.reaches("busy")
    await life.stop()


async def stopped_after_its_turn(life: Life) -> None:
    """A stop that waits for the running turn."""
    host, desk = life.host, life.desk
    host.hold()
    await desk.open()
    await desk.send("long", turn_id="long")
    await desk.reaches("busy")
    stopping = desk.begin_stop(when="after_turn")
    await desk.refuses("too late")
    host.may_end = True
    await stopping


async def stopped_by_signal(life: Life) -> None:
    """The Web UI's signal."""
    await life.desk.open()
    await life.desk.handle.signal("stop")
    await life.desk.handle.result()


async def cancelled(life: Life) -> None:
    """The Web UI's cancel button, in mid-turn."""
    life.host.script = lambda _: parked()
    await life.desk.open()
    await life.desk.send("long", turn_id="long")
    await life.desk.reaches("busy")
    await life.desk.handle.cancel()
    await life.desk.handle.result()


async def crashed(life: Life) -> None:
    """claude dies in mid-turn and is started again."""
    life.host.script = lambda call: gone() if call.generation == 1 else answer(call)
    life.host.dies(1, after=timedelta(seconds=1))
    await life.desk.open()
    await life.turn("work")
    await life.stop()


async def given_up(life: Life) -> None:
    """claude dies until the restart budget is spent."""
    life.host.dies(6)
    await life.desk.open()
    await life.desk.until(lambda: life.host.stops)
    with contextlib.suppress(WorkflowFailureError):
        await life.desk.handle.result()


async def silent(life: Life) -> None:
    """claude says nothing for too long and is replaced."""

    def script(call: SendTurn) -> TurnStep | Exception:
        if call.generation == 1:
            return gone() if life.host.stops else TurnStep(is_silent=True)
        return answer(call)

    life.host.script = script
    life.host.ends_when_stopped = True
    await life.desk.open()
    await life.turn("work")
    await life.stop()


async def allowed(life: Life) -> None:
    """A question that is answered with yes."""
    life.host.script = asking(life.host)
    await life.desk.open()
    await life.desk.send("remove x", turn_id="t")
    await life.asked()
    await life.resolve("allow_turn")
    await life.desk.turn("t")
    await life.stop()


async def denied(life: Life) -> None:
    """A question that is answered with no."""
    life.host.script = asking(life.host)
    await life.desk.open()
    await life.desk.send("remove x", turn_id="t")
    await life.asked()
    await life.resolve("deny")
    await life.desk.turn("t")
    await life.stop()


async def unanswered(life: Life) -> None:
    """A question that nobody answers."""
    life.host.pace = timedelta(minutes=2)
    life.host.script = asking(life.host)
    await life.desk.open()
    await life.desk.send("remove x", turn_id="t")
    await life.asked()
    await life.desk.turn("t", timedelta(minutes=3))
    await life.stop()


async def interrupted(life: Life) -> None:
    """A turn that a person interrupts."""
    life.host.script = busy_until(lambda: life.host.interrupts, life.host)
    await life.desk.open()
    await life.desk.send("long", turn_id="long")
    await life.desk.reaches("busy")
    await life.desk.sessions.interrupt(life.desk.session_id)
    await life.desk.turn("long")
    await life.stop()


async def too_long(life: Life) -> None:
    """A turn that takes too long and does not hear the interrupt."""
    life.host.pace = timedelta(seconds=40)
    life.host.script = lambda call: (
        answer(call) if call.generation > 1 else gone() if life.host.stops else life.host.busy()
    )
    life.host.ends_when_stopped = True
    await life.desk.open()
    await life.turn("deaf", timedelta(minutes=1))
    await life.turn("still there")
    await life.stop()


async def asleep(life: Life) -> None:
    """A session that hibernates and is woken by a message."""
    await life.desk.open()
    await life.turn("one")
    await life.desk.until(lambda: life.host.stops, timedelta(minutes=10))
    await life.desk.reaches("hibernated")
    await life.turn("two")
    await life.stop()


async def woken(life: Life) -> None:
    """A session that hibernates, is woken without a message, and has to be woken only once."""
    await life.desk.open()
    await life.desk.until(lambda: life.host.stops, timedelta(minutes=10))
    await life.desk.reaches("hibernated")
    await life.desk.sessions.wake(life.desk.session_id)
    await life.desk.reaches("ready")
    await life.desk.sessions.wake(life.desk.session_id)
    await life.turn("one")
    await life.stop()


async def listed(life: Life) -> None:
    """A session that lists find: turns that queue, a question, a death, sleep, and a next run."""
    host, desk = life.host, life.desk
    host.script = asking(host)
    await desk.open()
    await desk.send("remove x", turn_id="t")
    await life.asked()
    await desk.send("queued", turn_id="queued")
    await life.resolve("allow")
    await desk.turn("queued")
    host.script = lambda call: gone() if call.generation == 1 else answer(call)
    host.dies(1, after=timedelta(seconds=1))
    await life.turn("after a death")
    await desk.until(lambda: host.stops, timedelta(minutes=10))
    await desk.reaches("hibernated")
    for number in range(6):
        await life.turn(f"turn {number}")
    await life.stop()


async def aged(life: Life) -> None:
    """A session that is warned and ends with its lifetime, after its budget was nearly spent."""
    await life.desk.open()
    await life.turn("one")
    await life.desk.until(lambda: life.host.stops, timedelta(minutes=30))
    await life.desk.handle.result()


async def host_away(life: Life) -> None:
    """The host goes away before a turn and comes back for it."""
    async with host_working(life.client, life.host):
        await life.desk.open()
    await life.desk.send("are you there", turn_id="t")
    await life.desk.reaches("host_lost")
    async with host_working(life.client, life.host):
        await life.desk.sessions.wait_turn(life.desk.session_id, "t")
        await life.stop()


async def many_runs(life: Life) -> None:
    """History grows too long in mid-turn, with a question open and a turn queued; the next runs go on."""
    life.host.script = asking(life.host)
    await life.desk.open()
    await life.desk.send("remove x", turn_id="t")
    await life.asked()
    await life.desk.send("queued", turn_id="queued")
    await life.desk.outgrow()
    await life.resolve("allow")
    await life.desk.turn("queued")
    await life.stop()


async def brief(life: Life) -> None:
    """A session that was opened to write less: turns, next runs with a question open and in idle time, sleep, and no patch."""
    desk, host = life.desk, life.host
    await desk.open()
    for number in range(6):
        await life.turn(f"turn {number}")
    host.script = asking(host)
    await desk.send("remove x", turn_id="t")
    await life.asked()
    await life.desk.outgrow()
    await life.resolve("allow")
    await desk.turn("t")
    await desk.skip(timedelta(seconds=50))
    await life.desk.outgrow()
    await desk.skip(timedelta(seconds=11))
    await desk.reaches("hibernated")
    await life.turn("woken")
    await life.stop()


async def read_back(life: Life) -> None:
    """A long answer that is read in full from its host. The host of this life does what no other has to."""

    @activity.defn(name="read_answer")
    async def read(call: ReadAnswer) -> AnswerPart:
        whole = "the whole answer"
        return AnswerPart(text=whole[call.start : call.start + 10], total=len(whole))

    def cut(call: SendTurn) -> TurnStep:
        step = answer(call)
        assert step.ended is not None
        return replace(step, ended=replace(step.ended, text="the whole", text_truncated=True))

    host, desk = life.host, life.desk
    host.script = cut
    control: list[Callable[..., Any]] = [host.start, host.answer, host.interrupt, host.stop, read]
    async with (
        named(life.client, host.queue, activities=control),
        named(life.client, host.watch_queue, activities=[host.watch, host.send]),
    ):
        await desk.open()
        await life.turn("long")
        assert await desk.sessions.full_text(desk.session_id, "long") == "the whole answer"
        await life.stop()


async def told(life: Life) -> None:
    """A session with a listener: turns, a question, a death, a next run, a handler that goes, and an interrupt by name."""
    host, desk, handler = life.host, life.desk, Handler()
    handler.queue = "handler"
    desk.sessions = Sessions(life.client, OPTIONS["told"], listener=handler.listener())
    async with handler.working(life.client):
        host.script = asking(host)
        await desk.open()
        await desk.send("remove x", turn_id="t")
        await life.asked()
        await desk.send("queued", turn_id="queued")
        await desk.sessions.cancel_turn(desk.session_id, "queued")
        await life.resolve("allow")
        await desk.turn("t")
        host.script = lambda call: gone() if call.generation == 1 else answer(call)
        host.dies(1, after=timedelta(seconds=1))
        await life.turn("after a death")
        host.script = busy_until(lambda: host.interrupts, host)
        await desk.send("long", turn_id="long")
        await desk.reaches("busy")
        await desk.sessions.interrupt(desk.session_id, "long")
        await desk.turn("long")
        handler.is_deaf = True
        first = (await desk.handle.describe()).run_id
        async with asyncio.timeout(60):
            while (await desk.handle.describe()).run_id == first:
                await life.turn(f"turn {len(host.sent)}")
        await desk.sessions.listen(desk.session_id, handler.listener("g:others"))
        handler.is_deaf = False
        await life.turn("heard")
    await life.stop()
    await desk.handle.result()
    handle = life.client.get_workflow_handle(desk.handle.id)
    courier = f"notices-{desk.session_id}-{told_apart((await handle.describe()).run_id or '')}"
    async with handler.working(life.client):
        await life.client.get_workflow_handle(courier).result()


async def found(life: Life) -> None:
    """A session that lists find, as it is since a turn writes less: turns, and next runs. No clock is moved."""
    desk = life.desk
    await desk.open()
    for number in range(8):
        turn_id = await desk.send(f"turn {number}", turn_id=f"t{number}")
        await desk.sessions.wait_turn(desk.session_id, turn_id)
    await life.stop()


async def forked(life: Life) -> None:
    """A session that goes on with the conversation of another."""
    origin = Origin(conversation_id="2f1f3c2e-7a51-4b0e-9a53-0d5b6c7d8e9f", is_forked=True)
    await life.desk.sessions.open("/project", session_id=life.desk.session_id, origin=origin)
    await life.desk.sessions.wait_ready(life.desk.session_id)
    await life.turn("one")
    await life.stop()


Lived = Callable[[Life], Awaitable[None]]
LIVES: Final[Mapping[str, Lived]] = {
    lived.__name__: lived
    for lived in (
        *(turns, begun_with_a_message, begun_and_waited_for, forked, crashed, given_up, silent, too_long, interrupted),
        *(
            allowed,
            denied,
            unanswered,
            asleep,
            woken,
            aged,
            host_away,
            many_runs,
            brief,
            read_back,
            listed,
            told,
            found,
        ),
        *(stopped_while_busy, stopped_after_its_turn, stopped_by_signal, cancelled),
    )
} | {"encrypted": begun_with_a_message}

# Here hosts come, go or are special, and the recorder lets none work by itself.
OWN_HOSTS: Final = {"host_away", "read_back"}

OPTIONS: Final[Mapping[str, SessionOptions]] = {
    "brief": SessionOptions(history_limit=100, idle_seconds=60),
    "aged": SessionOptions(lifetime_seconds=36000, idle_seconds=0, cost_budget_usd=0.30),
    "host_away": SessionOptions(host_away_seconds=1),
    "found": SessionOptions(history_limit=60),
    "listed": SessionOptions(history_limit=120),
    "many_runs": SessionOptions(history_limit=60),
    "told": SessionOptions(history_limit=120),
    "too_long": SessionOptions(max_turn_seconds=600),
}
