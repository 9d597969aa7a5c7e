"""A permission request as it stands in the journal, and the line that answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from activities.calls import AnswerPermission
from claude import protocol
from claude.events import PermissionAsked
from claude.process import ClaudeProcess, NotRunning

# The Messages API takes no failed tool without a reason, and a reason keeps claude from trying again.
DENIED: Final = "The person you work for denied this."
# What allows one tool. The third kind, a change of mode, would allow much that nobody was asked about.
RULES: Final = ("addRules", "addDirectories")


async def find_request(process: ClaudeProcess, call: AnswerPermission) -> PermissionAsked:
    """The request with its whole input, of which history has only a part."""
    async for _, event in process.events(call.offset):
        if isinstance(event, PermissionAsked) and event.request_id == call.request_id:
            return event
    raise NotRunning(f"claude ended before request {call.request_id!r} was answered")


def permission_answer(call: AnswerPermission, asked: PermissionAsked) -> bytes:
    """The answer as claude takes it. Answers to its own questions travel in the tool's input."""
    if call.behavior == "deny":
        return protocol.deny(call.request_id, call.message.strip() or DENIED)
    given = {**asked.input, "answers": call.answers} if call.answers else asked.input
    return protocol.allow(call.request_id, given, lasting(asked.suggestions) if call.remember else ())


def lasting(suggestions: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Of what claude suggests to remember, the narrowest that has an effect.

    Rules stay in the project's own settings; directories and modes are forgotten with the process.
    """
    has_rules = any(suggestion.get("type") == "addRules" for suggestion in suggestions)
    return [suggestion for suggestion in suggestions if suggestion.get("type") in RULES] if has_rules else suggestions
