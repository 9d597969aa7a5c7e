"""How far this machine's clock is from the server's."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from datetime import timedelta
from typing import Final

from temporalio.api.enums.v1 import TaskQueueKind, TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, PollWorkflowTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from doctor.finding import Finding, green, red, yellow
from workflows.messages import SHARED_QUEUE

# Times in lists and reports begin to mislead.
_YELLOW_SECONDS: Final = 5.0
# Certificates and tokens begin to be refused.
_RED_SECONDS: Final = 60.0
# The server refuses to let a poll wait for less than two seconds; ours is given up as soon as it was seen.
_POLL: Final = timedelta(seconds=4)
_RPC: Final = timedelta(seconds=3)
_LOOKS: Final = 40
_PAUSE_SECONDS: Final = 0.05


async def measured(client: Client) -> Finding:
    """Compare with the time at which the server saw us ask for work, on a queue of our own that no work comes to.

    That leaves less than anything else that a server stamps: no execution, no history, and in minutes nothing at all.
    """
    name = f"doctor-{uuid.uuid4().hex}"
    queue = TaskQueue(name=name, kind=TaskQueueKind.TASK_QUEUE_KIND_STICKY, normal_name=SHARED_QUEUE)
    request = PollWorkflowTaskQueueRequest(namespace=client.namespace, task_queue=queue, identity=name)
    before = time.time()
    polling = asyncio.create_task(client.workflow_service.poll_workflow_task_queue(request, timeout=_POLL))
    try:
        seen = await _seen(client, queue)
    finally:
        polling.cancel()
        with contextlib.suppress(asyncio.CancelledError, RPCError):
            await polling
    after = time.time()
    if seen is None:
        return yellow("clock", "the server's clock could not be read", "compare `date` here and there")
    return judged(max(seen - after, before - seen, 0.0), ahead=before > seen)


def judged(seconds: float, *, ahead: bool) -> Finding:
    """What the distance between the two clocks means."""
    if seconds <= _YELLOW_SECONDS:
        return green("clock", f"within {max(seconds, 0.1):.1f} s of the server's")
    text = f"this machine is {seconds:.0f} s {'ahead of' if ahead else 'behind'} the server"
    remedy = "set both by NTP (`timedatectl set-ntp true`)"
    return red("clock", text, remedy) if seconds > _RED_SECONDS else yellow("clock", text, remedy)


async def _seen(client: Client, queue: TaskQueue) -> float | None:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=queue, task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
    )
    for _ in range(_LOOKS):
        answer = await client.workflow_service.describe_task_queue(request, timeout=_RPC)
        for poller in answer.pollers:
            return poller.last_access_time.ToNanoseconds() / 1e9
        await asyncio.sleep(_PAUSE_SECONDS)
    return None
