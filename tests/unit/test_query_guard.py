"""Which instance of a workflow was perhaps loaded for its first query, and led astray by it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from temporalio.bridge.proto.workflow_activation import (
    DoUpdate,
    QueryWorkflow,
    ResolveActivity,
    WorkflowActivation,
    WorkflowActivationJob,
)
from temporalio.worker import Worker

from runtime.query_guard import QueryGuard, _Watched

REPLAYED = WorkflowActivation(is_replaying=True, jobs=[WorkflowActivationJob(resolve_activity=ResolveActivity(seq=1))])
STEP = WorkflowActivation(is_replaying=False, jobs=[WorkflowActivationJob(resolve_activity=ResolveActivity(seq=1))])
UPDATE = WorkflowActivation(is_replaying=False, jobs=[WorkflowActivationJob(do_update=DoUpdate(id="u"))])


def query(query_id: str = "legacy_query") -> WorkflowActivation:
    # Core calls every activation with a query a replay.
    job = WorkflowActivationJob(query_workflow=QueryWorkflow(query_id=query_id, query_type="status"))
    return WorkflowActivation(is_replaying=True, jobs=[job])


@pytest.mark.parametrize(
    ("activations", "suspected"),
    [
        ([REPLAYED, STEP, query()], [False, False, True]),
        ([REPLAYED, query(), STEP, query()], [False] * 4),
        ([REPLAYED, STEP, query(), UPDATE, query()], [False, False, True, False, False]),
        ([REPLAYED, STEP, query("1"), UPDATE], [False] * 4),
        ([STEP, UPDATE, query(), UPDATE, query()], [False] * 5),
    ],
    ids=[
        "a step behind the history",
        "nothing behind it",
        "only the first query",
        "a query along with a step",
        "begun here",
    ],
)
def test_the_first_query_of_an_instance_that_moved(
    activations: list[WorkflowActivation], suspected: list[bool]
) -> None:
    """It may have moved because of the query; what was queried before it moved has moved by steps."""
    watched = _Watched()

    assert [watched.is_suspect(act) for act in activations] == suspected


def test_who_has_no_worker_forgets_nothing() -> None:
    """A replayer has no memory to remove anything from; a worker is asked to."""
    guard, forgotten = QueryGuard(), list[str]()
    guard._forget("replayed")
    guard.worker = cast(
        Worker, SimpleNamespace(_bridge_worker=SimpleNamespace(request_workflow_eviction=forgotten.append))
    )
    guard._forget("run")

    assert forgotten == ["run"]
