"""The CLI's stream-json, without any I/O: lines in, events out, and lines to send."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from claude.events import (
    BEGINNING_CHARACTERS,
    ApiAwaited,
    ControlAnswered,
    Event,
    MessageEchoed,
    MessageState,
    Other,
    PermissionAsked,
    PermissionWithdrawn,
    TextSaid,
    ToolAnswered,
    ToolCalled,
    TurnOpened,
    TurnResult,
    Unreadable,
    input_summary,
)

# Enough to recognise a line in a log; the journal has the rest.
_HEAD_CHARACTERS = 200

# What claude asks a person by itself; 2.1.197 does not say so in the request.
_QUESTIONS = frozenset({"AskUserQuestion", "ExitPlanMode"})

Record = dict[str, Any]


def parse(line: bytes) -> list[Event]:
    """The events of one line: none when it is blank, one `Unreadable` when it is broken. Never raises."""
    if not line.strip():
        return []
    try:
        record = json.loads(line.decode("utf-8", errors="replace"))
        if not isinstance(record, dict):
            raise TypeError(f"a line is an object, not {type(record).__name__}")
        read = _READERS.get(_text(record.get("type")), _other)
        return read(record)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        head = line[: 4 * _HEAD_CHARACTERS].decode("utf-8", errors="replace")[:_HEAD_CHARACTERS]
        return [Unreadable(head=head, error=f"{type(error).__name__}: {error}")]


def initialize(request_id: str) -> bytes:
    """The handshake; claude says nothing before it is sent something."""
    return _request(request_id, {"subtype": "initialize", "hooks": None})


def user_message(uuid: str, content: str | Sequence[Mapping[str, Any]]) -> bytes:
    """A message, as text or in blocks; the same uuid again is echoed and not run again."""
    return _line({"type": "user", "message": {"role": "user", "content": content}, "uuid": uuid})


def interrupt(request_id: str) -> bytes:
    """Ends the turn that runs, if one does; the process lives on."""
    return _request(request_id, {"subtype": "interrupt"})


def allow(request_id: str, input: Mapping[str, Any], rules: Sequence[Mapping[str, Any]] = ()) -> bytes:
    """Leave to use the tool with this input; `rules` are claude's own suggestions, taken up from now on."""
    remembered = {"updatedPermissions": [dict(rule) for rule in rules]} if rules else {}
    return _answer(request_id, {"behavior": "allow", "updatedInput": dict(input), **remembered})


def deny(request_id: str, message: str) -> bytes:
    """Refusal of the tool; claude reads the message and goes on without it."""
    return _answer(request_id, {"behavior": "deny", "message": message})


def _request(request_id: str, request: Record) -> bytes:
    return _line({"type": "control_request", "request_id": request_id, "request": request})


def _answer(request_id: str, response: Record) -> bytes:
    answer = {"subtype": "success", "request_id": request_id, "response": response}
    return _line({"type": "control_response", "response": answer})


def _line(record: Record) -> bytes:
    # Escaped to ASCII: no character in a text can end the line early, and claude exits on a broken line.
    return json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"


def _control_response(record: Record) -> list[Event]:
    response = record["response"]
    answered = ControlAnswered(
        request_id=_text(response["request_id"]),
        is_error=response.get("subtype") != "success",
        error=_text(response.get("error")),
        response=_mapping(response.get("response")),
    )
    return [answered]


def _control_request(record: Record) -> list[Event]:
    request = record["request"]
    if request.get("subtype") != "can_use_tool":
        return [Other(type="control_request", subtype=_text(request.get("subtype")))]
    asked = PermissionAsked(
        request_id=_text(record["request_id"]),
        tool=_text(request["tool_name"]),
        input=_mapping(request.get("input")),
        reason=_text(request.get("decision_reason") or request.get("description")),
        tool_use_id=_text(request.get("tool_use_id")),
        suggestions=tuple(_mapping(suggestion) for suggestion in request.get("permission_suggestions") or ()),
        needs_person=request.get("requires_user_interaction") is True or request["tool_name"] in _QUESTIONS,
    )
    return [asked]


def _control_cancel_request(record: Record) -> list[Event]:
    return [PermissionWithdrawn(request_id=_text(record["request_id"]))]


