"""Locks that a crash releases and that a cleaner cannot fool."""

from __future__ import annotations

import fcntl
import os
import time

# Long enough to sit out another starter's probe, short enough not to be felt.
_RETRY_SECONDS = 0.005


class Lock:
    """An exclusive flock. The kernel drops it with the last copy of `fd`, so it may be inherited."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._inode = _inode(os.fstat(self.fd))

    def is_current(self) -> bool:
        """Is the file at this path still the one that is locked? A cleaner may have unlinked it."""
        try:
            return _inode(os.stat(self.path)) == self._inode
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Close this copy; the lock lives on while anybody who inherited it does."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def take(path: str) -> Lock | None:
    """Take the lock at once, or None when somebody else holds it."""
    while True:
        lock = Lock(path)
        try:
            fcntl.flock(lock.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.release()
            return None
        if lock.is_current():
            return lock
        lock.release()


def share(path: str) -> int:
    """A shared lock, held until this process and every fork of it is gone: it keeps `take` from getting the same path."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd


def wait(path: str, seconds: float) -> Lock | None:
    """Take the lock, trying for this long."""
    until = time.monotonic() + seconds
    while (lock := take(path)) is None and time.monotonic() < until:
        time.sleep(_RETRY_SECONDS)
    return lock


def _inode(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
