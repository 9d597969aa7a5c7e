"""What processes and turns came to, as values for history."""

from __future__ import annotations

from typing import Final

from activities.calls import ClaudeEnded, PermissionNeeded, SendTurn, TurnEnded, TurnStep
from claude.events import PermissionAsked, TurnResult
from claude.turn import TurnReader
from shim.records import Exit

# What history keeps of an answer; the whole text stays in the journal.
TEXT_CAP: Final = 64 * 1024


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
        return TurnStep(
            permission=PermissionNeeded(
                turn_id=call.turn_id,
                request_id=outcome.request_id,
                tool=outcome.tool,
                input=dict(outcome.input),
                reason=outcome.reason or "",
            )
        )
    return TurnStep(
        ended=TurnEnded(
            turn_id=call.turn_id,
            text=outcome.text[:TEXT_CAP],
            text_truncated=len(outcome.text) > TEXT_CAP,
            is_error=outcome.is_error,
            subtype=outcome.subtype,
            # A version that tells only the total leaves this turn's part unknown.
            cost_usd=outcome.cost_usd or 0.0,
            duration_ms=outcome.duration_ms,
            input_tokens=outcome.input_tokens,
            output_tokens=outcome.output_tokens,
            tool_calls=reader.tool_calls,
            journal_end=offset,
        )
    )
