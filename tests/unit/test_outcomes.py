"""What a turn's end means for a person, from lines that the CLI really wrote."""

import json
from typing import Any

import pytest

from activities.calls import ErrorKind
from activities.outcomes import error_kind
from claude import protocol
from claude.events import TurnResult

DIAGNOSTIC = "[ede_diagnostic] result_type=user last_content_type=n/a stop_reason=tool_use"
BUSY = "API Error: 529 Overloaded. This is a server-side issue, usually temporary — try again in a moment."
LIMITED = "API Error: Request rejected (429) · This request would exceed your account's rate limit"


def result(**fields: Any) -> TurnResult:
    """The event of a result line with these fields."""
    line = json.dumps({"type": "result", "subtype": "success", "is_error": True, **fields}).encode()
    [event] = protocol.parse(line)
    assert isinstance(event, TurnResult)
    return event


def refused(text: str, kind: str | None) -> TurnResult:
    """A turn that the Messages API ended."""
    return result(result=text, api_error_type=kind, terminal_reason="api_error")


def broken_off(**fields: Any) -> TurnResult:
    """A turn without a result."""
    return result(subtype="error_during_execution", **fields)


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (result(is_error=False, result="not logged in, overloaded: all fine", terminal_reason="completed"), ""),
        (broken_off(errors=[DIAGNOSTIC], terminal_reason="aborted_tools"), "interrupted"),
        (broken_off(errors=[DIAGNOSTIC], terminal_reason="aborted_streaming"), "interrupted"),
        (broken_off(errors=[DIAGNOSTIC]), "interrupted"),
        (broken_off(), "interrupted"),
        (broken_off(errors=["No conversation found with session ID: x"]), "other"),
        (refused("Not logged in · Please run /login", None), "not_logged_in"),
        (refused("Invalid API key · Fix external API key", "authentication_error"), "not_logged_in"),
        (refused("Credit balance is too low", "invalid_request_error"), "no_credit"),
        (refused("You've hit your limit · resets 3pm", "rate_limit_error"), "no_credit"),
        (refused(BUSY, "overloaded_error"), "overloaded"),
        (refused(LIMITED, "rate_limit_error"), "overloaded"),
        (refused("API Error: 500 Internal server error.", "api_error"), "other"),
        (result(subtype="error_max_turns", terminal_reason="max_turns"), "limit"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_turn_that_went_wrong_says_what_can_be_done(ended: TurnResult, expected: ErrorKind) -> None:
    """An interrupt, a login, money and a busy API are told from everything else."""
    assert error_kind(ended) == expected
