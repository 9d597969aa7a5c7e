"""How sessions and turns look to a person."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.table import Table

from handlers import choices, console
from workflows.approvals import ASKING_TOOL, Approval
from workflows.messages import SessionReport, TurnReport
from workflows.questions import asked
from workflows.rows import SessionRow

_COLOURS: Final = {
    "ready": "green",
    "busy": "cyan",
    "awaiting_approval": "bold yellow",
    "hibernated": "dim",
    "host_lost": "red",
    "failed": "red",
    "terminated": "red",
}
# The session's words for what a tool would do, by the name that most tools give it.
_TELLING: Final = ("command", "file_path", "path", "url", "query", "pattern")
# A line that is longer is not read.
_LINE: Final = 200
_HEADINGS: Final = ("SESSION", "STATUS", "TURNS", "USD", "AGE", "PROJECT", "NOTE")


def colour(status: str) -> str:
    """How a session of this status is painted."""
    return _COLOURS.get(status, "")


def show_sessions(rows: Sequence[SessionRow]) -> None:
    """The list of sessions: a table on a terminal, columns with tabs between them in a pipe."""
    if not console.out.is_terminal:
        for row in rows:
            console.result("\t".join(_cells(row)))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    headings = _HEADINGS if any(_note(row) for row in rows) else _HEADINGS[:-1]
    for heading in headings:
        table.add_column(heading, overflow="fold", justify="right" if heading in ("TURNS", "USD", "AGE") else "left")
    for row in rows:
        table.add_row(*_cells(row)[: len(headings)], style=colour(row.status))
    console.out.print(table, soft_wrap=False)


def _cells(row: SessionRow) -> list[str]:
    cells = (
        row.session_id,
        row.status,
        str(row.turns),
        f"{row.cost_usd:.4f}",
        age(row.opened_at),
        row.project_path,
        _note(row),
    )
    return [console.printable(cell).replace("\t", " ").replace("\n", " ") for cell in cells]


def _note(row: SessionRow) -> str:
    if row.status == "awaiting_approval" and not row.note:
        return f"waits for an answer: durable-claude status {row.session_id}"
    return row.note


def age(since: datetime) -> str:
    """How long ago, in the one unit that matters."""
    seconds = max(0.0, (datetime.now(UTC) - since).total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def show_session(report: SessionReport, doing: Mapping[str, Any]) -> None:
    """One session, a line for each thing worth knowing."""
    lines = [
        ("session", report.session_id),
        ("status", report.status),
        ("note", report.note),
        *(("warning", warning) for warning in report.warnings),
        ("project", report.project_path),
        ("host", report.host_id),
        ("uuid", report.conversation_id),
        ("process", _process_line(report)),
        ("turn", _turn_line(report, doing)),
        ("queued", str(report.queued) if report.queued else ""),
        ("turns done", f"{report.turns_done}, {report.cost_usd:.4f} USD"),
        ("left over", ", ".join(f"pid {pid}" for pid in report.survivors)),
    ]
    for name, value in lines:
        if value:
            _line(name, value)
    for approval in report.approvals:
        _show_question(report.session_id, approval)


def _show_question(session_id: str, approval: Approval) -> None:
    left = max(0.0, approval.deadline - time.time())
    _line("question", f"{approval.approval_id}: {need(approval)}")
    for line in details(approval):
        _line("", line)
    for line in how_to_answer(session_id, approval):
        _line("", line)
    _line("", f"without an answer it is denied in {left / 60:.0f} min")


def details(approval: Approval) -> list[str]:
    """All that history has of what claude wants, a line for each part."""
    if questions := asked(approval):
        return [question.line() for question in questions]
    values = (
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in approval.input.items()
    )
    return [f"{name}: {value}" for name, value in values]


def _line(name: str, value: str) -> None:
    label = f"{name + ':':<12}" if name else " " * 12
    console.result(label + value.replace("\n", "\n" + " " * 12))


def asked_for(approval: Approval) -> str:
    """What claude wants leave for, in one line."""
    if questions := asked(approval):
        return "; ".join(question.line() for question in questions)
    told = next((approval.input[name] for name in _TELLING if isinstance(approval.input.get(name), str)), None)
    text = json.dumps(approval.input, ensure_ascii=False) if told is None else told
    line = f"{approval.tool}: {' '.join(text.split())}"
    return line if len(line) <= _LINE else line[: _LINE - 1] + "…"


def need(approval: Approval) -> str:
    """What claude wants of a person."""
    if approval.tool == ASKING_TOOL:
        return "claude asks you"
    # Often the reason is what the tool's input says anyway.
    reason = "" if approval.reason in approval.input.values() else approval.reason
    return f"may claude use {approval.tool}? {reason}".rstrip()


def how_to_answer(session_id: str, approval: Approval) -> list[str]:
    """The commands, ready to be copied, and what may be added to them."""
    named = f"{session_id} {approval.approval_id}"
    denial = f"durable-claude deny {named}"
    if approval.tool == ASKING_TOOL:
        return [choices.command(session_id, approval), denial]
    lasting = ", --always for good" if approval.can_be_remembered else ""
    more = f"(approve --turn for all of this turn{lasting}; deny --message tells claude why)"
    return [f"durable-claude approve {named}", denial, more]


def _process_line(report: SessionReport) -> str:
    if report.status == "hibernated":
        return "asleep: the next message wakes it"
    if not report.pid:
        return "none yet"
    if report.status in ("stopped", "failed"):
        return "none left"
    return f"pid {report.pid}" + (f", restarts: {report.restarts}" if report.restarts else "")


def _turn_line(report: SessionReport, doing: Mapping[str, Any]) -> str:
    if not report.turn_id:
        return ""
    return f"{report.turn_id}: {doing.get('doing') or 'thinks'}, for {doing.get('turn_seconds', 0):.0f} s"


def summary(report: TurnReport) -> str:
    """What a turn took."""
    ended = report.ended
    if ended is None:
        return ""
    tools = f"{ended.tool_calls} tool call{'' if ended.tool_calls == 1 else 's'}"
    tokens = f"{ended.input_tokens} tokens in, {ended.output_tokens} out"
    return f"{ended.duration_ms / 1000:.1f} s · {tools} · {tokens} · {ended.cost_usd:.4f} USD"
