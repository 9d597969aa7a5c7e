"""Lists of sessions: what Temporal stores beside a workflow, refreshed by what the session says of itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from temporalio.api.common.v1 import SearchAttributes
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.converter import decode_typed_search_attributes
from temporalio.exceptions import TemporalError

from workflows.attributes import COST_USD, HOST, STATUS, TURNS
from workflows.line import known
from workflows.messages import WORKFLOW_TYPE, SessionReport, workflow_id

# What Temporal's own commands ask for at once.
PAGE: Final = 1000
_SHOWN: Final[dict[str, SearchAttributeKey[Any]]] = {
    "status": STATUS,
    "host": HOST,
    "turns": TURNS,
    "cost_usd": COST_USD,
}


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
    generation: int = 0
    restarts: int = 0
    is_current: bool = False
    """Whether the list has what is so at this moment; sessions without search attributes tell it when asked."""

    @property
    def has_ended(self) -> bool:
        """No process is left and none will be started."""
        return self.status in ("stopped", "failed", "terminated")


def refreshed(row: SessionRow, report: SessionReport | None) -> SessionRow:
    """The row as the session itself tells it, if it answered."""
    if report is None:
        return row
    return replace(
        row,
        status=report.status,
        host_id=report.host_id,
        turns=report.turns_done,
        cost_usd=report.cost_usd,
        note=report.note,
        generation=report.generation,
        restarts=report.restarts,
    )


async def rows(
    client: Client, *, ended: bool = False, chosen: Collection[str] = (), beginning: str = ""
) -> AsyncIterator[SessionRow]:
    """The sessions that live, newest first; with `ended` all that Temporal still knows. Or only those whose ids are
    chosen, or begin so, whatever became of them.
    """
    query = f"WorkflowType = '{WORKFLOW_TYPE}'"
    # Ids of sessions hold no quotes.
    if chosen:
        query += f" AND WorkflowId IN ({', '.join(repr(workflow_id(known(name))) for name in chosen)})"
    elif beginning:
        query += f" AND WorkflowId STARTS_WITH '{workflow_id(known(beginning))}'"
    if not (ended or chosen):
        query += " AND ExecutionStatus = 'Running'"
    # A session has many runs, and many lives when it failed: the newest counts, and comes first.
    seen: set[str] = set()
    async for execution in _executions(client, query):
        if execution.execution.workflow_id not in seen:
            seen.add(execution.execution.workflow_id)
            found = await row(client, execution)
            # One that tells its last notices is over, though its workflow is not for some seconds.
            if ended or chosen or not found.has_ended:
                yield found


async def row(client: Client, execution: WorkflowExecutionInfo) -> SessionRow:
    """A line of the list from what Temporal stores beside the workflow."""
    fields = execution.memo.fields
    memo_of: dict[str, Any] = {}
    try:
        memo_of = dict(zip(fields, await client.data_converter.decode(list(fields.values())), strict=True))
    except (TemporalError, KeyError) as error:
        # Encrypted with a key that is not here, or for a client without our codec: the SDK then says a KeyError. The
        # other sessions are listed all the same.
        memo_of = {"status": "locked", "note": str(error.args[0])}
    listed = _listed(execution) if memo_of.get("status") != "locked" else {}
    # A terminated workflow could not write its last status.
    if execution.status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED:
        memo_of["status"] = listed["status"] = "terminated"
    told = {**memo_of, **listed}
    return SessionRow(
        session_id=execution.execution.workflow_id.removeprefix("session-"),
        project_path=told.get("project", ""),
        status=told.get("status", ""),
        host_id=told.get("host", ""),
        turns=told.get("turns", 0),
        cost_usd=told.get("cost_usd", 0.0),
        note=told.get("note", ""),
        opened_at=execution.start_time.ToDatetime(UTC),
        generation=told.get("generation", 0),
        restarts=told.get("restarts", 0),
        is_current=bool(listed),
    )


async def _executions(client: Client, query: str) -> AsyncIterator[WorkflowExecutionInfo]:
    """As they come. The SDK's own list decodes each search attribute twice, which takes longer than all else here."""
    request = ListWorkflowExecutionsRequest(namespace=client.namespace, query=query, page_size=PAGE)
    while True:
        page = await client.workflow_service.list_workflow_executions(request, retry=True)
        for execution in page.executions:
            yield execution
        request.next_page_token = page.next_page_token
        if not page.next_page_token:
            return


def _listed(execution: WorkflowExecutionInfo) -> dict[str, Any]:
    """What lists are filtered by is written with every change; a memo is not, since it would cost each turn two events."""
    fields = execution.search_attributes.indexed_fields
    ours = {key.name: fields[key.name] for key in _SHOWN.values() if key.name in fields}
    found = decode_typed_search_attributes(SearchAttributes(indexed_fields=ours))
    values = {name: found.get(key) for name, key in _SHOWN.items()}
    return {name: value for name, value in values.items() if value is not None}
