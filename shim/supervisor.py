"""One thread, one poller: claude's pipes, its signals, the control socket and the clock."""

from __future__ import annotations

import os
import time

from shim import documents, locks, log, signals
from shim.control import Control
from shim.feed import Feed
from shim.ladder import LEFTOVERS_SECONDS, Ladder
from shim.layout import PROTOCOL
from shim.lease import Lease
from shim.poller import Poller
from shim.stdout import Stdout
from shim.tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from shim.ground import Ground
    from shim.layout import SessionFiles
    from shim.spawn import Child

# How soon a removed socket, a removed lock or a machine that slept is noticed; each look is five stat calls.
_LOOK_AROUND_SECONDS = 2.0

# A full disk is tried again this often; claude waits meanwhile.
_RETRY_SECONDS = 0.25

# Within docker's ten seconds between SIGTERM and SIGKILL.
_OWN_STOP_SECONDS = 5.0

# A stop does not wait longer than this for a full disk; a claude that ended by itself waits as long as the lease.
_DRAIN_SECONDS = 1.0

# As many as fit into the reserved exit record.
_SURVIVORS_TOLD = 200


class Supervisor:
    """The life of one claude, from just after its start to its exit record."""

    def __init__(
        self,
        *,
        files: SessionFiles,
        ground: Ground,
        child: Child,
        adopts_orphans: bool,
        lease_ttl_seconds: float,
        held: list[locks.Lock],
    ) -> None:
        self._files, self._boot, self._child, self._held = files, ground.boot, child, held
        self._journal, self._record = ground.journal, ground.record
        self._poller = Poller()
        self._tree = Tree(child.pid, ground.place, adopts_orphans=adopts_orphans)
        self._feed = Feed(child.stdin, self._poller)
        self._stdout = Stdout(child.stdout, ground.journal, self._poller)
        self._control = Control(ground.listener, self._poller, self)
        self._lease = Lease(files.lease, lease_ttl_seconds)
        self.fence: int = self._boot["fence"]
        self._why = "exited"
        self._ladder: Ladder | None = None
        self._ending: Iterator[float] | None = None
        self._wake = 0.0
        self._look_around = time.monotonic() + _LOOK_AROUND_SECONDS

    def run(self) -> None:
        """Supervise until nothing is left, then leave the exit record and the socket, in this order."""
        signals.watch(self._poller, lambda: self._end("stopped", _OWN_STOP_SECONDS))
        while not self._has_ended():
            self._poller.run(self._patience())
        self._write_exit()
        self._tree.remove_cgroup()
        self._control.close()

    def abandon(self) -> None:
        """After an error of our own: leave nobody behind, and no record, because we do not know any more."""
        self._tree.end()

    @property
    def journal_end(self) -> int:
        return self._journal.end

    def introduction(self) -> dict[str, Any]:
        """What a peer learns about this session."""
        generation = self._boot["generation"]
        running = "degraded" if self._journal.is_blocked else "running"
        return {
            "protocol": PROTOCOL,
            "session_id": self._files.session_id,
            "generation": generation,
            "fence": self.fence,
            "pid": self._child.pid,
            "shim_pid": os.getpid(),
            "journal": self._files.journal(generation),
            "stderr": self._files.stderr(generation),
            "journal_end": self._journal.end,
            "state": "stopping" if self._ending else running,
        }

    def raise_fence(self, generation: int) -> None:
        """Whoever shows a lower generation from now on is refused, by the next shim as well."""
        if generation > self.fence:
            self.fence = self._boot["fence"] = generation
            self._remember()

    def write(self, message_id: str, data: bytes) -> str:
        return self._feed.offer(message_id, data)

    def stop(self, timeout: float) -> None:
        """Begin to end the session, or hurry an end that has begun."""
        self._end("stopped", timeout)

    def _end(self, why: str, timeout: float) -> None:
        if self._ladder:
            self._ladder.hurry(timeout)
            return
        self._why = why
        self._ladder = Ladder(self._tree, self._feed, timeout)
        self._ending = self._finish(self._ladder)

    def _finish(self, ladder: Ladder) -> Iterator[float]:
        yield from ladder.steps()
        patience = time.monotonic() + _DRAIN_SECONDS
        while not self._stdout.drain():
            if self._why != "exited" and time.monotonic() > patience:
                break
            if self._lease.remaining() <= 0:
                break
            yield time.monotonic() + _RETRY_SECONDS

    def _has_ended(self) -> bool:
        """Do whatever is due now; True when the last step has been taken."""
        self._tree.reap()
        now = time.monotonic()
        self._stdout.retry()
        if now >= self._look_around:
            self._look_around = now + _LOOK_AROUND_SECONDS
            self._check_ground()
        if not self._ending:
            self._check_reasons_to_end()
        self._control.announce()
        if not self._ending:
            return False
        wake = next(self._ending, None)
        self._wake = wake or 0.0
        return wake is None

    def _check_reasons_to_end(self) -> None:
        if not self._tree.leader_lives:
            self._end("exited", LEFTOVERS_SECONDS)
        elif self._lease.remaining() <= 0:
            self._end("lease", _OWN_STOP_SECONDS)

    def _patience(self) -> float:
        now = time.monotonic()
        moments = [self._look_around - now, max(0.0, self._lease.remaining())]
        if self._ending:
            moments = [self._wake - now]
        if self._journal.is_blocked:
            moments.append(_RETRY_SECONDS)
        return max(0.0, min(moments))

    def _check_ground(self) -> None:
        """What a cleaner may have removed is put back; a session whose lock somebody else holds ends."""
        if not self._has_locks():
            self._end("stopped", 0)
            return
        try:
            self._control.ensure_reachable()
        except OSError as error:
            log.say(f"the socket cannot be bound again: {error}")

    def _has_locks(self) -> bool:
        """Are both locks still ours, or ours again? False when somebody else took one over."""
        try:
            return all(lock.is_current() or self._take_again(index) for index, lock in enumerate(self._held))
        except OSError as error:
            log.say(f"a lock cannot be taken again: {error}")
            return True

    def _take_again(self, index: int) -> bool:
        os.makedirs(self._files.directory, mode=0o700, exist_ok=True)
        fresh = locks.take(self._held[index].path)
        if fresh:
            self._held[index].release()
            self._held[index] = fresh
        return fresh is not None

    def _remember(self) -> None:
        try:
            documents.write(self._files.boot, self._boot)
        except OSError as error:
            log.say(f"{self._files.boot!r} could not be written: {error}")

    def _write_exit(self) -> None:
        status = self._tree.status
        code = os.waitstatus_to_exitcode(status) if status is not None else None
        verdict = self._tree.verdict
        exit_record = {
            "generation": self._boot["generation"],
            "code": code if code is not None and code >= 0 else None,
            "signal": -code if code is not None and code < 0 else None,
            "why": self._why,
            "tree": verdict,
            "survivors": self._tree.members()[:_SURVIVORS_TOLD] if verdict == "incomplete" else [],
            "journal_bytes": self._journal.end,
            "at": time.time(),
        }
        try:
            self._record.write(self._files.exit(self._boot["generation"]), exit_record)
        except OSError as error:
            log.say(f"the exit record could not be written: {error}")
