"""One thread, one selector: claude's pipes, its signals, the control socket and the clock."""

from __future__ import annotations

import os
import selectors
import signal
import sys
import time

from shim import documents, kernel, locks, procfs
from shim.control import PROTOCOL
from shim.journal import CHUNK_BYTES, Journal
from shim.ladder import LEFTOVERS_SECONDS, Ladder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from shim.control import Control
    from shim.documents import Reserved
    from shim.feed import Feed
    from shim.layout import SessionFiles
    from shim.lease import Lease
    from shim.spawn import Child
    from shim.tree import Tree

# How soon a removed socket, a removed lock or a machine that slept is noticed; each look is five stat calls.
_LOOK_AROUND_SECONDS = 2.0

# A full disk is tried again this often; claude waits meanwhile.
_RETRY_SECONDS = 0.25

# Within docker's ten seconds between SIGTERM and SIGKILL.
_OWN_STOP_SECONDS = 5.0

# A stop does not wait longer than this for a full disk; a claude that ended by itself waits as long as the lease.
_DRAIN_SECONDS = 1.0

# More than a pipe holds: only a survivor that goes on writing could make it longer.
_DRAIN_BYTES = 1 << 21

# As many as fit into the reserved exit record.
_SURVIVORS_TOLD = 200


class Supervisor:
    """The life of one claude, from just after its start to its exit record."""

    def __init__(
        self,
        *,
        files: SessionFiles,
        boot: dict[str, Any],
        child: Child,
        tree: Tree,
        feed: Feed,
        journal: Journal,
        control: Control,
        lease: Lease,
        record: Reserved,
        held: list[locks.Lock],
        selector: selectors.BaseSelector,
    ) -> None:
        self._files, self._boot, self._child, self._tree, self._feed = files, boot, child, tree, feed
        self._journal, self._control, self._lease, self._record = journal, control, lease, record
        self._held, self._selector = held, selector
        self.fence: int = boot["fence"]
        self._why = "exited"
        self._ladder: Ladder | None = None
        self._ending: Iterator[float] | None = None
        self._wake = 0.0
        self._look_around = time.monotonic() + _LOOK_AROUND_SECONDS
        self._reads_stdout = False

    def run(self) -> None:
        """Supervise until nothing is left, then leave the exit record and the socket, in this order."""
        self._watch_signals()
        self._follow_stdout()
        while not self._has_ended():
            for key, events in self._selector.select(self._patience()):
                key.data(events)
        self._write_exit()
        if self._has_locks():
            # Otherwise the cgroup, too, is somebody else's by now.
            self._tree.remove_cgroup()
        self._control.close()

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
        while not self._is_drained():
            if self._why != "exited" and time.monotonic() > patience:
                break
            if self._lease.remaining() <= 0:
                break
            yield time.monotonic() + _RETRY_SECONDS

    def _has_ended(self) -> bool:
        """Do whatever is due now; True when the last step has been taken."""
        self._tree.reap()
        now = time.monotonic()
        if self._journal.is_blocked:
            self._retry_journal()
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

    def _follow_stdout(self) -> None:
        self._reads_stdout = True
        self._selector.register(self._child.stdout, selectors.EVENT_READ, self._copy)

    def _leave_stdout(self) -> None:
        self._reads_stdout = False
        self._selector.unregister(self._child.stdout)

    def _copy(self, _events: int = 0) -> bool:
        """Move one chunk from claude to the journal; False when there is nothing to move now, or ever."""
        try:
            chunk = os.read(self._child.stdout, CHUNK_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            self._leave_stdout()
            return False
        self._journal.append(chunk)
        if self._journal.is_blocked:
            # Unread, the pipe fills and claude waits: nothing is lost while the disk is full.
            self._leave_stdout()
        return not self._journal.is_blocked

    def _retry_journal(self) -> None:
        self._journal.retry()
        if not self._journal.is_blocked:
            self._follow_stdout()

    def _is_drained(self) -> bool:
        """Empty the pipe without waiting for its end: a survivor may hold it open for ever."""
        began = self._journal.end
        while self._reads_stdout and self._copy() and self._journal.end - began < _DRAIN_BYTES:
            pass
        return not self._journal.is_blocked

    def _watch_signals(self) -> None:
        wake, woken = os.pipe()
        for fd in (wake, woken):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        self._selector.register(wake, selectors.EVENT_READ, lambda _: os.read(wake, 4096))
        terminations = kernel.signal_descriptor(signal.SIGTERM)
        if terminations is None:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
            signal.signal(signal.SIGTERM, lambda *_: self._end("stopped", _OWN_STOP_SECONDS))
            return
        self._selector.register(terminations, selectors.EVENT_READ, lambda _: self._terminate(terminations))

    def _terminate(self, descriptor: int) -> None:
        """SIGTERM stops the session, unless the session sent it: an orphan's `kill $PPID` means us by accident.

        A sender that is gone already may have been ours, so it is not obeyed; init systems and shells live on.
        """
        for sender in kernel.read_senders(descriptor):
            if sender == 0 or procfs.is_below(sender, os.getpid()) is False:
                self._end("stopped", _OWN_STOP_SECONDS)
            else:
                _say(f"SIGTERM from {sender}, a process of this session: not obeyed")

    def _check_ground(self) -> None:
        """What a cleaner may have removed is put back; a session whose lock somebody else holds ends."""
        if not self._has_locks():
            self._end("stopped", 0)
            return
        try:
            self._control.ensure_reachable()
        except OSError as error:
            _say(f"the socket cannot be bound again: {error}")

    def _has_locks(self) -> bool:
        """Are both locks still ours, or ours again? False when somebody else took one over."""
        try:
            return all(lock.is_current() or self._take_again(index) for index, lock in enumerate(self._held))
        except OSError as error:
            _say(f"a lock cannot be taken again: {error}")
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
            _say(f"{self._files.boot!r} could not be written: {error}")

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
            _say(f"the exit record could not be written: {error}")


def _say(message: str) -> None:
    """A line in the session's shim.log, for people who look for a reason."""
    print(time.strftime("%Y-%m-%dT%H:%M:%S"), message, file=sys.stderr, flush=True)
