"""What the Temporal Web UI shows of a session: its page in Markdown and its memo in lists."""

from __future__ import annotations

from typing import Any

from workflows.messages import SessionReport


def page(report: SessionReport) -> str:
    """The session at a glance, in Markdown."""
    rows = {
        "project": f"`{report.project_path}`",
        "host": report.host_id or "none yet",
        "process": f"pid {report.pid}, generation {report.generation}" if report.pid else "none yet",
        "turn": report.turn_id or "none",
        "queued": str(report.queued),
        "turns done": f"{report.turns_done}, {report.cost_usd:.4f} USD",
        "restarts": str(report.restarts),
    }
    lines = [f"### {report.session_id}: {report.status}", ""]
    if report.note:
        lines += [f"> {report.note}", ""]
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
