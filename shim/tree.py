"""Everything below the shim: signalled only as our own unreaped children, and proven gone by the kernel.

As a subreaper the shim inherits every orphan of the session, so killing direct children and reaping them until
waitpid says ECHILD leaves nobody, whatever they did to hide. A pid is never signalled after it was reaped, so a
stranger who was given the same number is safe. macOS has no subreaper: there only claude's own process group is
reached, and the tree is reported as "unknown".
"""

from __future__ import annotations

import os
import time

from shim import procfs
from shim.kernel import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from shim.cgroup import Cgroup

# SIGKILL takes milliseconds; only a process stuck in the kernel, or one of another user, takes longer.
KILL_SECONDS = 10.0
_PAUSE_SECONDS = 0.002


class Tree:
    """The leader (claude) and all its descendants."""

    def __init__(self, leader: int, cgroup: Cgroup | None, *, adopts_orphans: bool) -> None:
        self.leader = leader
        self.status: int | None = None
        self._cgroup = cgroup
        self._adopts_orphans = adopts_orphans
        self._childless = False

    @property
    def leader_lives(self) -> bool:
        return self.status is None

    @property
    def is_empty(self) -> bool:
        """No process is left, as far as can be known here."""
        return self._childless and not (self._cgroup and self._cgroup.members())

    @property
    def verdict(self) -> str:
        """What may be said about the tree in an exit record."""
        if not self.is_empty:
            return "incomplete"
        return "empty" if self._adopts_orphans or self._cgroup else "unknown"

    def reap(self) -> None:
        """Collect every child that has ended; never waits."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._childless = True
                return
            if pid == 0:
                self._childless = False
                return
            if pid == self.leader:
                self.status = status

    def members(self) -> list[int]:
        """Direct children, adopted orphans among them, and whoever else is in the cgroup."""
        inside = self._cgroup.members() if self._cgroup else []
        return sorted({*procfs.children(os.getpid()), *inside})

    def ask(self, pids: Iterable[int]) -> None:
        """SIGTERM, and SIGCONT because a stopped process would not hear it."""
        for pid in pids:
            _send(pid, signal.SIGTERM)
            _send(pid, signal.SIGCONT)

    def children(self) -> list[int]:
        return procfs.children(os.getpid())

    def kill(self) -> None:
        """One round of SIGKILL; call it again after reaping until the tree is empty."""
        if self._cgroup:
            self._cgroup.kill()
        if not self._adopts_orphans and self.leader_lives:
            _send_group(self.leader)
        for pid in self.children():
            _send(pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill all, and wait for it; gives up on those the kernel cannot kill."""
        give_up = time.monotonic() + KILL_SECONDS
        self.reap()
        while not self.is_empty and time.monotonic() < give_up:
            self.kill()
            time.sleep(_PAUSE_SECONDS)
            self.reap()

    def remove_cgroup(self) -> None:
        if self._cgroup:
            self._cgroup.remove()


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def _send_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
