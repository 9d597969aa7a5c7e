"""Lines of stream-json and what they mean."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude import protocol
from claude.events import (
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
    doing,
    short,
)

RESULT: dict[str, Any] = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "result": "two",
    "total_cost_usd": 0.75,
    "duration_ms": 145,
    "num_turns": 1,
    "usage": {"input_tokens": 10, "output_tokens": 12},
    "user_message_uuid": "m-1",
    "user_message_uuids": ["m-1"],
    "model_usage_since_last_result": {"opus": {"costUSD": 0.5}, "haiku": {"costUSD": 0.125}},
}


def parsed(record: object) -> list[Event]:
    return protocol.parse(json.dumps(record).encode())


def assistant(*blocks: dict[str, Any], parent: str | None = None) -> dict[str, Any]:
    return {"type": "assistant", "message": {"content": list(blocks)}, "parent_tool_use_id": parent}


def test_one_line_of_the_assistant_is_one_event_per_block() -> None:
    """Text and tool calls come out in order; kinds of blocks that are of no interest are named."""
    events = parsed(
        assistant(
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "let me look"},
            {"type": "tool_use", "id": "t-1", "name": "Bash", "input": {"command": "npm  test\n", "description": "x"}},
        )
    )

    assert events == [
        Other(type="assistant", subtype="thinking"),
        TextSaid(text="let me look", parent_tool_use_id=None),
        ToolCalled(tool_use_id="t-1", tool="Bash", input_summary="npm test", parent_tool_use_id=None),
    ]


def test_a_result_says_which_messages_it_answers_and_what_the_turn_cost() -> None:
    """The cost is the turn's own, not the conversation's."""
    assert parsed(RESULT) == [
        TurnResult(
            text="two",
            subtype="success",
            is_error=False,
            message_ids=("m-1",),
            cost_usd=0.625,
            total_cost_usd=0.75,
            duration_ms=145,
            num_turns=1,
            input_tokens=10,
            output_tokens=12,
            errors=(),
        )
    ]


def test_a_result_of_an_older_version_is_read_too() -> None:
    """A result without message ids and without the turn's cost answers nobody in particular and tells the total."""
    old = {name: RESULT[name] for name in ("type", "subtype", "is_error", "total_cost_usd", "usage")}

    (result,) = parsed(old)

    assert isinstance(result, TurnResult)
    assert (result.message_ids, result.cost_usd, result.text) == ((), 0.75, "")


def test_a_failed_turn_keeps_its_errors() -> None:
    """`errors` is kept; an interrupted turn has no text."""
    (result,) = parsed({"type": "result", "subtype": "error_during_execution", "is_error": True, "errors": ["boom"]})

    assert isinstance(result, TurnResult)
    assert (result.subtype, result.is_error, result.errors) == ("error_during_execution", True, ("boom",))


def test_an_echo_with_a_time_starts_a_turn_and_one_without_repeats_a_message() -> None:
    """Both are echoes of the message; only the first makes claude run it."""
    echo = {"type": "user", "isReplay": True, "uuid": "m-1", "message": {"role": "user", "content": "hello"}}

    assert parsed({**echo, "timestamp": "2026-11-22T08:33:55Z"}) == [
        MessageEchoed(uuid="m-1", is_repeat=False, text="hello")
    ]
    assert parsed(echo) == [MessageEchoed(uuid="m-1", is_repeat=True, text="hello")]


def test_a_tool_result_names_its_call_and_has_the_beginning_of_the_output() -> None:
    """What a tool gave back stays in the journal, but for what a person skims; an image is named."""
    parts = [{"type": "text", "text": "x" * 5000}, {"type": "image", "source": {"data": "y" * 5000}}]
    blocks = [
        {"type": "tool_result", "tool_use_id": "t-1", "content": "z" * 5000, "is_error": True},
        {"type": "tool_result", "tool_use_id": "t-2", "content": parts[::-1]},
    ]

    assert parsed({"type": "user", "message": {"content": blocks}}) == [
        ToolAnswered(tool_use_id="t-1", is_error=True, text="z" * 2000),
        ToolAnswered(tool_use_id="t-2", is_error=False, text="[image]\n" + "x" * 1992),
    ]


