"""What the Temporal Web UI shows of a session: its page in Markdown and its memo in lists."""

from __future__ import annotations

import json
from typing import Any, Final

from workflows.approvals import Approval
from workflows.messages import SessionReport

# Enough to recognise a command or a path; the whole input is in the answer to the status query.
_INPUT_SHOWN: Final = 500


def page(report: SessionReport) -> str:
    """The session at a glance, in Markdown: what waits for a person first."""
    rows = {
        "project": f"`{report.project_path}`",
        "host": report.host_id or "none yet",
        "process": _process(report),
        "turn": report.turn_id or "none",
        "queued": str(report.queued),
        "turns done": f"{report.turns_done}, {report.cost_usd:.4f} USD",
        "restarts": str(report.restarts),
    }
    lines = [f"### {report.session_id}: {report.status}", ""]
    for text in (report.note, *report.warnings):
        lines += [f"> {text}", ""] if text else []
    for approval in report.approvals:
        lines += _question(report.session_id, approval)
    return "\n".join([*lines, "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def memo(report: SessionReport) -> dict[str, Any]:
    """What lists show without asking a worker."""
    return {
        "project": report.project_path,
        "status": report.status,
        "host": report.host_id,
        "turns": report.turns_done,
        "cost_usd": round(report.cost_usd, 6),
        "note": report.note,
    }


def _process(report: SessionReport) -> str:
    if report.status == "hibernated":
        return "asleep: the next message wakes it"
    return f"pid {report.pid}, generation {report.generation}" if report.pid else "none yet"


def _question(session_id: str, approval: Approval) -> list[str]:
    """A question and where to answer it. JSON on an indented line is code, whatever claude writes into it."""
    name = approval.approval_id
    asks = f"**Question {name}: {approval.tool}** {' '.join(approval.reason.split())}".rstrip()
    shown = json.dumps(approval.input, ensure_ascii=False)[:_INPUT_SHOWN]
    update = json.dumps({"approval_id": name, "decision": "allow"})
    how = (
        f"`durable-claude status {session_id}` shows the commands that answer it; "
        f"here it is the update `resolve_permission` with `{update}` (or `deny`)."
    )
    return [asks, "", f"    {shown}", "", how, ""]
