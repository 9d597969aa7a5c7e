"""What the Web UI shows of a session."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from activities.calls import TurnEnded
from tests.unit.questions import question
from workflows.approvals import ASKING_TOOL, Answer
from workflows.messages import Message, OpenSession, SessionReport, Status
from workflows.page import introduction, page, summary
from workflows.turns import Turns


def report(status: Status = "busy", **more: object) -> SessionReport:
    return SessionReport(session_id="app", project_path="/p", status=status, **more)  # type: ignore[arg-type]


def test_what_waits_for_a_person_comes_before_the_rest() -> None:
    """A question is shown with its tool, its input and both ways to answer it."""
    shown = page(
        report(
            approvals=[question(input={"command": "make test"}, reason="a\nreason")], warnings=["nearly all is spent"]
        )
    )

    asked, facts = shown.index("**Question a1: Bash** a reason"), shown.index("- **project** `/p`")
    assert shown.index("> nearly all is spent") < asked < facts
    assert '    {"command": "make test"}' in shown
    assert "`durable-claude approve app a1`" in shown
    assert "denied at 00:00 UTC" in shown


@pytest.mark.parametrize("tool", ["Bash", ASKING_TOOL])
def test_the_answer_can_be_copied_as_it_stands(tool: str) -> None:
    """The line after the question is the update's input, also for a question of claude's own."""
    questions = {"questions": [{"question": "Which `db`?", "header": "db", "options": [{"label": "SQLite"}]}]}
    shown = page(report(approvals=[question(tool=tool, input=questions)]))

    [line] = [line for line in shown.splitlines() if line.startswith('    {"approval_id"')]
    answer = Answer(**json.loads(line))
    assert answer == Answer(
        approval_id="a1", decision="allow", answers={"Which `db`?": "SQLite"} if tool == ASKING_TOOL else {}
    )


def test_what_claude_writes_stays_code() -> None:
    """No input leaves its line, which is code for being indented, and a long one is cut."""
    written = "```\n# Heading\n\n[link](http://x)" + "y" * 5000
    shown = page(report(approvals=[question(input={"command": written})]))

    [line] = [line for line in shown.splitlines() if "Heading" in line]
    assert line.startswith('    {"command": "```\\n# Heading')
    assert len(shown) < 1500


@pytest.mark.parametrize("where", ["note", "warnings", "last_error", "reason", "tool"])
def test_nothing_that_claude_says_is_markdown(where: str) -> None:
    """Its last words, its reasons and its tools' names show no image, no link and no heading of theirs."""
    evil = "![x](http://evil/x.png)\n\n# **Stop** <img src=x> `code` | a"
    more: dict[str, Any] = {where: [evil] if where == "warnings" else evil}
    if where in ("reason", "tool"):
        more = {"approvals": [question(**{where: evil})]}
    shown = page(report(**more))

    assert "\\!\\[x\\](http://evil/x.png) \\# \\*\\*Stop\\*\\* \\<img src=x\\> \\`code\\` \\| a" in shown
    assert not any(line.startswith("# ") for line in shown.splitlines())


@pytest.mark.parametrize("status", get_args(Status))
def test_every_status_is_said_in_words(status: Status) -> None:
    """Below the status stands what it means, on a line of its own."""
    heading, _, says, *_ = page(report(status)).splitlines()

    assert heading == f"### app: {status}"
    assert says.endswith(".")


def test_a_session_at_work_shows_where_to_look() -> None:
    """The page has the turn and its number, the process and the cost, and says where claude's steps are to be seen."""
    shown = page(
        report(pid=7, generation=3, restarts=2, turn_id="t9", turns_done=8, cost_usd=1.5, queued=4, host_id="h")
    )

    assert "`send_turn`, *Heartbeat Details*" in shown
    assert shown.splitlines()[-6:] == [
        "- **project** `/p`",
        "- **host** h",
        "- **process** pid 7, generation 3, started again 2×",
        "- **turn** number 9, `t9`",
        "- **queued** 4",
        "- **done** 8 turns, 1.5000 USD",
    ]


def test_a_session_without_a_process_says_so() -> None:
    """Asleep, ended, and ended with something left over are told apart."""
    lines = [page(report(status, pid=7)) for status in ("hibernated", "stopped")]
    left = page(report("stopped", pid=7, survivors=[8, 9]))

    assert "**process** asleep" in lines[0]
    assert "**process** none left" in lines[1]
    assert "none left" not in left
    assert "- **left over** pid 8, pid 9" in left


def test_the_last_error_is_remembered() -> None:
    """What went wrong stays on the page, with its turn, until something else does; an interrupt is nobody's error."""
    turns = Turns()
    said = []
    for turn_id, ended in {
        "good": TurnEnded(turn_id="good", text="fine"),
        "bad": TurnEnded(turn_id="bad", text="Not logged in", is_error=True, error_kind="not_logged_in"),
        "cut": TurnEnded(turn_id="cut", text="", is_error=True, error_kind="interrupted"),
        "fine": TurnEnded(turn_id="fine", text="fine"),
    }.items():
        turns.accept(Message(turn_id=turn_id, text="x"))
        turns.begin()
        turns.finish(ended)
        said.append(turns.last_error)
    turns.accept(Message(turn_id="long", text="x"))
    turns.begin()
    turns.give_up("it took too long", "failed")

    assert said == ["", *["turn 'bad' (not_logged_in): Not logged in"] * 3]
    assert turns.last_error == "turn 'long': it took too long"


def test_what_never_changes_says_how_to_drive_the_session() -> None:
    """The summary has the project, and the details every command with the session's name, and a message to copy."""
    opened = OpenSession(session_id="app", project_path="/p/`x`")
    shown = introduction(opened)

    assert summary(opened) == "claude in `/p/'x'`"
    for command in ("status app", "send app 'Run the tests.'", "approve app", "interrupt app", "stop app"):
        assert f"    durable-claude {command}" in shown
    [line] = [line.strip() for line in shown.splitlines() if "turn_id" in line]
    assert Message(**json.loads(line)) == Message(turn_id="my-turn-1", text="Run the tests.")