def test_a_permission_request_carries_what_an_answer_needs() -> None:
    """The input comes whole, since leave is given for exactly it."""
    suggestion = {"type": "setMode", "mode": "acceptEdits"}
    request = {
        "subtype": "can_use_tool",
        "tool_name": "Write",
        "input": {"file_path": "x.txt", "content": "y"},
        "description": "x.txt",
        "permission_suggestions": [suggestion],
        "tool_use_id": "t-1",
    }

    assert parsed({"type": "control_request", "request_id": "r-1", "request": request}) == [
        PermissionAsked(
            request_id="r-1",
            tool="Write",
            input={"file_path": "x.txt", "content": "y"},
            reason="x.txt",
            tool_use_id="t-1",
            suggestions=(suggestion,),
        )
    ]


@pytest.mark.parametrize(
    ("tool", "more", "asked"),
    [
        ("Bash", {}, "for leave"),
        ("NewKindOfQuestion", {"requires_user_interaction": True}, "a person"),
        ("AskUserQuestion", {}, "a person"),
        ("ExitPlanMode", {}, "a person"),
    ],
)
def test_what_only_a_person_can_answer_is_known(tool: str, more: dict[str, object], asked: str) -> None:
    """By what the request says, and by its name where an older claude says nothing."""
    request = {"subtype": "can_use_tool", "tool_name": tool, "input": {}, **more}

    (event,) = parsed({"type": "control_request", "request_id": "r-1", "request": request})

    assert isinstance(event, PermissionAsked)
    assert event.needs_person == (asked == "a person")


@pytest.mark.parametrize(
    ("record", "event"),
    [
        ({"type": "control_cancel_request", "request_id": "r-1"}, PermissionWithdrawn(request_id="r-1")),
        (
            {"type": "control_request", "request_id": "r", "request": {"subtype": "hook_callback"}},
            Other(type="control_request", subtype="hook_callback"),
        ),
        (
            {"type": "control_response", "response": {"subtype": "success", "request_id": "i", "response": {"pid": 7}}},
            ControlAnswered(request_id="i", is_error=False, error="", response={"pid": 7}),
        ),
        (
            {"type": "control_response", "response": {"subtype": "error", "request_id": "i", "error": "no"}},
            ControlAnswered(request_id="i", is_error=True, error="no", response={}),
        ),
        (
            {"type": "command_lifecycle", "command_uuid": "m-1", "state": "started"},
            MessageState(uuid="m-1", state="started"),
        ),
        (
            {"type": "system", "subtype": "api_retry", "attempt": 2, "max_retries": 10},
            ApiAwaited(attempt=2, max_attempts=10),
        ),
        (
            {
                "type": "system",
                "subtype": "init",
                "model": "opus",
                "claude_code_version": "2.1",
                "permissionMode": "plan",
                "cwd": "/p",
                "session_id": "c",
            },
            TurnOpened(model="opus", cli_version="2.1", permission_mode="plan", cwd="/p", conversation_id="c"),
        ),
        ({"type": "system", "subtype": "task_started"}, Other(type="system", subtype="task_started")),
        ({"type": "of_tomorrow", "x": 1}, Other(type="of_tomorrow", subtype=None)),
        ({"no": "type"}, Other(type="", subtype=None)),
    ],
    ids=[
        "request withdrawn",
        "request of another kind",
        "answer",
        "error answer",
        "message state",
        "api retry",
        "turn opened",
        "system of another kind",
        "kind of tomorrow",
        "no kind",
    ],
)
def test_each_kind_of_line_is_one_event(record: dict[str, Any], event: Event) -> None:
    """Known kinds become their event; kinds that a later version adds are kept as `Other`."""
    assert parsed(record) == [event]


@pytest.mark.parametrize(
    "line",
    [
        b"{not json",
        b"[]",
        b"7",
        b'{"type":"result"}',
        b'{"type":"assistant","message":{}}',
        b'{"type":"command_lifecycle"}',
        b"\xff\xfe\x00",
        b'{"a":' * 100_000,
        b'{"type":"result","subtype":"success","duration_ms":Infinity}',
    ],
    ids=lambda line: str(line[:30]),
)
def test_a_broken_line_is_one_unreadable_event(line: bytes) -> None:
    """It neither raises nor vanishes, and its head is kept short."""
    (event,) = protocol.parse(line)

    assert isinstance(event, Unreadable)
    assert event.error
    assert len(event.head) <= 200


