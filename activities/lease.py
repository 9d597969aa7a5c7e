"""The host's permission to keep processes alive: one file, renewed only while Temporal acknowledges this host."""

from __future__ import annotations

import asyncio
import json
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

# Short and without retries: an answer that comes late must not renew the lease from the time it was asked.
ACKNOWLEDGE_SECONDS: Final = 3.0
# One RPC per host in this time, or several within a lease that is shorter than usual.
RENEW_SECONDS: Final = 5.0
CHANCES_PER_LEASE: Final = 4
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

log = structlog.get_logger(__name__)


class LeaseKeeper:
    """Renews one host's lease until cancelled. Several keepers on one host do no harm."""

    def __init__(self, client: Client, lease: Path, ttl_seconds: float) -> None:
        self._client = client
        self._lease = lease
        self.ttl_seconds = ttl_seconds
        self._acknowledged_at = boot_clock()
        self._pause = min(RENEW_SECONDS, ttl_seconds / CHANCES_PER_LEASE)
        self.trouble = ""
        """Why the last renewal came to nothing; empty when it did not."""

    def silence(self) -> float:
        """For how many seconds Temporal has acknowledged nothing."""
        return boot_clock() - self._acknowledged_at

    async def keep(self) -> None:
        """Renew for ever; what keeps it from that is logged once, and the lease is left to age."""
        while True:
            await self.renew()
            await asyncio.sleep(self._pause)

    async def renew(self) -> bool:
        """Ask Temporal once and write the lease if it answered; says whether it did."""
        asked_at = boot_clock()
        try:
            await self._client.workflow_service.describe_namespace(
                DescribeNamespaceRequest(namespace=self._client.namespace),
                retry=False,
                timeout=timedelta(seconds=ACKNOWLEDGE_SECONDS),
            )
            write_lease(self._lease, asked_at)
        except (RPCError, OSError) as error:
            self._report(why=str(error))
            return False
        self._acknowledged_at = asked_at
        self._report()
        return True

    def _report(self, why: str = "") -> None:
        """Say when it begins to fail and when that is over, not each time between."""
        if why and not self.trouble:
            log.warning("lease not renewed; processes of this host stop when it runs out", why=why)
        if self.trouble and not why:
            log.info("lease renewed again")
        self.trouble = why


def write_lease(lease: Path, renewed_at: float) -> None:
    """Replace the lease file; a reader sees the old one or the new one, never half of one."""
    fresh = lease.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps({"boot_id": boot_id(), "renewed_at": renewed_at}))
    fresh.replace(lease)


def boot_clock() -> float:
    """Seconds on a clock that goes on while the machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def boot_id() -> str:
    """Which boot of this machine it is; empty where the system does not say."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
