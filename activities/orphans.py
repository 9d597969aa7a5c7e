"""Processes whose session is over although nobody stopped them: a terminated workflow asks its host for nothing."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.host import Host
from claude.process import ClaudeProcess, NotRunning
from shim.client import read_fence

# Nobody waits for it; one describe per living session in this time is nothing to the server.
LOOK_SECONDS: Final = 20.0

log = structlog.get_logger(__name__)


class OrphanWatch:
    """Stops the processes of sessions that Temporal says are closed, and only of those.

    A session that Temporal does not know at all is left alone: the worker may talk to the wrong server.
    """

    def __init__(self, client: Client, host: Host) -> None:
        self._client = client
        self._host = host

    async def watch(self) -> None:
        """Look for ever; a server out of reach is asked again later."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> list[str]:
        """Stop what is orphaned now; returns the sessions."""
        directory = self._host.directory
        living = [name for name in directory.sessions() if directory.session(name).socket.exists()]
        orphans = [name for name in living if await self._is_closed(name)]
        for session_id in orphans:
            await self._stop(session_id)
        return orphans

    async def _is_closed(self, session_id: str) -> bool:
        try:
            description = await self._client.get_workflow_handle(f"session-{session_id}").describe()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                log.warning("a process of a session that Temporal does not know is left alone", session=session_id)
            return False
        return description.status not in (WorkflowExecutionStatus.RUNNING, None)

    async def _stop(self, session_id: str) -> None:
        process = ClaudeProcess(
            session_id,
            "/",
            host=self._host.directory,
            environment={},
            generation=read_fence(self._host.directory.session(session_id)),
            lease_ttl_seconds=self._host.lease_ttl_seconds,
        )
        try:
            await process.stop()
        except NotRunning:
            return
        log.warning("stopped a process whose session was closed without it", session=session_id)
