"""What the Web UI shows of a session."""

from __future__ import annotations

from tests.unit.questions import question
from workflows.messages import SessionReport
from workflows.page import page


def report(**more: object) -> SessionReport:
    return SessionReport(session_id="app", project_path="/p", status="busy", **more)  # type: ignore[arg-type]


def test_what_waits_for_a_person_comes_before_the_rest() -> None:
    """A question is shown with its tool, its input and both ways to answer it."""
    shown = page(
        report(
            approvals=[question(input={"command": "make test"}, reason="a\nreason")], warnings=["nearly all is spent"]
        )
    )

    asked, table = shown.index("**Question a1: Bash** a reason"), shown.index("| project |")
    assert shown.index("> nearly all is spent") < asked < table
    assert '    {"command": "make test"}' in shown
    assert "durable-claude status app" in shown
    assert '{"approval_id": "a1", "decision": "allow"}' in shown


def test_what_claude_writes_stays_code() -> None:
    """No input leaves its line, which is code for being indented, and a long one is cut."""
    written = "```\n# Heading\n\n[link](http://x)" + "y" * 5000
    shown = page(report(approvals=[question(input={"command": written})]))

    [line] = [line for line in shown.splitlines() if "Heading" in line]
    assert line.startswith('    {"command": "```\\n# Heading')
    assert len(shown) < 1500


def test_a_session_that_sleeps_says_so() -> None:
    """There is no process, and the next message brings it back."""
    sleeping = SessionReport(session_id="app", project_path="/p", status="hibernated")

    assert "| process | asleep: the next message wakes it |" in page(sleeping)
