"""Whether workers ask Temporal for work: those of any host for sessions, those of this host for its own."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Final

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from activities.queues import queue_of, read_queue_of, watch_queue_of
from doctor.finding import Finding, green, red, yellow
from runtime.settings import Settings
from workflows.messages import SHARED_QUEUE

_RPC: Final = timedelta(seconds=3)
# The server remembers a poller for five minutes; one that lives asks again each minute.
FRESH_SECONDS: Final = 90.0
_START: Final = "start one: `durable-claude up`, or `python worker.py`"


async def polled(client: Client, settings: Settings) -> Finding:
    """Who asks for work on the shared queue, and whether this host is among them."""
    shared = await pollers(client, SHARED_QUEUE, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW)
    host = known_host(settings.state_directory)
    own = {
        queue: await pollers(client, queue, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)
        for queue in ((queue_of(host), watch_queue_of(host), read_queue_of(host)) if host else ())
    }
    return judged(fresh(shared), {queue: fresh(found) for queue, found in own.items()})


async def pollers(client: Client, queue: str, kind: TaskQueueType.ValueType) -> dict[str, float]:
    """Who asked this queue for work within the last minutes, and how many seconds ago."""
    answer = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind),
        timeout=_RPC,
    )
    return {poller.identity: time.time() - poller.last_access_time.ToNanoseconds() / 1e9 for poller in answer.pollers}


def fresh(found: dict[str, float]) -> list[str]:
    """Those of them that still ask."""
    return [identity for identity, age in found.items() if age < FRESH_SECONDS]


def judged(shared: list[str], own: dict[str, list[str]]) -> Finding:
    """Whether somebody takes up sessions, and whether somebody here does."""
    if not shared:
        return red("workers", f"no worker asks for work on {SHARED_QUEUE}: no session starts or moves", _START)
    text = f"{len(shared)} on {SHARED_QUEUE}"
    if not own:
        return yellow("workers", f"{text}; none has ever run with this state directory", f"for sessions here {_START}")
    if silent := [queue for queue, found in own.items() if not found]:
        return yellow("workers", f"{text}, none on {' and '.join(silent)}", f"for sessions here {_START}")
    return green("workers", f"{text}, and on {' and '.join(own)}")


def known_host(state: Path) -> str:
    """The id that this host was given; empty when no worker has run here."""
    try:
        return (state / "host-id").read_text().strip()
    except OSError:
        return ""
