"""Ending what an earlier shim of this session left behind when it was killed itself.

An heir is recognised by what it cannot have by accident: our token in its environment, our lock file among its
descriptors, a place in our cgroup, or an ancestor with one of these. Every signal goes through a pidfd that was
opened before the heir was recognised a second time, so a reused pid is never hit. macOS has neither /proc nor
pidfds: there an heir that holds the lock blocks the next start and is reported, not killed.
"""

from __future__ import annotations

import os
import time

from shim import procfs
from shim.cgroup import Cgroup
from shim.kernel import signal

# Killing takes milliseconds; whoever is still there after this is beyond our power and is reported.
_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.005


class Marks:
    """What the heirs of one launch have in common."""

    def __init__(self, nonce: str | None, lock: str, cgroup: str | None) -> None:
        self._token = b"DURABLE_CLAUDE_NONCE=" + nonce.encode() + b"\0" if nonce else None
        self._cgroup = Cgroup(cgroup) if cgroup else None
        try:
            found = os.stat(lock)
            self._inode: tuple[int, int] | None = (found.st_dev, found.st_ino)
        except FileNotFoundError:
            self._inode = None

    def carried_by(self, pid: int) -> bool:
        """Does this process carry a mark of its own?"""
        if self._token and self._token in procfs.environment(pid) + b"\0":
            return True
        if self._inode and procfs.holds_file(pid, *self._inode):
            return True
        return bool(self._cgroup) and pid in self.members()

    def members(self) -> list[int]:
        return self._cgroup.members() if self._cgroup else []

    def remove_cgroup(self) -> None:
        if self._cgroup:
            self._cgroup.remove()


def sweep(marks: Marks) -> list[int]:
    """Kill every heir; returns those that could not be killed. Two empty looks in a row are the end."""
    give_up = time.monotonic() + _PATIENCE_SECONDS
    empty_looks = 0
    heirs: set[int] = set()
    while empty_looks < 2 and time.monotonic() < give_up:
        heirs = _heirs(marks)
        empty_looks = 0 if heirs else empty_looks + 1
        _kill(heirs, marks)
        if heirs:
            time.sleep(_PAUSE_SECONDS)
    marks.remove_cgroup()
    return sorted(heirs)


def _heirs(marks: Marks) -> set[int]:
    own = {os.getpid(), os.getppid()}
    parents = {pid: found[0] for pid in procfs.pids() if (found := procfs.parent_and_start(pid))}
    heirs = {pid for pid in parents if marks.carried_by(pid)} - own
    while more := {pid for pid, parent in parents.items() if parent in heirs} - heirs - own:
        heirs |= more
    return {pid for pid in heirs if not procfs.is_zombie(pid)}


def _kill(heirs: set[int], marks: Marks) -> None:
    """Recognise all of them again behind pidfds, then kill: a dead parent no longer vouches for its children."""
    recognised = [pidfd for pid in heirs if (pidfd := _recognise(pid, heirs, marks)) is not None]
    for pidfd in recognised:
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        except OSError:
            pass
        os.close(pidfd)


def _recognise(pid: int, heirs: set[int], marks: Marks) -> int | None:
    """A pidfd for this heir, opened first and checked afterwards."""
    try:
        pidfd = os.pidfd_open(pid)
    except (OSError, AttributeError):
        return None
    found = procfs.parent_and_start(pid)
    if marks.carried_by(pid) or (found and found[0] in heirs):
        return pidfd
    os.close(pidfd)
    return None
