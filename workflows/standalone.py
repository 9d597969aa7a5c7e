"""Work asked of a host directly: standalone activities, which no history remembers."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any, Final, TypeVar

from temporalio.client import ActivityFailureError, ActivityHandle, Client
from temporalio.common import RetryPolicy

from activities.leftovers import Leftovers
from activities.queues import read_queue_of
from workflows.errors import CALL_ERRORS, is_called_off

T = TypeVar("T")

HEARTBEAT: Final = timedelta(seconds=5)
RETRY: Final = RetryPolicy(initial_interval=timedelta(milliseconds=100), maximum_interval=timedelta(seconds=2))
# Whoever asked waits for it when leaving.
SETTLE_SECONDS: Final = 2.0


class Standalone:
    """Asks the workers of hosts, and lets Temporal keep nothing of it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._leftovers = Leftovers(client)

    async def ask(
        self, host_id: str, name: str, *arguments: Any, answer: type[T], taken_seconds: float, seconds: float
    ) -> T:
        """What an activity of the host answers within `seconds`, once a worker has taken it within `taken_seconds`.

        Raises TimeoutError, ActivityFailureError, or what the call to Temporal raised.
        """
        activity_id, is_over = f"{name}-{uuid.uuid4().hex}", False
        try:
            async with asyncio.timeout(seconds):
                handle: ActivityHandle[T] = await self._client.start_activity(
                    name,
                    args=arguments,
                    id=activity_id,
                    task_queue=read_queue_of(host_id),
                    result_type=answer,
                    schedule_to_start_timeout=timedelta(seconds=taken_seconds),
                    schedule_to_close_timeout=timedelta(seconds=seconds),
                    heartbeat_timeout=HEARTBEAT,
                    retry_policy=RETRY,
                )
                result = await handle.result()
            is_over = True
            return result
        except (TimeoutError, ActivityFailureError, *CALL_ERRORS) as error:
            is_over = isinstance(error, ActivityFailureError)
            if is_called_off():
                raise asyncio.CancelledError from error
            raise
        finally:
            # What a tool printed stays on its host; and whoever went away is not waited for by the activity.
            self._leftovers.add(activity_id, is_over=is_over)

    async def settle(self) -> None:
        """Return when Temporal has forgotten all that was asked."""
        await self._leftovers.settle(SETTLE_SECONDS)
