"""A person with a session: random steps to take, and the promises written down on paper."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import pytest
from hypothesis import strategies as st
from temporalio.client import Client

from tests.workflow.conftest import poke
from tests.workflow.simulated import COST_USD, Claude
from workflows.approvals import Answer, Decision
from workflows.client import Sessions
from workflows.errors import NoWorker, Refused, SessionEnded
from workflows.messages import Message, SessionReport, TurnReport
from workflows.session import SessionWorkflow

T = TypeVar("T")
Ending = Literal["now", "after_turn", "drained", "signal"]


@dataclass(frozen=True)
class Step:
    """What the person does next; `number` picks a turn or a question, or says how long or how often."""

    what: str
    number: int = 0
    text: str = ""


@dataclass(frozen=True)
class Scenario:
    """One session's life."""

    steps: list[Step]
    history_limit: int
    idle_seconds: float
    approval_seconds: float
    ending: Ending


PROGRAMS = st.lists(st.sampled_from(["ask", "die", "hold", "work"]), max_size=3).map(
    lambda words: " ".join(["go", *words])
)
NUMBERS = st.integers(0, 5)
STEPS = st.one_of(
    st.builds(Step, st.just("send"), NUMBERS, PROGRAMS),
    st.builds(Step, st.just("send"), NUMBERS, PROGRAMS),
    st.builds(
        Step, st.sampled_from(["resend", "cancel", "allow", "deny", "allow_turn", "answer_again", "nonsense"]), NUMBERS
    ),
    st.builds(Step, st.sampled_from(["interrupt", "release", "crash", "pause", "outgrow", "look"]), NUMBERS),
)
SCENARIOS = st.builds(
    Scenario,
    steps=st.lists(STEPS, max_size=8),
    history_limit=st.sampled_from([0, 20, 35]),
    idle_seconds=st.sampled_from([0.0, 0.05]),
    approval_seconds=st.sampled_from([600.0, 0.1]),
    ending=st.sampled_from(["drained", "now", "after_turn", "signal"]),
)
LOSSES = st.lists(
    st.tuples(st.sampled_from(["host", "workflows"]), st.integers(0, 4)), max_size=2, unique_by=lambda loss: loss[0]
)