def _system(record: Record) -> list[Event]:
    subtype = record.get("subtype")
    if subtype == "api_retry":
        return [ApiAwaited(attempt=_whole(record.get("attempt")), max_attempts=_whole(record.get("max_retries")))]
    if subtype != "init":
        return _other(record)
    opened = TurnOpened(
        model=_text(record.get("model")),
        cli_version=_text(record.get("claude_code_version")),
        permission_mode=_text(record.get("permissionMode")),
        cwd=_text(record.get("cwd")),
        conversation_id=_text(record.get("session_id")),
    )
    return [opened]


def _command_lifecycle(record: Record) -> list[Event]:
    return [MessageState(uuid=_text(record["command_uuid"]), state=_text(record["state"]))]


def _user(record: Record) -> list[Event]:
    if record.get("isReplay") is True:
        # A message that starts a turn is echoed with the time it was taken; one that was known before has none.
        said = _beginning(_mapping(record.get("message")).get("content"))
        return [MessageEchoed(uuid=_text(record.get("uuid")), is_repeat="timestamp" not in record, text=said)]
    return [
        ToolAnswered(
            tool_use_id=_text(block["tool_use_id"]),
            is_error=block.get("is_error") is True,
            text=_beginning(block.get("content")),
        )
        for block in _blocks(record)
        if block.get("type") == "tool_result"
    ] or _other(record)


def _assistant(record: Record) -> list[Event]:
    parent = record.get("parent_tool_use_id")
    return [_said(block, parent if isinstance(parent, str) else None) for block in _blocks(record)]


def _said(block: Record, parent: str | None) -> Event:
    if block.get("type") == "text":
        return TextSaid(text=_text(block["text"]), parent_tool_use_id=parent)
    if block.get("type") == "tool_use":
        return ToolCalled(
            tool_use_id=_text(block["id"]),
            tool=_text(block["name"]),
            input_summary=input_summary(_mapping(block.get("input"))),
            parent_tool_use_id=parent,
        )
    return Other(type="assistant", subtype=_text(block.get("type")))


def _result(record: Record) -> list[Event]:
    usage = _mapping(record.get("usage"))
    result = TurnResult(
        text=_text(record.get("result")),
        subtype=_text(record["subtype"]),
        is_error=record.get("is_error") is True,
        message_ids=_message_ids(record),
        cost_usd=_cost(record),
        total_cost_usd=_number(record.get("total_cost_usd")),
        duration_ms=_whole(record.get("duration_ms")),
        num_turns=_whole(record.get("num_turns")),
        input_tokens=_whole(usage.get("input_tokens")),
        output_tokens=_whole(usage.get("output_tokens")),
        errors=tuple(_text(error) for error in record.get("errors") or ()),
        api_error=_text(record.get("api_error_type")),
        terminal_reason=_text(record.get("terminal_reason")),
    )
    return [result]


def _message_ids(record: Record) -> tuple[str, ...]:
    if several := record.get("user_message_uuids"):
        return tuple(_text(uuid) for uuid in several)
    one = record.get("user_message_uuid")
    return (one,) if isinstance(one, str) else ()


def _cost(record: Record) -> float:
    per_model = record.get("model_usage_since_last_result")
    if not isinstance(per_model, dict):
        return _number(record.get("total_cost_usd"))
    return sum(_number(_mapping(usage).get("costUSD")) for usage in per_model.values())


def _other(record: Record) -> list[Event]:
    subtype = record.get("subtype")
    return [Other(type=_text(record.get("type")), subtype=subtype if isinstance(subtype, str) else None)]


def _blocks(record: Record) -> list[Record]:
    content = record["message"]["content"]
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _beginning(content: object) -> str:
    """The text at the beginning of a content; what is no text is named by its kind."""
    if not isinstance(content, list):
        return _text(content)[:BEGINNING_CHARACTERS]
    blocks = [block for block in content if isinstance(block, dict)]
    said = (_text(block.get("text")) if "text" in block else f"[{_text(block.get('type'))}]" for block in blocks)
    return "\n".join(part[:BEGINNING_CHARACTERS] for part in said)[:BEGINNING_CHARACTERS]


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _mapping(value: object) -> Record:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _whole(value: object) -> int:
    return int(_number(value))


_READERS: Mapping[str, Callable[[Record], list[Event]]] = {
    "assistant": _assistant,
    "command_lifecycle": _command_lifecycle,
    "control_cancel_request": _control_cancel_request,
    "control_request": _control_request,
    "control_response": _control_response,
    "result": _result,
    "system": _system,
    "user": _user,
}
