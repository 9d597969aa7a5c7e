"""A worker's look at itself: work that goes through Temporal and back, its polls as the server sees them, a process.

A worker can live and do nothing: its slots are taken, its polls ended, its children cannot be started. None of that
shows from inside the process, so it is tried.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, Final, TypeVar

from temporalio import activity
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, DescribeTaskQueueRequest
from temporalio.client import ActivityFailureError, ActivityHandle, Client
from temporalio.common import RetryPolicy
from temporalio.service import RPCError, RPCStatusCode

from activities.health import Health, Verdict
from activities.host import Host
from activities.leftovers import Leftovers
from shim.ask import Unanswered, ask, trial_argv
from shim.program import immutable_copy

# Often enough to be of use to whoever is woken by it, seldom enough to cost nothing.
CHECK_SECONDS: Final = 60.0
# After a failure: who waits for a worker to be well again waits for this.
AGAIN_SECONDS: Final = 10.0
# What is free is taken up within milliseconds.
ROUND_TRIP: Final = timedelta(seconds=10)
# A poll that finds nothing ends after a minute and is followed by the next; a second one may be missed.
POLL_SECONDS: Final = 150.0
# A worker that ends waits for it, and so does whoever stops the worker.
_SETTLE_SECONDS: Final = 5.0
_PROCESS_SECONDS: Final = 10.0
_RPC: Final = timedelta(seconds=3)
_WORKFLOW, _ACTIVITY = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY

_T = TypeVar("_T")

Probe = Callable[[], Awaitable[Verdict]]


class SelfCheck:
    """Tries one worker, known by its identity, and tells its Health."""

    def __init__(self, client: Client, host: Host, shared_queue: str, identity: str, health: Health) -> None:
        self._client = client
        self._host = host
        self._identity = identity
        self._health = health
        self._polls = [(shared_queue, _WORKFLOW), *((queue, _ACTIVITY) for queue in (shared_queue, *self._own))]
        self._seen: dict[tuple[str, int], tuple[int, float]] = {}
        self._probes: dict[str, Probe] = {
            "polls": self.polls,
            "control-round-trip": lambda: self.round_trip(self._host.queue),
            "watch-round-trip": lambda: self.round_trip(self._host.watch_queue),
            "read-round-trip": lambda: self.round_trip(self._host.read_queue),
            "processes": self.processes,
        }
        health.expected = tuple(self._probes)

    @property
    def _own(self) -> tuple[str, ...]:
        return self._host.queue, self._host.watch_queue, self._host.read_queue

    @activity.defn(name="self_check")
    async def echo(self) -> str:
        """Name the worker that took this up."""
        return self._identity

    async def keep(self) -> None:
        """Check for ever."""
        while True:
            # A group, when cancelled, waits for what each of them has to remove; gather returns with the first.
            async with asyncio.TaskGroup() as group:
                told = [group.create_task(self._tell(name, probe)) for name, probe in self._probes.items()]
            await asyncio.sleep(CHECK_SECONDS if all(one.result() for one in told) else AGAIN_SECONDS)

    async def _tell(self, name: str, probe: Probe) -> bool:
        try:
            verdict = await probe()
        except RPCError as error:
            if error.status == RPCStatusCode.UNIMPLEMENTED:
                self._health.say(name, Verdict(ok=True, text=f"not tried: the server cannot ({error.message})"))
                return True
            # The lease says that Temporal does not answer; what was known of the rest stays known for a while.
            return False
        except Exception as error:  # noqa: BLE001  a look at the worker must never end it
            verdict = Verdict(ok=False, text=f"could not be checked: {type(error).__name__}: {error}")
        self._health.say(name, verdict)
        return verdict.ok

    async def round_trip(self, queue: str) -> Verdict:
        """Give work to a queue of this host and see it done."""
        if not await self._can_be_given_work():
            return Verdict(ok=True, text="not tried: the server has no standalone activities")
        name, began = f"self-check.{self._identity}.{secrets.token_hex(4)}", time.monotonic()
        is_over = False
        try:
            by = await (await _whole(self._give(name, queue))).result()
            is_over, seconds = True, time.monotonic() - began
        except ActivityFailureError as error:
            is_over = True
            text = f"work given to {queue} was not done within {ROUND_TRIP.total_seconds():g} s: {error.cause}"
            return Verdict(ok=False, text=f"{text}; are all its slots taken?")
        finally:
            # Once a minute for weeks would fill the lists of the Web UI.
            leftovers = Leftovers(self._client)
            leftovers.add(name, is_over=is_over)
            await _whole(leftovers.settle(_SETTLE_SECONDS))
        whose = "this worker" if by == self._identity else f"another worker of this host ({by})"
        return Verdict(ok=True, text=f"{whose} did work given to {queue} in {seconds:.2f} s")

    async def _give(self, name: str, queue: str) -> ActivityHandle[str]:
        return await self._client.start_activity(
            self.echo,
            id=name,
            task_queue=queue,
            schedule_to_close_timeout=ROUND_TRIP,
            retry_policy=RetryPolicy(maximum_attempts=1),
            rpc_timeout=_RPC,
        )

    async def polls(self) -> Verdict:
        """Whether the server has lately heard each of our Workers ask for work.

        Only that the time moves on is looked at: the server's clock need not be ours.
        """
        silent = [queue for queue, kind in self._polls if not await self._asks(queue, kind)]
        if silent:
            return Verdict(ok=False, text=f"nobody here asks for work on {', '.join(dict.fromkeys(silent))}")
        return Verdict(ok=True, text="all Workers ask for work")

    async def processes(self) -> Verdict:
        """Start a shim's interpreter with a shim's program, and have it fork."""
        try:
            program = await asyncio.to_thread(immutable_copy, self._host.directory.state)
            answer = await ask(trial_argv(program.parent, "fork"), {}, _PROCESS_SECONDS)
        except (OSError, Unanswered) as error:
            return Verdict(ok=False, text=f"no process can be started: {error}")
        if answer.code != 0:
            return Verdict(ok=False, text=f"a process that was started failed: {answer.first_line}")
        return Verdict(ok=True, text="processes can be started")

    async def _asks(self, queue: str, kind: TaskQueueType.ValueType) -> bool:
        answer = await self._client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=self._client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
            ),
            timeout=_RPC,
        )
        times = [p.last_access_time.ToNanoseconds() for p in answer.pollers if p.identity == self._identity]
        latest, now = max(times, default=0), time.monotonic()
        before, since = self._seen.get((queue, kind), (0, now))
        if latest > before:
            since = now
        self._seen[queue, kind] = (latest, since)
        return latest > 0 and now - since < POLL_SECONDS

    async def _can_be_given_work(self) -> bool:
        described = await self._client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=self._client.namespace), timeout=_RPC
        )
        return described.namespace_info.capabilities.standalone_activities


async def _whole(work: Coroutine[Any, Any, _T]) -> _T:
    """Do it to its end, also when cancelled meanwhile: a request half sent may or may not be carried out."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    finally:
        await asyncio.wait([task])