@dataclass
class Person:
    """Somebody with a session, who writes down what was promised."""

    sessions: Sessions
    session_id: str
    client: Client
    accepted: list[str] = field(default_factory=list)
    programs: dict[str, str] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    allowed: set[str] = field(default_factory=set)
    allowed_turns: set[str] = field(default_factory=set)
    answered: list[str] = field(default_factory=list)
    waiting: dict[str, asyncio.Task[TurnReport]] = field(default_factory=dict)
    rounds: int = 0

    async def take(self, step: Step, claude: Claude) -> None:
        """One step."""
        turn = self.accepted[step.number % len(self.accepted)] if self.accepted else ""
        match step.what:
            case "send":
                await self.send(f"t{len(self.accepted)}", step.text)
                if step.number % 2:
                    self.wait_for(self.accepted[-1])
            case "resend" if turn:
                await self.send(turn, self.programs[turn])
            case "cancel" if turn:
                await self.take_back(turn)
            case "allow" | "deny" | "allow_turn":
                await self.answer(step.what, step.number)
            case "release" | "crash":
                _disturb(claude, step.what)
            case _:
                await self.try_out(step)

    async def try_out(self, step: Step) -> None:
        """A step that may well be refused, or changes nothing."""
        match step.what:
            case "answer_again" if self.answered:
                await self.is_refused(self.answered[step.number % len(self.answered)])
            case "nonsense":
                await self.is_refused("a999")
            case "interrupt":
                with contextlib.suppress(Refused, NoWorker):
                    await self.sessions.interrupt(self.session_id)
            case "pause":
                await asyncio.sleep(0.03 * step.number)
            case "outgrow":
                for _ in range(step.number):
                    await again(lambda: poke(self.client, self.session_id))
            case "look":
                await self.look()

    def wait_for(self, turn: str) -> None:
        """Send the message once more, and this time stay for its result."""
        message = Message(turn_id=turn, text=self.programs[turn])
        self.waiting[turn] = asyncio.create_task(again(lambda: self.sessions.ask(self.session_id, message)))

    async def was_told(self, turn: str) -> str | None:
        """What the one who stayed was told; None when the session ended before the message was sent once more."""
        with contextlib.suppress(Refused, SessionEnded):
            return (await self.waiting[turn]).state
        return None

    async def leave(self) -> None:
        """Wait for nothing any more."""
        for task in self.waiting.values():
            task.cancel()
        await asyncio.gather(*self.waiting.values(), return_exceptions=True)

    async def is_refused(self, approval_id: str) -> None:
        """An answer that cannot apply is refused."""
        with pytest.raises(Refused):
            await self.resolve(approval_id, "allow")

    async def take_back(self, turn: str) -> None:
        """Cancel a turn, if it is not too late."""
        call_id = uuid.uuid4().hex
        with contextlib.suppress(Refused):
            await again(lambda: self.sessions.cancel_turn(self.session_id, turn, call_id=call_id))
            self.cancelled.add(turn)

    async def send(self, turn: str, program: str) -> None:
        """Send a message, for the first time or again."""
        await again(lambda: self.sessions.send(self.session_id, Message(turn_id=turn, text=program)))
        if turn not in self.accepted:
            self.accepted.append(turn)
            self.programs[turn] = program

    async def answer(self, decision: Decision, number: int) -> None:
        """Answer one of the open questions; it may be too late."""
        report = await self.look()
        if report.approvals:
            asked = report.approvals[number % len(report.approvals)]
            # Written down before it is told: claude may be quicker than the answer to this call.
            before = set(self.allowed), set(self.allowed_turns)
            if decision != "deny":
                self.allowed.add(asked.digest)
            if decision == "allow_turn":
                self.allowed_turns.add(asked.turn_id)
            try:
                await self.resolve(asked.approval_id, decision)
                self.answered.append(asked.approval_id)
            except Refused:
                self.allowed, self.allowed_turns = before

    async def resolve(self, approval_id: str, decision: Decision) -> None:
        """Tell the session; who tells it again because nobody said yes has told it once."""
        answer, call_id = Answer(approval_id=approval_id, decision=decision), uuid.uuid4().hex
        await again(lambda: self.sessions.resolve(self.session_id, answer, call_id=call_id))

    async def look(self) -> SessionReport:
        """What the session says of itself must hold together at any moment."""
        report = await again(lambda: self.sessions.status(self.session_id))
        assert all(approval.turn_id == report.turn_id for approval in report.approvals), (
            "questions end with their turns"
        )
        assert (report.status == "hibernated") <= (not report.turn_id), "nobody sleeps over a turn"
        assert report.cost_usd == COST_USD * report.turns_done, "the numbers add up"
        return report

    async def outcome(self, turn: str) -> TurnReport:
        """What became of a turn."""
        return await again(lambda: self.sessions.wait_turn(self.session_id, turn))

    async def finish(self, ending: Ending, claude: Claude) -> None:
        """End the session one way or the other."""
        handle = self.client.get_workflow_handle_for(SessionWorkflow.run, f"session-{self.session_id}")
        if ending == "signal":
            await handle.signal("stop")
            await handle.result()
        elif ending == "after_turn":
            stopping = asyncio.create_task(again(lambda: self.sessions.stop(self.session_id, when="after_turn")))
            while not stopping.done():
                await self.clear(claude)
            await stopping
        else:
            while ending == "drained" and not await self.clear(claude):
                pass
            await again(lambda: self.sessions.stop(self.session_id))

    async def clear(self, claude: Claude) -> bool:
        """Remove whatever the session waits for; says whether it has nothing left to do."""
        _disturb(claude, "release")
        if claude.question is not None:
            await self.answer("allow", 0)
        await asyncio.sleep(0.03)
        self.rounds += 1
        is_busy = claude.question is not None or any(
            not claude.runs[turn] for turn in {*self.accepted} - self.cancelled
        )
        # Whoever asks all the time does little else; now and then one must, or a lost turn is waited for in vain.
        if is_busy and self.rounds % 20:
            return False
        report = await self.look()
        return not report.turn_id and not report.queued


async def again(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask as a person does whom nobody answered: a task that a lost worker took along comes back after ten seconds."""
    try:
        return await ask()
    except NoWorker:
        return await ask()


def _disturb(claude: Claude, what: str) -> None:
    if what == "crash":
        claude.die()
    else:
        claude.holds = False
        claude.work()
        claude.holds = True


async def verdict(person: Person, claude: Claude, ending: Ending) -> None:
    """Every promise, once the session is over."""
    report = await person.look()
    turns = {turn: await person.outcome(turn) for turn in person.accepted}
    states = {turn: found.state for turn, found in turns.items()}
    done = [turn for turn, state in states.items() if state == "done"]
    assert report.status == "stopped", f"it was stopped: {report}"
    assert not claude.is_alive, "nothing is left when a stop returns"
    assert set(states.values()) <= {"done", "stopped", "cancelled"}, f"each message has one final state: {states}"
    assert {turn for turn, state in states.items() if state == "cancelled"} == person.cancelled, (
        "taken back is taken back"
    )
    assert not person.cancelled & set(claude.began), "what was taken back in time is never begun"
    assert all(claude.runs[turn] <= 1 for turn in person.accepted), f"a message runs once: {claude.runs}"
    assert all(claude.runs[turn] == 1 for turn in done), "what is done was run"
    assert (report.turns_done, report.cost_usd) == (len(done), COST_USD * len(done)), "the numbers add up"
    assert claude.began == [turn for turn in person.accepted if turn in claude.began], "the queue keeps its order"
    assert claude.spawned == sorted(set(claude.spawned)), "each generation is started once"
    by_leave = {
        (turn, digest) for turn, digest in claude.tools if digest in person.allowed or turn in person.allowed_turns
    }
    assert set(claude.tools) == by_leave, "nothing runs without leave"
    told = {turn: await person.was_told(turn) for turn in person.waiting}
    assert all(state in (None, states[turn]) for turn, state in told.items()), f"who waits is told the same: {told}"
    if ending == "drained":
        assert set(states.values()) <= {"done", "cancelled"}, f"whatever was taken is run in the end: {states}"
