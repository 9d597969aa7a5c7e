"""What hosts see of the sessions they run: one question to each host in place of one for each of its sessions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import Final

from temporalio.client import ActivityFailureError, Client

from activities.calls import HostView
from workflows.errors import CALL_ERRORS
from workflows.standalone import Standalone

# A host that did not answer has no worker, or an older one, or a server that cannot ask it: its sessions are looked at
# one by one for so long, which any server and worker can.
SILENT_SECONDS: Final = 10.0
# A worker that is up answers in some 30 ms; whoever looks once should not wait long for one that is not.
ANSWER_SECONDS: Final = 1.0


class HostViews:
    """Asks hosts what they see, and remembers for a while which do not say."""

    def __init__(self, client: Client) -> None:
        self._standalone = Standalone(client)
        self._silent_until: dict[str, float] = {}

    async def views(self, host_ids: Collection[str]) -> dict[str, HostView]:
        """What each of the hosts answers that does so at once."""
        asked = [host for host in host_ids if host and time.monotonic() >= self._silent_until.get(host, 0.0)]
        answers = await asyncio.gather(*(self._view(host) for host in asked))
        return {host: view for host, view in zip(asked, answers, strict=True) if view is not None}

    async def close(self) -> None:
        """Leave nothing behind in Temporal."""
        await self._standalone.settle()

    async def _view(self, host_id: str) -> HostView | None:
        try:
            return await self._standalone.ask(
                host_id, "view_host", answer=HostView, taken_seconds=ANSWER_SECONDS, seconds=ANSWER_SECONDS
            )
        except (TimeoutError, ActivityFailureError, *CALL_ERRORS):
            self._silent_until[host_id] = time.monotonic() + SILENT_SECONDS
            return None
