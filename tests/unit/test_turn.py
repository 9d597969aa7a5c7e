"""A turn read from events, from wherever the reading begins."""

from claude.events import (
    ControlAnswered,
    Event,
    MessageEchoed,
    MessageState,
    PermissionAsked,
    PermissionWithdrawn,
    TextSaid,
    ToolAnswered,
    ToolCalled,
    TurnResult,
)
from claude.turn import TurnReader

ASKED = PermissionAsked(request_id="r-1", tool="Write", input={}, reason="", tool_use_id="t-1", suggestions=())


def state(uuid: str, state: str) -> Event:
    return MessageState(uuid=uuid, state=state)


def echo(uuid: str) -> Event:
    return MessageEchoed(uuid=uuid, is_repeat=False)


def repeat(uuid: str) -> Event:
    return MessageEchoed(uuid=uuid, is_repeat=True)


def says(text: str, parent: str | None = None) -> Event:
    return TextSaid(text=text, parent_tool_use_id=parent)


def calls(tool: str, summary: str = "") -> Event:
    return ToolCalled(tool_use_id="t-1", tool=tool, input_summary=summary, parent_tool_use_id=None)


def result(text: str, *message_ids: str) -> TurnResult:
    return TurnResult(
        text=text,
        subtype="success",
        is_error=False,
        message_ids=message_ids,
        cost_usd=0.0,
        total_cost_usd=0.0,
        duration_ms=1,
        num_turns=1,
        input_tokens=1,
        output_tokens=1,
        errors=(),
    )


def turn(uuid: str, text: str) -> list[Event]:
    return [state(uuid, "queued"), state(uuid, "started"), echo(uuid), says(text), result(text, uuid)]


def fed(reader: TurnReader, *events: Event) -> list[Event]:
    return [outcome for event in events if (outcome := reader.feed(event)) is not None]


def test_a_turn_ends_with_its_own_result() -> None:
    """Results of earlier and later turns in the same journal pass by."""
    reader = TurnReader("m-2")

    outcomes = fed(reader, *turn("m-1", "one"), *turn("m-2", "two"), *turn("m-3", "three"))

    assert outcomes == [result("two", "m-2")]


def test_a_turn_nobody_sent_is_not_taken_for_ours() -> None:
    """When a background command ends, claude works by itself and reports a result that names no message."""
    reader = TurnReader("m-1")

    outcomes = fed(reader, state("m-1", "queued"), says("by myself"), result("by myself"), state("m-1", "started"))

    assert outcomes == []
    assert reader.text == ""
    assert fed(reader, result("background again"), result("mine", "m-1")) == [result("mine", "m-1")]


def test_without_message_ids_a_result_belongs_to_the_turn_that_runs() -> None:
    """A version that ties nothing to a message is taken at its order: the echo begins, the next result ends."""
    reader = TurnReader("m-2")

    outcomes = fed(reader, echo("m-1"), result("one"), echo("m-2"), says("two"), result("two"))

    assert outcomes == [result("two")]


def test_a_result_that_answers_several_messages_answers_each() -> None:
    """Claude may take up a message in the turn that runs."""
    assert fed(TurnReader("m-2"), result("both", "m-1", "m-2")) == [result("both", "m-1", "m-2")]


def test_the_message_counts_as_delivered_at_its_first_sign() -> None:
    """Queued is enough: claude has it, and it need not be sent again."""
    reader = TurnReader("m-1")
    assert not reader.delivered

    fed(reader, state("m-0", "queued"))
    assert not reader.delivered

    fed(reader, state("m-1", "queued"))
    assert reader.delivered


def test_a_message_that_claude_knew_before_its_restart_is_echo_only() -> None:
    """Echoed without a time and called completed without having started: no turn comes of it."""
    reader = TurnReader("m-1")

    fed(reader, repeat("m-1"), state("m-1", "completed"))

    assert reader.is_echo_only


def test_a_resend_within_a_running_turn_changes_nothing() -> None:
    """The repeated echo of a message whose turn runs is no sign that nothing will come."""
    reader = TurnReader("m-1")

    outcomes = fed(reader, *turn("m-1", "x")[:4], repeat("m-1"), result("x", "m-1"))

    assert not reader.is_echo_only
    assert outcomes == [result("x", "m-1")]


def test_a_permission_request_is_an_outcome() -> None:
    """The turn cannot go on without an answer, and it is pending until there is one."""
    reader = TurnReader("m-1")

    assert fed(reader, state("m-1", "started"), ASKED) == [ASKED]
    assert reader.pending == ASKED
    assert reader.doing == "asks leave for Write"

    fed(reader, ControlAnswered(request_id="r-1", is_error=False, error="", response={"behavior": "allow"}))
    assert reader.pending is None


def test_a_withdrawn_request_is_no_longer_pending() -> None:
    """An interrupt takes the question back."""
    reader = TurnReader("m-1")

    fed(reader, state("m-1", "started"), ASKED, PermissionWithdrawn(request_id="r-1"))

    assert reader.pending is None


def test_another_turn_that_waits_for_leave_shows_as_pending_only() -> None:
    """It holds our message up, and the reader can see why."""
    reader = TurnReader("m-1")

    assert fed(reader, ASKED, state("m-1", "queued")) == []
    assert reader.pending == ASKED


def test_actions_are_numbered_and_the_last_twenty_are_kept() -> None:
    """Numbers go on counting, so that a reader sees what it missed."""
    reader = TurnReader("m-1")

    fed(reader, state("m-1", "started"), *(calls("Bash", f"step {number}") for number in range(1, 31)))

    assert len(reader.actions) == 20
    assert reader.actions[0] == (11, "Bash: step 11")
    assert reader.actions[-1] == (30, "Bash: step 30")
    assert reader.tool_calls == 30


def test_text_and_doing_follow_the_turn() -> None:
    """A subagent's words are not claude's answer; between a tool's answer and the next word claude thinks."""
    reader = TurnReader("m-1")
    fed(reader, says("before"), state("m-1", "started"))
    assert (reader.text, reader.doing) == ("", "thinks")

    fed(reader, says("first"), says("whispered", "t-9"), calls("Bash", "ls"))
    assert (reader.text, reader.doing) == ("first", "Bash: ls")

    fed(reader, ToolAnswered(tool_use_id="t-1", is_error=False), says("second"))
    assert (reader.text, reader.doing) == ("first\n\nsecond", "writes: second")
