"""What processes and turns came to, as values for history."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from activities.calls import ClaudeEnded, ErrorKind, PermissionNeeded, SendTurn, TurnEnded, TurnStep
from claude.events import PermissionAsked, TurnResult
from claude.turn import TurnReader
from shim.records import Exit

# What history keeps of an answer; the whole text stays in the journal.
TEXT_CAP: Final = 64 * 1024
# What history keeps of a tool's input, which may be a whole file; the journal has all of it.
SHOWN_INPUT: Final = 8 * 1024
SHOWN_VALUE: Final = 1024
SHOWN_PARTS: Final = 8

# How claude and the API word what is not claude's own fault, in lower case. An API that takes no more requests names
# a rate limit, whether it is too busy or the person's quota is used up: so the quota's words come first.
_SIGNS: Final[dict[ErrorKind, tuple[str, ...]]] = {
    "not_logged_in": ("not logged in", "please run /login", "invalid api key", "authentication_error", "oauth token"),
    "no_credit": ("credit balance is too low", "usage limit", "hit your limit", "billing"),
    "overloaded": ("overloaded", "api error: 529", "rate_limit", "rate limit", "429"),
}
# A version that gives no reason for an end tells an interrupt by this, or by nothing at all.
_UNEXPLAINED: Final = "[ede_diagnostic]"


def ended(exit_record: Exit, stderr_tail: str) -> ClaudeEnded:
    """The exit record as the workflow gets it."""
    return ClaudeEnded(
        generation=exit_record.generation,
        code=exit_record.code,
        signal=exit_record.signal,
        why=exit_record.why,
        survivors=list(exit_record.survivors),
        stderr_tail=stderr_tail,
    )


def step(call: SendTurn, reader: TurnReader, outcome: TurnResult | PermissionAsked, offset: int) -> TurnStep:
    """A turn's outcome as the workflow gets it."""
    if isinstance(outcome, PermissionAsked):
        return TurnStep(permission=_needed(call, outcome))
    return TurnStep(
        ended=TurnEnded(
            turn_id=call.turn_id,
            text=outcome.text[:TEXT_CAP],
            text_truncated=len(outcome.text) > TEXT_CAP,
            is_error=outcome.is_error,
            error_kind=error_kind(outcome),
            subtype=outcome.subtype,
            # A version that tells only the total leaves this turn's part unknown.
            cost_usd=outcome.cost_usd or 0.0,
            duration_ms=outcome.duration_ms,
            input_tokens=outcome.input_tokens,
            output_tokens=outcome.output_tokens,
            tool_calls=reader.tool_calls,
            journal_end=offset,
            generation=call.generation,
        )
    )


def refused(call: SendTurn, why: str) -> TurnStep:
    """A turn that was not given to claude, since a part of its message cannot be."""
    return TurnStep(
        ended=TurnEnded(
            turn_id=call.turn_id,
            text=why,
            is_error=True,
            error_kind="other",
            subtype="error_attachment",
            journal_end=call.offset,
        )
    )


def error_kind(result: TurnResult) -> ErrorKind:
    """What a person can do about a turn that went wrong; empty when it went well."""
    if not result.is_error and not result.subtype.startswith("error"):
        return ""
    if _is_interrupted(result):
        return "interrupted"
    said = " ".join([result.text, *result.errors, result.api_error]).lower()
    for kind, signs in _SIGNS.items():
        if any(sign in said for sign in signs):
            return kind
    return "limit" if result.subtype.startswith("error_max") else "other"


def _is_interrupted(result: TurnResult) -> bool:
    if result.terminal_reason:
        return result.terminal_reason.startswith("aborted")
    said = [text for text in (result.text, *result.errors) if text]
    return result.subtype == "error_during_execution" and all(text.startswith(_UNEXPLAINED) for text in said)


def _needed(call: SendTurn, asked: PermissionAsked) -> PermissionNeeded:
    given = json.dumps(asked.input, sort_keys=True)
    return PermissionNeeded(
        turn_id=call.turn_id,
        request_id=asked.request_id,
        tool=asked.tool,
        input=dict(asked.input) if len(given) <= SHOWN_INPUT else _shortened(asked.input),
        digest=hashlib.sha256(given.encode()).hexdigest()[:32],
        reason=asked.reason[:SHOWN_VALUE],
        can_be_remembered=bool(asked.suggestions),
        needs_person=asked.needs_person,
    )


def _shortened(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _short(part) for name, part in list(value.items())[:SHOWN_PARTS]}


def _short(part: Any) -> str:
    text = part if isinstance(part, str) else json.dumps(part)
    return text if len(text) <= SHOWN_VALUE else f"{text[:SHOWN_VALUE]}… ({len(text)} characters)"