def test_a_blank_line_is_nothing() -> None:
    """Claude may write one; it means nothing."""
    assert protocol.parse(b"") == protocol.parse(b" \r") == []


def test_invalid_utf8_inside_a_text_is_replaced() -> None:
    """One bad byte costs one character, not the line."""
    (event,) = protocol.parse(b'{"type":"assistant","message":{"content":[{"type":"text","text":"a\xffb"}]}}')

    assert event == TextSaid(text="a\ufffdb", parent_tool_use_id=None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "subtype",
        "message",
        "content",
        "request",
        "response",
        "request_id",
        "uuid",
        "usage",
        "errors",
        "isReplay",
        "state",
    ]
)
KINDS = st.sampled_from([*protocol._READERS, "unknown"])
SHAPED = st.builds(lambda kind, fields: {**fields, "type": kind}, KINDS, st.dictionaries(FIELDS, JSON))


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()) | SHAPED.map(lambda v: json.dumps(v).encode()))
def test_no_line_whatever_raises(line: bytes) -> None:
    """Any bytes, any JSON and any known kind with any fields are read as events."""
    assert all(event is not None for event in protocol.parse(line))


@given(st.text())
def test_a_message_is_one_line_that_carries_its_text_unchanged(text: str) -> None:
    """No character in a text can end the line early or be lost."""
    line = protocol.user_message("m-1", text)

    assert line.endswith(b"\n")
    assert len(line.splitlines()) == 1
    record = json.loads(line)
    assert record["uuid"] == "m-1"
    assert record["message"] == {"role": "user", "content": text}


def test_control_lines_have_the_shape_claude_reads() -> None:
    """Handshake, interrupt and both answers to a permission request."""
    lines = [
        protocol.initialize("i-1"),
        protocol.interrupt("i-2"),
        protocol.allow("r-1", {"command": "ls"}),
        protocol.deny("r-2", "not now"),
    ]

    initialize, interrupt, allow, deny = [json.loads(line) for line in lines]
    assert (initialize["request_id"], initialize["request"]["subtype"]) == ("i-1", "initialize")
    assert interrupt == {"type": "control_request", "request_id": "i-2", "request": {"subtype": "interrupt"}}
    assert allow["response"]["response"] == {"behavior": "allow", "updatedInput": {"command": "ls"}}
    assert deny["response"]["request_id"] == "r-2"
    assert deny["response"]["response"] == {"behavior": "deny", "message": "not now"}


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (TextSaid(text="I will\nlook", parent_tool_use_id=None), "writes: I will look"),
        (TextSaid(text="a subagent", parent_tool_use_id="t-1"), None),
        (TextSaid(text=" \n", parent_tool_use_id=None), None),
        (
            ToolCalled(tool_use_id="t", tool="Bash", input_summary="npm test", parent_tool_use_id="t-1"),
            "Bash: npm test",
        ),
        (ToolCalled(tool_use_id="t", tool="TodoWrite", input_summary="", parent_tool_use_id=None), "TodoWrite"),
        (ApiAwaited(attempt=2, max_attempts=10), "waits for the API (try 2 of 10)"),
        (MessageState(uuid="m", state="queued"), None),
    ],
)
def test_what_a_person_reads_about_an_event(event: Event, said: str | None) -> None:
    """One short line for what matters, nothing for the rest."""
    assert doing(event) == said


def test_a_permission_request_reads_as_a_question() -> None:
    """The tool and the one telling part of its input."""
    asked = PermissionAsked(
        request_id="r", tool="Bash", input={"command": "rm x"}, reason="", tool_use_id="t", suggestions=()
    )

    assert doing(asked) == "asks leave for Bash: rm x"


def test_long_texts_are_cut_to_one_short_line() -> None:
    """A megabyte of text is as quick to show as a word."""
    assert short("word " * 300_000) == ("word " * 24)[:119] + "…"
