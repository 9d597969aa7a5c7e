"""Claude's questions, as they are put to people. What is shown is what would run, however it was written."""

from __future__ import annotations

import json
from typing import Final

from handlers.signal.harmless import exact, one_line
from handlers.signal.style import Styled, combined, styled, units
from workflows.approvals import ASKING_TOOL, Approval
from workflows.questions import Asked, asked

# What a phone shows without a tap; the rest of a long command must not be out of sight when it is allowed.
INPUT_CHARACTERS: Final = 1200
_PLAN_TOOL: Final = "ExitPlanMode"


def question(approval: Approval) -> Styled:
    """The prompt for a question."""
    if questions := asked(approval):
        return combined(*_choices(approval, questions))
    if approval.tool == _PLAN_TOOL and isinstance(plan := approval.input.get("plan"), str):
        return combined(
            f"❓ {approval.approval_id}: the plan is ready\n", styled(exact(plan[:INPUT_CHARACTERS])), _keys("go on")
        )
    return combined(
        Styled(f"❓ {approval.approval_id}: may claude use {one_line(approval.tool, 60)}?\n"),
        _mono(_input(approval)),
        f"\n{one_line(approval.reason, 200)}" if approval.reason else "",
        _keys("yes · ♾️ always" if approval.can_be_remembered else "yes"),
    )


def question_line(approval: Approval) -> str:
    """The question in one line."""
    if questions := asked(approval):
        return f"❓ {approval.approval_id}: {one_line(questions[0].text, 120)}"
    return f"❓ {approval.approval_id}: {one_line(approval.tool, 60)} {one_line(_input(approval), 120)}"


def _keys(leave: str) -> str:
    return f"\n👍 {leave} · 👎 no · or reply to this with what to do instead"


def _choices(approval: Approval, questions: list[Asked]) -> list[Styled | str]:
    parts: list[Styled | str] = [f"❓ {approval.approval_id}: claude asks\n"]
    for one in questions:
        options = "".join(f"\n  {at}. {exact(label)}" for at, label in enumerate(one.labels, 1))
        parts.append(f"{exact(one.text)}{options}\n")
    several = len(questions) > 1
    parts.append(
        "Reply to this with your answers, a line for each."
        if several
        else "Reply to this with a number, or in your own words."
    )
    return parts


def _input(approval: Approval) -> str:
    given = approval.input
    if approval.tool == "Bash" and isinstance(command := given.get("command"), str):
        shown, rest = command, {name: value for name, value in given.items() if name not in ("command", "description")}
    else:
        shown, rest = "", given
    more = "\n".join(
        f"{name}: {value if isinstance(value, str) else json.dumps(value)}" for name, value in rest.items()
    )
    whole = exact("\n".join(part for part in (shown, more) if part))
    if len(whole) <= INPUT_CHARACTERS:
        return whole
    half = INPUT_CHARACTERS // 2
    return f"{whole[:half]}\n… {len(whole) - 2 * half} characters more; `durable-claude status` shows them …\n{whole[-half:]}"


def _mono(text: str) -> Styled:
    return Styled(text, (f"0:{units(text)}:MONOSPACE",) if text else ())


def is_choice(approval: Approval) -> bool:
    """Claude asks something by itself, which no yes or no answers."""
    return approval.tool == ASKING_TOOL
