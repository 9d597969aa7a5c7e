"""What a person types when claude asks: leave for a tool, or a choice. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from workflows.approvals import Answer, Approval, Decision
from workflows.errors import Refused
from workflows.questions import Asked

_WORDS: Final[Mapping[str, Decision]] = {
    "y": "allow",
    "yes": "allow",
    "n": "deny",
    "no": "deny",
    "t": "allow_turn",
    "turn": "allow_turn",
    "a": "allow_always",
    "always": "allow_always",
}


def verdict(approval: Approval, typed: str) -> Answer:
    """The answer that was typed; Refused says why it is none."""
    text = typed.strip()
    if not text:
        raise Refused(f"say {keys(approval)}")
    decision = _WORDS.get(text.lower())
    if decision == "allow_always" and not approval.can_be_remembered:
        raise Refused("claude offers no rule for this: y allows it once, t for this turn")
    if decision is None:
        return Answer(approval_id=approval.approval_id, decision="deny", message=text)
    return Answer(approval_id=approval.approval_id, decision=decision)


def keys(approval: Approval) -> str:
    """What may be typed."""
    lasting = ", a always" if approval.can_be_remembered else ""
    return f"y yes, n no, t all of this turn{lasting}, or what claude should do instead"


def choice(asked: Asked, typed: str) -> str:
    """The answer to a question of claude's: one of its labels by number, several where it takes several, or own words."""
    text = typed.strip()
    if not text:
        raise Refused(f"say {choice_keys(asked)}")
    parts = [part.strip() for part in text.split(",")] if asked.takes_several else [text]
    return ", ".join(_label(asked, part) for part in parts if part)


def choice_keys(asked: Asked) -> str:
    """What may be typed."""
    if not asked.labels:
        return "what you want"
    numbers = f"1 to {len(asked.labels)}" + (", several with commas" if asked.takes_several else "")
    return f"{numbers}, or your own words"


def _label(asked: Asked, part: str) -> str:
    # A number that is not offered is somebody's own word: "how many?" may be answered with 7.
    if part.isdecimal() and 0 < int(part) <= len(asked.labels):
        return asked.labels[int(part) - 1]
    return part
