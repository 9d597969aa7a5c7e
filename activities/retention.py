"""What is left on the disk by sessions that ended long ago, and by releases that nobody runs from any more."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final

import structlog
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.host import Host
from shim.client import SessionDirectory, StillRunning, delete, end_heirs, last_change, prune_programs

# What is counted in days needs no more; each look asks Temporal only about sessions that are old on the disk.
LOOK_SECONDS: Final = 3600.0
DAY_SECONDS: Final = 86_400.0

log = structlog.get_logger(__name__)


class Retention:
    """Removes what is old and over, and nothing on doubt: what Temporal cannot be asked about stays."""

    def __init__(self, client: Client, host: Host, keep_days: float) -> None:
        """Keep ended sessions for this many days; 0 keeps them for ever."""
        self._client = client
        self._host = host
        self._keep_seconds = keep_days * DAY_SECONDS

    async def watch(self) -> None:
        """Look for ever; what could not be removed is tried again."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> list[str]:
        """Remove what is due now; returns the sessions."""
        await self._prune_programs()
        try:
            due = await self._due() if self._keep_seconds else []
        except RPCError as error:
            log.info("no old session is removed while Temporal cannot be asked", why=str(error))
            return []
        return [session_id for session_id in due if await self._delete(session_id)]

    async def _prune_programs(self) -> None:
        try:
            if pruned := await asyncio.to_thread(prune_programs, self._host.directory):
                log.info("removed programs of shims that nobody runs from", programs=pruned)
        except OSError as error:
            log.warning("old programs of shims cannot be removed", why=str(error))

    async def _due(self) -> list[str]:
        """What is old on the disk, and closed for long or forgotten by a Temporal that is the right one."""
        ages = await asyncio.to_thread(self._ages)
        old = {name: await self._find(name) for name, age in ages.items() if age > self._keep_seconds}
        closed = [name for name, session in old.items() if session is not None and self._closed_long_ago(session)]
        forgotten = [name for name, session in old.items() if session is None]
        if forgotten and not any(old.values()) and not await self._knows_any(set(ages) - set(old)):
            # Another server or namespace than the sessions ran on. Where sessions go on being made, one is known.
            log.warning("old sessions stay: Temporal knows none of this host's sessions", sessions=forgotten)
            return []
        return closed + forgotten

    def _ages(self) -> dict[str, float]:
        """How many seconds ago each session last changed on the disk."""
        ages = {}
        for name in self._host.directory.sessions():
            with contextlib.suppress(OSError):
                ages[name] = time.time() - last_change(self._host.directory.session(name))
        return ages

    async def _find(self, session_id: str) -> WorkflowExecutionDescription | None:
        """The session as Temporal knows it; None when it does not."""
        try:
            return await self._client.get_workflow_handle(f"session-{session_id}").describe()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return None
            raise

    async def _knows_any(self, names: set[str]) -> bool:
        for name in names:
            if await self._find(name):
                return True
        return False

    def _closed_long_ago(self, session: WorkflowExecutionDescription) -> bool:
        if session.status in (WorkflowExecutionStatus.RUNNING, None) or session.close_time is None:
            return False
        return time.time() - session.close_time.timestamp() > self._keep_seconds

    async def _delete(self, session_id: str) -> bool:
        try:
            await asyncio.to_thread(_end_and_delete, self._host.directory.session(session_id))
        except (OSError, StillRunning) as error:
            log.warning("an old session cannot be removed", session=session_id, why=str(error))
            return False
        log.info("removed what an old session had left", session=session_id)
        return True


def _end_and_delete(directory: SessionDirectory) -> None:
    """Whom a killed shim left behind is known by marks that are in the directory only, so they go first."""
    if survivors := end_heirs(directory):
        raise StillRunning(f"processes of it cannot be killed: {survivors}")
    delete(directory)
