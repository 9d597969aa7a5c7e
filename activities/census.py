"""Figures that no single call knows: sessions by status, what their processes use together, journals, the lease."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from typing import Final

from temporalio.client import Client
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError

from activities.figures import Figures
from activities.host import Host
from activities.roster import Roster
from activities.takeover import SESSIONS_OF_A_HOST

# Fresher than any scrape, and nothing but memory is looked at.
LOOK_SECONDS: Final = 5.0
# One listing for the whole host, and a stat for each journal; sooner only when a process came or went.
COUNT_SECONDS: Final = 15.0
# Within a turn the list is not kept up to date: whether one is followed here says it better.
WITHIN_TURNS: Final = frozenset({"ready", "busy"})


class Census:
    """Looks at this host again and again, and sets the gauges."""

    def __init__(self, client: Client, host: Host, roster: Roster, figures: Figures) -> None:
        self._client = client
        self._host = host
        self._roster = roster
        self._figures = figures
        self._cpu_told = 0
        self._statuses: set[str] = set()

    async def keep(self) -> None:
        """Look for ever."""
        counted_at, with_processes = -COUNT_SECONDS, set[str]()
        while True:
            self.look()
            processes = set(self._roster.processes)
            if processes != with_processes or time.monotonic() - counted_at >= COUNT_SECONDS:
                counted_at, with_processes = time.monotonic(), processes
                await self.count()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Set what this worker knows by itself."""
        roster, figures = self._roster, self._figures
        loads = [load.rss_bytes for load in roster.processes.values()]
        figures.processes.set(len(loads))
        figures.memory.set(sum(loads))
        figures.largest.set(max(loads, default=0))
        # The SDK counts whole numbers: what is left over is told with the next second.
        figures.cpu_seconds.add(int(roster.cpu_seconds) - self._cpu_told)
        self._cpu_told = int(roster.cpu_seconds)
        waiting = roster.asked_since
        figures.questions_waiting.set(len(waiting))
        figures.oldest_question.set(time.monotonic() - waiting[0] if waiting else 0.0)
        figures.lease_ttl.set(self._host.lease_ttl_seconds)
        with contextlib.suppress(FileNotFoundError):
            figures.lease_renewed.set(self._host.directory.lease.stat().st_mtime)

    async def count(self) -> None:
        """Set what has to be asked for; what cannot be had keeps its last value."""
        self._figures.journals.set(await asyncio.to_thread(journal_bytes, self._host))
        with contextlib.suppress(RPCError):
            counts = await self._by_status()
            self._statuses |= set(counts)
            for status in self._statuses:
                self._figures.sessions(counts[status], status)

    async def _by_status(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        async for session in self._client.list_workflows(SESSIONS_OF_A_HOST):
            try:
                memo = await session.memo()
            except TemporalError:
                # Encrypted with a key that is not here: no worker of this host can have it.
                continue
            if memo.get("host") == self._host.host_id:
                counts[self._status(session.id, str(memo.get("status", "")))] += 1
        return counts

    def _status(self, workflow_id: str, told: str) -> str:
        if told not in WITHIN_TURNS:
            return told
        return "busy" if workflow_id.removeprefix("session-") in self._roster.turns else "ready"


def journal_bytes(host: Host) -> int:
    """The size of all journals together; blocks while it looks."""
    total = 0
    for session_id in host.directory.sessions():
        for journal in host.directory.session(session_id).path.glob("journal.*.jsonl"):
            with contextlib.suppress(OSError):
                total += journal.stat().st_size
    return total
