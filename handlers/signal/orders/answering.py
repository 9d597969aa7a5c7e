"""Answers to claude's questions: by a reaction, by a reply that quotes one, or by a command."""

from __future__ import annotations

from typing import Final

import structlog

from handlers import verdicts
from handlers.signal import asking, grammar
from handlers.signal.desk import Desk, Done, Order, said
from handlers.signal.letters import Letter
from handlers.signal.prompts import kept, restored
from workflows.approvals import Answer, Approval, Decision
from workflows.errors import Refused
from workflows.questions import asked

_SCOPES: Final[dict[grammar.Scope, Decision]] = {"once": "allow", "turn": "allow_turn", "always": "allow_always"}
_OVER: Final = "That question needs no answer any more."
LOST_WORDS: Final = "I cannot tell which question that answers"
_LOST: Final = f"{LOST_WORDS}: /approve or /deny with its id does."

log = structlog.get_logger(__name__)


async def react(desk: Desk, order: Order) -> Done:
    """A reaction on a prompt of this chat. Any other reaction is nobody's business here."""
    message = order.message
    decision = grammar.reaction(message.emoji)
    if decision is None or message.is_removed or not _is_ours(desk, order):
        return Done()
    found = desk.prompts.at(order.chat.chat, message.target)
    if found is None:
        # Silence would look like consent: a thumb that comes after the time has run out changes nothing any more.
        if desk.prompts.was_asked(order.chat.chat, message.target):
            return said(order.reply(_OVER))
        return said(order.reply(_LOST)) if _is_lost(desk, order) else Done()
    session_id, approval = found
    if decision != "deny" and asking.is_choice(approval):
        raise Refused("claude asks for a choice: reply to its question with a number, or in your own words")
    return await _resolve(desk, order, session_id, Answer(approval_id=approval.approval_id, decision=decision))


async def reply(desk: Desk, order: Order) -> Done | None:
    """A message that quotes a prompt; None when it quotes something else, or nothing."""
    message = order.message
    if not message.target or not _is_ours(desk, order):
        return None
    found = desk.prompts.at(order.chat.chat, message.target)
    if found is None:
        return said(order.reply(_OVER)) if desk.prompts.was_asked(order.chat.chat, message.target) else None
    session_id, approval = found
    return await _resolve(desk, order, session_id, _typed(approval, message.text))


async def approve(desk: Desk, order: Order) -> Done:
    """Let claude do what it asks."""
    given = grammar.parse_answer(order.argument)
    approval = await _meant(desk, order, given.approval_id)
    if asking.is_choice(approval):
        answer = _typed(approval, given.message)
    else:
        answer = Answer(approval_id=approval.approval_id, decision=_SCOPES[given.scope])
    return await _resolve(desk, order, order.chat.session_id, answer)


async def deny(desk: Desk, order: Order) -> Done:
    """Do not let it, perhaps with a reason."""
    given = grammar.parse_answer(order.argument)
    approval = await _meant(desk, order, given.approval_id)
    why = given.message if given.scope == "once" else given.scope
    answer = Answer(approval_id=approval.approval_id, decision="deny", message=why)
    return await _resolve(desk, order, order.chat.session_id, answer)


async def _resolve(desk: Desk, order: Order, session_id: str, answer: Answer) -> Done:
    """Hand the answer over; tried again it is the same call, and the session answers it once more."""
    chat, name = order.chat.chat, answer.approval_id
    await desk.sessions.resolve(session_id, answer, call_id=order.key)
    close = lambda: desk.prompts.close(session_id, name)  # noqa: E731
    mark = "❌" if answer.decision == "deny" else "✅"
    timestamp = desk.prompts.timestamp(chat, session_id, name)
    if not timestamp:
        return Done([order.reply(f"{mark} {name}")], [close])
    done = Letter(key=f"re/{order.key}", chat=chat, emoji=mark, author=desk.account, target=timestamp, gist=name)
    return Done([done], [close])


async def _meant(desk: Desk, order: Order, approval_id: str) -> Approval:
    """The question of that id, or the only one that is open; tried again, the same one."""
    if not order.chat.session_id:
        raise Refused("no session is open here")
    if order.plan:
        return restored(order.plan)
    approval = await _open_one(desk, order, approval_id)
    desk.inbox.plan(order.key, kept(approval))
    return approval


async def _open_one(desk: Desk, order: Order, approval_id: str) -> Approval:
    open_ones = {one.approval_id: one for one in (await desk.sessions.status(order.chat.session_id)).approvals}
    if approval_id in open_ones:
        return open_ones[approval_id]
    if not approval_id and len(open_ones) == 1:
        return next(iter(open_ones.values()))
    if not open_ones:
        raise Refused("nothing waits for an answer")
    raise Refused(f"say which question: {', '.join(open_ones)}")


def _typed(approval: Approval, text: str) -> Answer:
    questions = asked(approval)
    if not questions:
        decision = grammar.decision(text)
        if decision is not None:
            return Answer(approval_id=approval.approval_id, decision=decision)
        return verdicts.verdict(approval, text)
    lines = [line for line in text.splitlines() if line.strip()]
    if len(questions) > 1 and len(lines) != len(questions):
        raise Refused(f"claude asks {len(questions)} things: answer with a line for each")
    typed = lines if len(questions) > 1 else [text]
    answers = {one.text: verdicts.choice(one, line) for one, line in zip(questions, typed, strict=True)}
    return Answer(approval_id=approval.approval_id, decision="allow", answers=answers)


def _is_ours(desk: Desk, order: Order) -> bool:
    """Whether it is about a message of ours: anybody may write one that has the time of a prompt."""
    if desk.account in order.message.target_authors:
        return True
    log.info("a reaction or quote is about somebody else's message", key=order.key)
    return False


def _is_lost(desk: Desk, order: Order) -> bool:
    """Whether the chat was asked something by a message whose time nobody told us."""
    session_id = order.chat.session_id
    open_ones = desk.prompts.open(order.chat.chat, session_id)
    return any(not desk.prompts.timestamp(order.chat.chat, session_id, one.approval_id) for one in open_ones)
