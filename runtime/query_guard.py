"""Keeps workflows out of memory that the SDK has led astray while it answered a query.

Whoever loads a workflow for a query may get a history that ends in the middle of a step. The SDK (1.35) takes that step
while it answers; an update that arrives next is written behind what the step did, and whoever replays the history later
expects it in front. Loaded anew for the update, the step is taken in the order in which it is replayed.
"""

from __future__ import annotations

from typing import Any, Final

from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowInstance, WorkflowInstanceDetails

# How core names a query that comes as a task of its own, and not along with a step.
_ON_ITS_OWN: Final = "legacy_query"


class QueryGuard(UnsandboxedWorkflowRunner):
    """Runs workflows, and has one forgotten that was perhaps loaded for its first query; `worker` is whose memory it is."""

    worker: Worker | None = None

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """An instance that is watched until its first query."""
        instance = super().create_instance(det)
        activate = instance.activate
        state = _Watched()

        def watched(act: WorkflowActivation) -> Any:
            if state.is_suspect(act):
                self._forget(act.run_id)
            return activate(act)

        instance.activate = watched  # type: ignore[method-assign]
        return instance

    def _forget(self, run_id: str) -> None:
        """Have it removed from memory once it has answered; its next task replays it."""
        if self.worker is not None and self.worker._bridge_worker is not None:  # noqa: SLF001  there is no other way in
            self.worker._bridge_worker.request_workflow_eviction(run_id)  # noqa: SLF001


class _Watched:
    """What is known of one instance."""

    def __init__(self) -> None:
        self._was_loaded: bool | None = None
        self._has_moved = False
        self._was_queried = False

    def is_suspect(self, act: WorkflowActivation) -> bool:
        """Whether this is its first query, and it has moved on from history: by steps of its own, or for this query.

        Who began here, and not with a history, was made for a step: no query leads it astray.
        """
        if self._was_loaded is None:
            self._was_loaded = act.is_replaying
        is_query = any(job.query_workflow.query_id == _ON_ITS_OWN for job in act.jobs if job.HasField("query_workflow"))
        is_suspect = is_query and self._was_loaded and self._has_moved and not self._was_queried
        self._was_queried = self._was_queried or is_query
        # An activation without replay: a step, or the part of one that came with a query.
        self._has_moved = self._has_moved or not act.is_replaying
        return is_suspect
