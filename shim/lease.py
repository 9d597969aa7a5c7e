"""The host's permission to keep processes alive, seen from the shim."""

from __future__ import annotations

import time

from shim import documents, procfs

# Counts while the machine sleeps: a laptop that wakes up after an hour has an old lease.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Lease:
    """Counted from the launch or the latest renewal of this boot, whichever is later."""

    def __init__(self, path: str, ttl_seconds: float) -> None:
        self._path = path
        self._ttl = ttl_seconds
        self._boot = procfs.boot_id()
        self._since = now()

    def remaining(self) -> float:
        """Seconds until the lease runs out; the file is read only when the known time is over."""
        left = self._since + self._ttl - now()
        if left > 0:
            return left
        self._renew()
        return self._since + self._ttl - now()

    def _renew(self) -> None:
        document = documents.read(self._path) or {}
        renewed = document.get("renewed_at")
        # A time in the future is a mistake, and must not keep a process alive for ever.
        if document.get("boot_id") == self._boot and isinstance(renewed, int | float) and renewed <= now():
            self._since = max(self._since, float(renewed))


def now() -> float:
    """Seconds on the clock that leases are written in."""
    return time.clock_gettime(_CLOCK)
