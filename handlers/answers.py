"""What the commands do that answer, interrupt and take back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from handlers import choices, console, naming, views
from handlers.connection import session_named
from workflows.approvals import Answer, Decision
from workflows.client import Sessions
from workflows.errors import Refused

SAID: dict[Decision, str] = {
    "allow": "allowed",
    "allow_turn": "allowed, with everything else in this turn",
    "allow_always": "allowed, and not asked for again",
    "deny": "denied",
}


async def answer(name: str, question: str, decision: Decision, *, message: str = "", as_json: bool) -> None:
    """Answer one question of a session: the one that is named, or the only one that waits."""
    naming.check_text(message, "the message")
    naming.check_text(question, "the question's id")
    sessions, session_id = await session_named(name)
    approval_id = question or await _only_question(sessions, session_id)
    given = Answer(approval_id=approval_id, decision=decision, message=message)
    approval = await sessions.resolve(session_id, given)
    if as_json:
        console.document({"session_id": session_id, "decision": decision, **asdict(approval)})
    else:
        console.result(f"{approval_id} is {SAID[decision]}: {views.asked_for(approval)}")


async def choose(name: str, question: str, given: Sequence[str], *, as_json: bool) -> None:
    """Answer what claude asks by itself."""
    for text in (question, *given):
        naming.check_text(text, "the answer")
    sessions, session_id = await session_named(name)
    waiting = {one.approval_id: one for one in (await sessions.status(session_id)).approvals}
    if question not in waiting:
        raise Refused(f"there is no question {question!r}; open are: {', '.join(waiting) or 'none'}")
    answers = choices.chosen(waiting[question], given)
    approval = await sessions.resolve(session_id, Answer(approval_id=question, decision="allow", answers=answers))
    if as_json:
        console.document({"session_id": session_id, "answers": answers, **asdict(approval)})
    else:
        console.result("\n".join(f"{asked} {choice}" for asked, choice in answers.items()))


async def interrupt(name: str, *, as_json: bool) -> None:
    """End the running turn of a session."""
    sessions, session_id = await session_named(name)
    report = await sessions.interrupt(session_id)
    if as_json:
        console.document(report)
    else:
        console.result(f"turn {report.turn_id} is interrupted" if report.turn_id else "the turn is over")
        console.note(f"{session_id} lives on: `durable-claude send {session_id} …` goes on with the conversation")


async def cancel(name: str, turn_id: str, *, as_json: bool) -> None:
    """Take a queued turn of a session back."""
    naming.check_text(turn_id, "the turn's id")
    sessions, session_id = await session_named(name)
    report = await sessions.cancel_turn(session_id, turn_id)
    if as_json:
        console.document({"session_id": session_id, **asdict(report)})
    else:
        console.result(f"turn {turn_id} is taken back: claude will not see it")


async def _only_question(sessions: Sessions, session_id: str) -> str:
    report = await sessions.status(session_id)
    if not report.approvals:
        raise Refused(f"nothing waits for an answer: session {session_id!r} is {report.status}")
    if len(report.approvals) > 1:
        waiting = "; ".join(f"{one.approval_id} {views.asked_for(one)}" for one in report.approvals)
        raise Refused(f"{len(report.approvals)} questions wait, say which one is meant: {waiting}")
    return report.approvals[0].approval_id
