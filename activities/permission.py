"""A permission request as it stands in the journal, and the line that answers it."""

from __future__ import annotations

from activities.calls import AnswerPermission
from claude import protocol
from claude.events import PermissionAsked
from claude.process import ClaudeProcess, NotRunning


async def find_request(process: ClaudeProcess, call: AnswerPermission) -> PermissionAsked:
    """The request with its whole input, of which history has only a part."""
    async for _, event in process.events(call.offset):
        if isinstance(event, PermissionAsked) and event.request_id == call.request_id:
            return event
    raise NotRunning(f"claude ended before request {call.request_id!r} was answered")


def permission_answer(call: AnswerPermission, asked: PermissionAsked) -> bytes:
    """The answer as claude takes it. Answers to its own questions travel in the tool's input."""
    if call.behavior == "deny":
        return protocol.deny(call.request_id, call.message)
    given = {**asked.input, "answers": call.answers} if call.answers else asked.input
    return protocol.allow(call.request_id, given, asked.suggestions if call.remember else ())
