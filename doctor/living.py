"""The workers of this state directory that live: each holds a lock named after it."""

from __future__ import annotations

import fcntl
from contextlib import suppress
from pathlib import Path

from shim import procfs


def living_workers(state: Path) -> list[int]:
    """Their pids, as far as they are in our own view of processes."""
    found = []
    for path in sorted(state.glob("workers/[!.]*")):
        # <host>.<pid>.<random>
        parts = path.name.split(".")
        with suppress(OSError, ValueError, IndexError):
            file, pid = path.stat(), int(parts[-2])
            if is_held(path) and procfs.holds_file(pid, file.st_dev, file.st_ino):
                found.append(pid)
    return found


def is_held(path: Path) -> bool:
    """Whether a process holds the lock on this file; on one that is not there nobody does."""
    try:
        with path.open("rb") as probe:
            # Shared: whoever looks for the dead at this moment is hindered by one more reader only.
            fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
