"""The board of `watch`: who comes first, and what a narrow terminal goes without."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.cells import cell_len

from handlers import board, console
from tests.unit.questions import question
from workflows.approvals import Approval
from workflows.lookout import Sight
from workflows.messages import SessionReport, Status
from workflows.rows import SessionRow

_ASKING: tuple[Status, ...] = ("ready", "awaiting_approval")
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def sight(
    name: str,
    status: Status,
    *,
    approvals: list[Approval] | None = None,
    load: Mapping[str, Any] | None = None,
    note: str = "",
    in_turn: bool = False,
) -> Sight:
    row = SessionRow(
        session_id=name,
        project_path="/p",
        status=status,
        host_id="here",
        turns=1,
        cost_usd=0.5,
        note=note,
        opened_at=NOW - timedelta(hours=2),
    )
    report = SessionReport(session_id=name, project_path="/p", status=status, approvals=approvals or [], generation=3)
    since = NOW - timedelta(seconds=40) if in_turn else None
    return Sight(row=replace(row, generation=3), report=report, load=load or {}, turn_since=since)


def shown(sights: list[Sight], width: int | None) -> list[str]:
    return [line.plain for line in board.lines(sights, NOW, width)]


def test_who_needs_a_person_comes_first() -> None:
    """A question before all else, then what is broken, what is on its way, what works, what rests."""
    statuses: list[Status] = ["ready", "hibernated", "busy", "host_lost", "restarting", "failed"]
    sights = [sight(status, status) for status in statuses]
    asking = [sight(f"asks, {status}", status, approvals=[question()]) for status in _ASKING]

    order = [seen.row.session_id for seen in board.sorted_by_need([*sights, *asking])]

    assert order == [
        *("asks, awaiting_approval", "asks, ready", "failed", "host_lost"),
        *("restarting", "busy", "ready", "hibernated"),
    ]


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 120, 200])
def test_every_width_is_kept_and_every_session_named(width: int) -> None:
    """No line is wider than the terminal, however wide its letters are; each begins with its session."""
    load = {"doing": "Bash: " + "\N{CJK UNIFIED IDEOGRAPH-65E5}" * 90, "rss_mb": 213.4, "cpu_percent": 99.5}
    sights = [sight("a" * 60, "awaiting_approval", approvals=[question()]), sight("b", "busy", load=load, in_turn=True)]

    lines = shown(sights, width)

    assert max(map(cell_len, lines)) <= width
    assert [line[0] for line in lines] == ["S", "a", "b"]


def test_a_wide_board_tells_all() -> None:
    """The question, what claude does and for how long, its memory and processor, and how often it was started."""
    load = {"doing": "Bash: make", "rss_mb": 213.4, "cpu_percent": 99.5}
    asked = sight("one", "awaiting_approval", approvals=[question(tool="Bash", input={"command": "rm x"})])
    lines = shown(
        [asked, sight("two", "busy", load=load, in_turn=True), sight("three", "restarting", note="died")], None
    )

    assert lines[1].split()[:3] == ["one", "awaiting_approval", "1"]
    assert "Bash: rm x" in lines[1]
    assert lines[2].split() == ["two", "busy", "Bash:", "make", "40s", "2h", "0.50", "213M", "100%", "3"]
    assert "died" in lines[3]


def test_what_claude_says_cannot_leave_its_cell() -> None:
    """Control characters and line ends of what is shown stay what they are: nothing."""
    lines = shown([sight("one", "busy", load={"doing": "a\x1b[2J\nb\tc"}, in_turn=True)], None)

    assert len(lines) == 2
    assert "\x1b" not in lines[1]
    assert "[2J b c" in lines[1]


def test_a_session_that_does_not_answer_is_shown_as_it_was_listed() -> None:
    """What only the session itself knows stays empty; that it waits for somebody is known all the same."""
    silent = Sight(row=sight("one", "awaiting_approval").row)
    record = json.loads(json.dumps(board.document([silent], NOW), default=console._plain))["sessions"][0]

    assert shown([silent], None)[1].split() == ["one", "awaiting_approval", "1", "2h", "0.50", "3"]
    assert (record["questions"], record["generation"], record["pid"]) == (1, 3, None)


def test_the_summary_counts() -> None:
    """How many by status, those that need a person first, and what all of them cost."""
    sights = [sight("a", "ready"), sight("b", "awaiting_approval"), sight("c", "ready")]

    assert board.summary(sights) == "3 sessions · 1 awaiting_approval · 2 ready · 1.50 USD"
