"""Work asked of a host directly: standalone activities, which no history remembers."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from datetime import timedelta
from typing import Any, Final, TypeVar

from temporalio.api.workflowservice.v1 import DeleteActivityExecutionRequest
from temporalio.client import ActivityFailureError, ActivityHandle, Client
from temporalio.common import RetryPolicy
from temporalio.service import RPCError

from activities.host import read_queue_of
from workflows.errors import CALL_ERRORS, is_called_off

T = TypeVar("T")

HEARTBEAT: Final = timedelta(seconds=5)
RETRY: Final = RetryPolicy(initial_interval=timedelta(milliseconds=100), maximum_interval=timedelta(seconds=2))
FORGET_SECONDS: Final = 2.0


class Standalone:
    """Asks the workers of hosts, and lets Temporal keep nothing of it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._forgetting: set[asyncio.Task[None]] = set()

    async def ask(
        self, host_id: str, name: str, *arguments: Any, answer: type[T], taken_seconds: float, seconds: float
    ) -> T:
        """What an activity of the host answers within `seconds`, once a worker has taken it within `taken_seconds`.

        Raises TimeoutError, ActivityFailureError, or what the call to Temporal raised.
        """
        handle: ActivityHandle[T] | None = None
        try:
            async with asyncio.timeout(seconds):
                handle = await self._client.start_activity(
                    name,
                    args=arguments,
                    id=f"{name}-{uuid.uuid4().hex}",
                    task_queue=read_queue_of(host_id),
                    result_type=answer,
                    schedule_to_start_timeout=timedelta(seconds=taken_seconds),
                    schedule_to_close_timeout=timedelta(seconds=seconds),
                    heartbeat_timeout=HEARTBEAT,
                    retry_policy=RETRY,
                )
                return await handle.result()
        except (TimeoutError, ActivityFailureError, *CALL_ERRORS) as error:
            if is_called_off():
                raise asyncio.CancelledError from error
            raise
        finally:
            if handle is not None:
                # What a tool printed stays on its host; and whoever went away is not waited for by the activity.
                forgetting = asyncio.create_task(self._forget(handle))
                self._forgetting.add(forgetting)
                forgetting.add_done_callback(self._forgetting.discard)

    async def settle(self) -> None:
        """Return when Temporal was told to forget all that was asked."""
        await asyncio.gather(*self._forgetting)

    async def _forget(self, handle: ActivityHandle[Any]) -> None:
        """Let Temporal keep nothing of the call; one that still runs is called off by it."""
        request = DeleteActivityExecutionRequest(
            namespace=self._client.namespace, activity_id=handle.id, run_id=handle.run_id or ""
        )
        with contextlib.suppress(RPCError):
            await self._client.workflow_service.delete_activity_execution(
                request, timeout=timedelta(seconds=FORGET_SECONDS)
            )
