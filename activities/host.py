"""The host as activities know it: its identity, its queues and what it gives to every session."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from activities.queues import queue_of, read_queue_of, watch_queue_of
from claude.launcher import Launcher
from shim.paths import HostDirectory


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

    @functools.cached_property
    def launcher(self) -> Launcher:
        """What starts the processes; one for all of a worker's starts."""
        return Launcher(self.directory)

    @property
    def attachable(self) -> tuple[Path, ...]:
        """Files under these may go with a message: what people may work on, and what handlers here received for them."""
        return (*self.roots, self.directory.state / "received")

    @property
    def queue(self) -> str:
        """The task queue of short control activities."""
        return queue_of(self.host_id)

    @property
    def watch_queue(self) -> str:
        """The task queue of the long activities."""
        return watch_queue_of(self.host_id)

    @property
    def read_queue(self) -> str:
        """The task queue of those who read journals."""
        return read_queue_of(self.host_id)
