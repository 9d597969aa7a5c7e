"""Answers to what claude asks by itself, as they are typed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from workflows.approvals import ASKING_TOOL, Approval
from workflows.errors import Refused
from workflows.questions import Asked, asked


def chosen(approval: Approval, given: Sequence[str]) -> dict[str, str]:
    """The answers by the texts of their questions, from `question=choice`; Refused when one cannot be meant."""
    if approval.tool != ASKING_TOOL:
        raise Refused(f"{approval.approval_id} asks for leave to use {approval.tool}: approve or deny it")
    questions = asked(approval)
    answers = dict(_answer(one, questions) for one in given)
    missing = [question.line() for question in questions if question.text not in answers]
    if missing:
        raise Refused(f"no answer is given to: {'; '.join(missing)}")
    return answers


def command(session_id: str, approval: Approval) -> str:
    """How to answer, ready to be copied: with the first of the answers that claude offers."""
    pairs = [f"{one.text}={one.labels[0] if one.labels else 'ANSWER'}" for one in asked(approval)]
    told = " ".join(map(shlex.quote, pairs)) or "'QUESTION=ANSWER'"
    return f"durable-claude answer {session_id} {approval.approval_id} {told}"


def _answer(given: str, questions: Sequence[Asked]) -> tuple[str, str]:
    for question in questions:
        # The text itself may hold an equals sign.
        for name in (question.text, question.header):
            if name and given.startswith(f"{name}="):
                return question.text, given.removeprefix(f"{name}=")
    text, sign, choice = given.partition("=")
    if questions or not sign:
        known = "; ".join(question.line() for question in questions) or "'question=choice'"
        raise Refused(f"{given!r} answers none of the questions: {known}")
    return text, choice
