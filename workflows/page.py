"""What the Temporal Web UI shows of a session: its pages in Markdown and its memo in lists."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, Final

from workflows.approvals import ASKING_TOOL, Approval
from workflows.messages import OpenSession, SessionReport, Status
from workflows.questions import asked

# Enough to recognise a command or a path; the whole input is in the answer to the status query.
_INPUT_SHOWN: Final = 500
# A path is recognised by less, and a summary is one line.
_SUMMARY_SHOWN: Final = 200

_SAYS: Final[dict[Status, str]] = {
    "starting": "claude is being started.",
    "ready": "claude is up and waits for a message.",
    "busy": "claude works. What it does at this moment: *Pending Activities*, `send_turn`, *Heartbeat Details*.",
    "awaiting_approval": "claude waits for an answer of yours.",
    "restarting": "claude has ended and is started again.",
    "hibernated": "claude sleeps. The next message wakes it.",
    "host_lost": "No worker of the session's host answers; whether claude works on is not known.",
    "stopping": "The processes of the session are being ended.",
    "stopped": "The session was stopped. It takes no more messages.",
    "failed": "The session has failed. Opened again under its name, it resumes the conversation.",
}


def summary(opened: OpenSession) -> str:
    """The session in one line, which never changes."""
    return f"claude in {_code(opened.project_path[-_SUMMARY_SHOWN:])}"


def introduction(opened: OpenSession) -> str:
    """What the session is and how to drive it, which never changes."""
    name = opened.session_id
    return "\n".join(
        [
            f"A Claude Code session in {_code(opened.project_path)}. How it is: *Current Details*, beside this.",
            "",
            "**From here**: *More Actions*, then one of these. The input is JSON.",
            "",
            "- *Send a Signal* `stop`, without input: stops the session for good.",
            "- *Send an Update* `interrupt`, without input: ends the running turn, the session lives on.",
            "- *Send an Update* `resolve_permission`: answers a question; *Current Details* has the input to copy.",
            "",
            "*Send an Update* `send` gives claude a message; each turn needs a name of its own:",
            "",
            '    {"turn_id": "my-turn-1", "text": "Run the tests."}',
            "",
            "**In a terminal**:",
            "",
            f"    durable-claude status {name}",
            f"    durable-claude send {name} 'Run the tests.'",
            f"    durable-claude approve {name}",
            f"    durable-claude interrupt {name}",
            f"    durable-claude stop {name}",
        ]
    )


def page(report: SessionReport) -> str:
    """The session at a glance, in Markdown: what waits for a person first."""
    lines = [f"### {report.session_id}: {report.status}", "", _SAYS[report.status], ""]
    for text in (report.note, *report.warnings):
        lines += [f"> {_plain(text)}", ""] if text else []
    for approval in report.approvals:
        lines += _question(report.session_id, approval)
    return "\n".join([*lines, *(f"- **{name}** {value}" for name, value in _facts(report).items() if value)])


def memo(report: SessionReport) -> dict[str, Any]:
    """What lists show without asking a worker."""
    return {
        "project": report.project_path,
        "status": report.status,
        "host": report.host_id,
        "turns": report.turns_done,
        "cost_usd": round(report.cost_usd, 6),
        "generation": report.generation,
        "restarts": report.restarts,
        "note": report.note,
    }


def _facts(report: SessionReport) -> dict[str, str]:
    turns = f"{report.turns_done} turn{'' if report.turns_done == 1 else 's'}"
    return {
        "project": _code(report.project_path),
        "host": report.host_id or "none yet",
        "process": _process(report),
        "turn": f"number {report.turns_done + 1}, {_code(report.turn_id)}" if report.turn_id else "none",
        "queued": str(report.queued) if report.queued else "",
        "done": f"{turns}, {report.cost_usd:.4f} USD",
        "last error": _plain(report.last_error),
        "left over": ", ".join(f"pid {pid}" for pid in report.survivors),
    }


def _process(report: SessionReport) -> str:
    restarts = f", started again {report.restarts}×" if report.restarts else ""
    if report.status == "hibernated":
        return f"asleep, generation {report.generation}{restarts}"
    if report.status in ("stopped", "failed") and not report.survivors:
        return f"none left, generation {report.generation}{restarts}"
    return f"pid {report.pid}, generation {report.generation}{restarts}" if report.pid else "none yet"


def _question(session_id: str, approval: Approval) -> list[str]:
    """A question and where to answer it. JSON on an indented line is code, whatever claude writes into it."""
    name, is_own = approval.approval_id, approval.tool == ASKING_TOOL
    asks = f"**Question {name}: {_plain(approval.tool)}** {_plain(approval.reason)}".rstrip()
    others = "" if is_own else " Other decisions: `deny`, `allow_turn` for all of this turn"
    others += ", `allow_always` for good" if others and approval.can_be_remembered else ""
    command = f"durable-claude {'status' if is_own else 'approve'} {session_id}{'' if is_own else f' {name}'}"
    until = datetime.fromtimestamp(approval.deadline, UTC)
    return [
        *(asks, "", f"    {json.dumps(approval.input, ensure_ascii=False)[:_INPUT_SHOWN]}", ""),
        "*More Actions*, *Send an Update*, `resolve_permission`, with this input:",
        *("", f"    {json.dumps(_answer(approval), ensure_ascii=False)}", ""),
        f"Or in a terminal: `{command}`.{others and others + '.'} Without an answer it is denied at {until:%H:%M} UTC.",
        "",
    ]


def _answer(approval: Approval) -> dict[str, Any]:
    """An answer to be copied: leave, or the first of the choices that claude offers."""
    answer: dict[str, Any] = {"approval_id": approval.approval_id, "decision": "allow"}
    choices = {one.text: one.labels[0] if one.labels else "ANSWER" for one in asked(approval)}
    return {**answer, "answers": choices} if choices else answer


def _code(text: str) -> str:
    """Code within a line; nothing in it is Markdown."""
    return f"`{' '.join(text.replace('`', chr(39)).split())}`"


def _plain(text: str) -> str:
    """One line that is no Markdown, whoever wrote it: claude's last words may be a link or an image."""
    return re.sub(r"([\\`*_\[\]<>!|~#&])", r"\\\1", " ".join(text.split()))
