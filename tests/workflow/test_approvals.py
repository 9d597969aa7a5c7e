"""Questions that wait for a person: asked, answered, timed out, and kept over the death of the claude that asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from activities.calls import PermissionNeeded, SendTurn, TurnStep
from tests.workflow.conftest import Desk, ScriptedHost, answer, gone, until
from workflows.approvals import Answer, Decision
from workflows.errors import Refused

REMOVE = PermissionNeeded(turn_id="t", request_id="r1", tool="Bash", input={"command": "rm x"}, digest="rm")


def asks(*questions: PermissionNeeded, host: ScriptedHost) -> None:
    """claude asks these, one after the other and all at once, and ends the turn when all are answered."""

    def script(call: SendTurn) -> TurnStep | Exception:
        for question in questions:
            if question.request_id not in call.asked:
                return TurnStep(permission=question)
        return answer(call) if len(host.answers) == len(questions) else host.busy()

    host.script = script


async def resolve(desk: Desk, approval_id: str, decision: Decision, **more: object) -> None:
    await desk.sessions.resolve(desk.session_id, Answer(approval_id=approval_id, decision=decision, **more))  # type: ignore[arg-type]


async def waits(desk: Desk, *approval_ids: str) -> None:
    """Return once exactly these questions wait."""

    async def look() -> bool:
        return [approval.approval_id for approval in (await desk.status()).approvals] == list(approval_ids)

    await desk.eventually(look)


@pytest.mark.parametrize("decision", ["allow", "deny", "allow_turn"])
async def test_a_question_waits_for_its_answer(desk: Desk, host: ScriptedHost, decision: Decision) -> None:
    """The session says that it waits and for what; the answer reaches claude once, and the turn goes on."""
    asks(REMOVE, host=host)
    await desk.open()
    await desk.send("remove x", turn_id="t")
    await waits(desk, "a1")
    status = await desk.status()
    await resolve(desk, "a1", decision, message="as you like")
    report = await desk.turn("t")

    assert status.status == "awaiting_approval"
    assert (status.approvals[0].tool, status.approvals[0].input) == ("Bash", {"command": "rm x"})
    assert report.state == "done"
    behavior = "deny" if decision == "deny" else "allow"
    assert [(call.request_id, call.behavior, call.message) for call in host.answers] == [
        ("r1", behavior, "as you like")
    ]


async def test_nobody_answers(desk: Desk, host: ScriptedHost) -> None:
    """After ten minutes the tool is denied, claude goes on, and the person is told."""
    host.pace = timedelta(minutes=2)
    asks(REMOVE, host=host)
    await desk.open()
    await desk.send("remove x", turn_id="t")
    await waits(desk, "a1")
    report = await desk.turn("t", timedelta(minutes=3))
    status = await desk.status()

    assert report.state == "done"
    assert [(call.behavior, call.message) for call in host.answers] == [("deny", "Nobody answered within 10 minutes.")]
    assert status.warnings == ["nobody answered question a1 within 10 minutes: denied"]
    with pytest.raises(Refused, match="needs no answer any more"):
        await resolve(desk, "a1", "allow")


async def test_several_questions_at_once_are_answered_in_any_order(desk: Desk, host: ScriptedHost) -> None:
    """Each question has its own answer; one allowed for the turn answers those that wait and those that come."""
    questions = [replace(REMOVE, request_id=f"r{n}", digest=str(n), input={"command": f"rm {n}"}) for n in range(1, 5)]
    asks(*questions, host=host)
    await desk.open()
    await desk.send("remove all", turn_id="t")
    await waits(desk, "a1", "a2", "a3", "a4")
    await resolve(desk, "a3", "deny", message="not this")
    await resolve(desk, "a2", "allow_turn")
    report = await desk.turn("t")

    assert report.state == "done"
    behaviors = {call.request_id: call.behavior for call in host.answers}
    assert behaviors == {"r1": "allow", "r2": "allow", "r3": "deny", "r4": "allow"}


async def test_answers_that_cannot_apply_are_refused_in_words(desk: Desk, host: ScriptedHost) -> None:
    """Unknown, double and impossible answers change nothing and say why."""
    asks(REMOVE, replace(REMOVE, request_id="r2", digest="other"), host=host)
    await desk.open()
    await desk.send("remove x", turn_id="t")
    await waits(desk, "a1", "a2")
    with pytest.raises(Refused, match="there is no question 'a9'; open are: a1, a2"):
        await resolve(desk, "a9", "allow")
    with pytest.raises(Refused, match="claude offers no rule"):
        await resolve(desk, "a1", "allow_always")
    await resolve(desk, "a1", "allow")
    with pytest.raises(Refused, match="a1"):
        await resolve(desk, "a1", "deny")
    await resolve(desk, "a2", "deny")
    report = await desk.turn("t")

    assert report.state == "done"
    assert len(host.answers) == 2


async def test_a_rule_that_claude_offers_may_be_kept(desk: Desk, host: ScriptedHost) -> None:
    """Always allowing takes up claude's own suggestion."""
    asks(replace(REMOVE, can_be_remembered=True), host=host)
    await desk.open()
    await desk.send("remove x", turn_id="t")
    await waits(desk, "a1")
    await resolve(desk, "a1", "allow_always")
    await desk.turn("t")

    assert [(call.behavior, call.remember) for call in host.answers] == [("allow", True)]


async def test_a_question_outlives_the_claude_that_asked(desk: Desk, host: ScriptedHost) -> None:
    """claude dies while its question waits; the answer given meanwhile goes to the request of the next claude, once."""

    def script(call: SendTurn) -> TurnStep | Exception:
        again = replace(REMOVE, request_id=f"r{call.generation}")
        if call.generation == 1 and "r1" in call.asked:
            return host.busy() if not host.endings_taken else gone()
        if again.request_id not in call.asked:
            return TurnStep(permission=again)
        return answer(call) if host.answers else host.busy()

    host.script = script
    host.dies(1, after=timedelta(seconds=3))
    await desk.open()
    await desk.send("remove x", turn_id="t")
    await waits(desk, "a1")
    await desk.until(lambda: host.endings_taken)
    await resolve(desk, "a1", "allow")
    report = await desk.turn("t")

    assert report.state == "done"
    assert [call.request_id for call in host.answers] == ["r2"]
    assert len(host.starts) == 2


async def test_questions_end_with_their_turn(desk: Desk, host: ScriptedHost) -> None:
    """A turn that is interrupted takes its open questions along; a late answer is told so."""

    def script(call: SendTurn) -> TurnStep | Exception:
        if "r1" not in call.asked:
            return TurnStep(permission=REMOVE)
        return answer(call) if host.interrupts else host.busy()

    host.script = script
    await desk.open()
    await desk.send("remove x", turn_id="t")
    await waits(desk, "a1")
    await desk.sessions.interrupt(desk.session_id)
    report = await desk.turn("t")

    assert report.state == "done"
    assert host.answers == []
    assert (await desk.status()).approvals == []
    with pytest.raises(Refused, match="its turn has ended"):
        await resolve(desk, "a1", "allow")


async def test_stop_while_a_question_waits(desk: Desk, host: ScriptedHost) -> None:
    """A session that waits for an answer is stopped like any other."""
    asks(REMOVE, host=host)
    await desk.open()
    await desk.send("remove x", turn_id="t")
    await waits(desk, "a1")
    stopped = await desk.sessions.stop(desk.session_id)

    assert (stopped.status, stopped.approvals) == ("stopped", [])
    await until(lambda: len(host.stops) == 1)
