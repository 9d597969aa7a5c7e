"""Standalone activities that nobody waits for any more, removed from Temporal, which would list each for days."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import timedelta
from itertools import islice
from typing import Final

from temporalio.api.workflowservice.v1 import DeleteActivityExecutionRequest, TerminateActivityExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

# An end is listed some 3 ms after it, and seldom later than 50.
LOOK_SECONDS: Final = 0.02
# Somebody who follows a busy claude leaves a dozen in this time, which cost one look together.
BUNDLE_SECONDS: Final = 1.0
BUNDLE: Final = 50
# What is not listed by then has never begun, or the server is away; retention removes the rest.
GIVE_UP_SECONDS: Final = 30.0
_RPC: Final = timedelta(seconds=3)


class Leftovers:
    """Ends what still runs, and deletes what Temporal lists as ended.

    A deletion that overtakes the listing of the end leaves an entry that nothing removes any more, retention neither:
    40 stalls of the server left three (server 1.32).
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._given_up_at: dict[str, float] = {}
        self._running: set[str] = set()
        self._sweeping: asyncio.Task[None] | None = None

    def add(self, activity_id: str, *, is_over: bool) -> None:
        """Have it gone within a second or two; the rest is done in a task of our own."""
        self._given_up_at[activity_id] = time.monotonic() + GIVE_UP_SECONDS
        if not is_over:
            self._running.add(activity_id)
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.create_task(self._sweep())

    async def settle(self, seconds: float) -> None:
        """Have all of it gone at once, waiting no longer than this, and not at all for a server that does not answer."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        with contextlib.suppress(TimeoutError, RPCError):
            async with asyncio.timeout(seconds):
                while await self._is_some_left():
                    await asyncio.sleep(LOOK_SECONDS)

    async def _sweep(self) -> None:
        while self._given_up_at:
            await asyncio.sleep(BUNDLE_SECONDS)
            with contextlib.suppress(RPCError):
                await self._is_some_left()

    async def _is_some_left(self) -> bool:
        """Whether some are left after having removed what can be removed by now."""
        now = time.monotonic()
        self._given_up_at = {name: until for name, until in self._given_up_at.items() if now < until}
        while self._running:
            await self._end(self._running.pop())
        for name in await self._ended(list(islice(self._given_up_at, BUNDLE))):
            await self._delete(name)
            self._given_up_at.pop(name, None)
        return bool(self._given_up_at)

    async def _end(self, activity_id: str) -> None:
        """End it; whoever works on it learns that with its next heartbeat."""
        request = TerminateActivityExecutionRequest(namespace=self._client.namespace, activity_id=activity_id)
        # It may be over by now, or never have begun; without a server its own timeout ends it.
        with contextlib.suppress(RPCError):
            await self._client.workflow_service.terminate_activity_execution(request, timeout=_RPC)

    async def _ended(self, names: list[str]) -> list[str]:
        if not names:
            return []
        quoted = ", ".join(f"'{name}'" for name in names)
        query = f"ActivityId IN ({quoted}) AND ExecutionStatus != 'Running'"
        return [found.activity_id async for found in self._client.list_activities(query, rpc_timeout=_RPC)]

    async def _delete(self, activity_id: str) -> None:
        request = DeleteActivityExecutionRequest(namespace=self._client.namespace, activity_id=activity_id)
        try:
            await self._client.workflow_service.delete_activity_execution(request, timeout=_RPC)
        except RPCError as error:
            # The answer to an earlier deletion was lost.
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
