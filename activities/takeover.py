"""Taking over from a worker that died: its attempts are handed to the living at once, not after a heartbeat timeout.

Every worker holds a lock named after its identity for as long as it lives. The kernel drops it when the worker
dies, however it dies, so a lock that can be had is proof; a heartbeat that is late would be only a guess.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog
from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import WorkflowExecution as Execution
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import ResetStickyTaskQueueRequest, RespondActivityTaskFailedByIdRequest
from temporalio.client import Client, WorkflowExecution
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError

from activities.host import Host

WORKER_LOST: Final = "WorkerLost"
SESSIONS_OF_A_HOST: Final = "WorkflowType = 'SessionWorkflow' AND ExecutionStatus = 'Running'"

log = structlog.get_logger(__name__)


@contextlib.contextmanager
def identity(host: Host) -> Iterator[str]:
    """A new identity for a worker of this host, proven alive inside the block."""
    directory = _directory(host)
    directory.mkdir(mode=0o700, exist_ok=True)
    name = f"{host.host_id}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    path, unheld = directory / name, directory / f".{name}"
    with unheld.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        # Seen by others only from here on: an identity that is not held yet would look like a dead one.
        unheld.rename(path)
        try:
            yield name
        finally:
            path.unlink(missing_ok=True)


async def take_over(client: Client, host: Host) -> int:
    """Fail the attempts of this host's dead workers, so that they are retried now; returns how many.

    Sessions that had their workflows in a dead worker's memory go on with the living.
    """
    dead = set(dead_workers(host))
    taken = 0
    if dead:
        async for session in client.list_workflows(SESSIONS_OF_A_HOST):
            # Whichever host it is on: any worker may have had its workflow in memory.
            await _forget_memory(client, session.id)
            if await _host_of(session) == host.host_id:
                taken += await _release(client, session.id, dead)
        for name in dead:
            (_directory(host) / name).unlink(missing_ok=True)
        log.info("took over from workers that died", workers=len(dead), attempts=taken)
    return taken


def dead_workers(host: Host) -> Iterator[str]:
    """Identities of this host whose lock nobody holds. They are never used again."""
    for path in _directory(host).glob("[!.]*"):
        with contextlib.suppress(OSError), path.open("r") as probe:
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path.name


def _directory(host: Host) -> Path:
    return host.directory.state / "workers"


async def _host_of(session: WorkflowExecution) -> str:
    try:
        return str((await session.memo()).get("host", ""))
    except TemporalError:
        # Encrypted with a key that is not here: no worker of this host can have had it.
        return ""


async def _forget_memory(client: Client, workflow_id: str) -> None:
    """Have the session's next step given to any worker at once, not to the dead one first.

    While it waits, another worker may answer a query from a history that ends in the middle of a step. The SDK (1.35)
    then takes that step in an order in which nobody can replay it, and the session is stuck from its next worker on.
    """
    execution = Execution(workflow_id=workflow_id)
    # It may have ended meanwhile.
    with contextlib.suppress(RPCError):
        await client.workflow_service.reset_sticky_task_queue(
            ResetStickyTaskQueueRequest(namespace=client.namespace, execution=execution)
        )


async def _release(client: Client, workflow_id: str, dead: set[str]) -> int:
    description = await client.get_workflow_handle(workflow_id).describe()
    left = [
        pending
        for pending in description.raw_description.pending_activities
        if pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED and pending.last_worker_identity in dead
    ]
    return sum([await _fail(client, workflow_id, pending) for pending in left])


async def _fail(client: Client, workflow_id: str, pending: PendingActivityInfo) -> bool:
    lost = ApplicationFailureInfo(type=WORKER_LOST, next_retry_delay=Duration(nanos=1_000_000))
    try:
        await client.workflow_service.respond_activity_task_failed_by_id(
            RespondActivityTaskFailedByIdRequest(
                namespace=client.namespace,
                workflow_id=workflow_id,
                activity_id=pending.activity_id,
                identity=pending.last_worker_identity,
                failure=Failure(message="the worker died", application_failure_info=lost),
            )
        )
    except RPCError as error:
        # Timed out or ended meanwhile: then there is nothing left to hand over.
        log.info("attempt needs no takeover", workflow_id=workflow_id, why=error.message)
        return False
    return True
