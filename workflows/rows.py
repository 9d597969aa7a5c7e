"""Lists of sessions: what Temporal stores beside a workflow, refreshed by what the session says of itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from temporalio.client import WorkflowExecution, WorkflowExecutionStatus
from temporalio.exceptions import TemporalError

from workflows.messages import SessionReport


@dataclass(frozen=True, kw_only=True)
class SessionRow:
    """One line of the list of sessions."""

    session_id: str
    project_path: str
    status: str
    host_id: str
    turns: int
    cost_usd: float
    note: str
    opened_at: datetime

    @property
    def has_ended(self) -> bool:
        """No process is left and none will be started."""
        return self.status in ("stopped", "failed", "terminated")


def refreshed(row: SessionRow, asked: asyncio.Task[SessionReport] | None) -> SessionRow:
    """The row as the session itself tells it, if it answered."""
    if asked is None or asked.cancelled() or asked.exception() is not None:
        return row
    report = asked.result()
    return replace(
        row,
        status=report.status,
        host_id=report.host_id,
        turns=report.turns_done,
        cost_usd=report.cost_usd,
        note=report.note,
    )


async def row(execution: WorkflowExecution) -> SessionRow:
    """A line of the list from what Temporal stores beside the workflow."""
    try:
        memo_of: dict[str, Any] = dict(await execution.memo())
    except TemporalError as error:
        # Encrypted with a key that is not here; the other sessions are listed all the same.
        memo_of = {"status": "locked", "note": str(error)}
    # A terminated workflow could not write its last status.
    if execution.status == WorkflowExecutionStatus.TERMINATED:
        memo_of["status"] = "terminated"
    return SessionRow(
        session_id=execution.id.removeprefix("session-"),
        project_path=memo_of.get("project", ""),
        status=memo_of.get("status", ""),
        host_id=memo_of.get("host", ""),
        turns=memo_of.get("turns", 0),
        cost_usd=memo_of.get("cost_usd", 0.0),
        note=memo_of.get("note", ""),
        opened_at=execution.start_time,
    )
