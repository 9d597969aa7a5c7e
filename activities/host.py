"""The host as activities know it: its identity, its queues and what it gives to every session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shim.paths import HostDirectory


def queue_of(host_id: str) -> str:
    """The task queue of a host's short control activities."""
    return f"claude-host-{host_id}"


@dataclass(frozen=True, kw_only=True)
class Host:
    """What this host gives to every session it runs."""

    host_id: str
    directory: HostDirectory
    executable: Path | None
    roots: tuple[Path, ...]
    environment: Mapping[str, str] = field(repr=False)
    permission_mode: str = "default"
    lease_ttl_seconds: float = 600.0

    @property
    def queue(self) -> str:
        """The task queue of short control activities."""
        return queue_of(self.host_id)

    @property
    def watch_queue(self) -> str:
        """The task queue of the long activities."""
        return f"{self.queue}-watch"
