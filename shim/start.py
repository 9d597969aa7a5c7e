"""One attempt to start a session: find the living, take the locks, end the heirs of the dead, spawn."""

from __future__ import annotations

import os
import time

from shim import cgroup, contact, documents, kernel, locks, log, procfs, sweep
from shim.ground import Ground
from shim.kernel import signal
from shim.layout import PROTOCOL
from shim.spawn import Child, offer_to_oom_killer, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from shim.layout import SessionFiles
    from shim.supervisor import Supervisor

# Another starter needs about 50 ms, and a second on a machine where forty do the same; a shim that holds its lock
# and does not answer for this long is stopped or stuck.
_LOCK_SECONDS = 10.0
_RETRY_SECONDS = 0.01

# PDEATHSIG kills claude within milliseconds of its shim; only what it inherited to others has to be swept.
_CHILD_LOCK_SECONDS = 0.25


class Refused(Exception):
    """Nothing was started; `kind` is one of the kinds of LaunchFailed."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Start:
    """One attempt: find the living, take the locks, end the dead one's heirs, start."""

    def __init__(self, files: SessionFiles, spec: dict[str, Any], without: set[str]) -> None:
        self._files = files
        self._spec = spec
        self._without = without
        self._generation: int = spec["generation"]
        self._nonce = os.urandom(16).hex()
        self._adopts_orphans = False

    def run(self) -> tuple[Supervisor | None, dict[str, Any]]:
        """A supervisor to run when this attempt started the session, and what to tell the worker."""
        found = self._take_lock()
        if not isinstance(found, locks.Lock):
            return None, {"outcome": "running", **{key: found[key] for key in ("pid", "shim_pid", "generation")}}
        # Not before the lock is ours: until then somebody may delete the whole directory.
        log.open_at(self._files.log)
        earlier = _boot_record(self._files)
        self._check_generation(earlier)
        child_lock = self._end_heirs(earlier)
        self._record_lost(earlier)
        try:
            ground, child = self._start(child_lock, earlier)
        except BaseException:
            self._restore(earlier)
            raise
        supervisor = self._supervise(ground, child, [found, child_lock])
        answer = {"outcome": "started", "pid": child.pid, "shim_pid": os.getpid(), "generation": self._generation}
        return supervisor, answer

    def _take_lock(self) -> locks.Lock | dict[str, Any]:
        """The session's lock, or the introduction of the shim that has it."""
        until = time.monotonic() + _LOCK_SECONDS
        while time.monotonic() < until:
            living = contact.status(self._files.socket)
            if living and living["session_id"] == self._files.session_id:
                return living
            try:
                os.makedirs(self._files.directory, mode=0o700, exist_ok=True)
                lock = locks.take(self._files.lock)
            except FileNotFoundError:
                # The session is being deleted at this moment.
                continue
            if lock:
                return lock
            time.sleep(_RETRY_SECONDS)
        raise Refused("locked", f"a shim holds {self._files.lock!r} and does not answer: is it stopped?")

    def _check_generation(self, earlier: dict[str, Any]) -> None:
        fence = earlier.get("fence", 0)
        if self._generation < fence:
            raise Refused("fenced", f"generation {self._generation} has been replaced by {fence}")

    def _end_heirs(self, earlier: dict[str, Any]) -> locks.Lock:
        """Sweep after a shim that left no exit record; then nobody can hold the child's lock."""
        lock = locks.take(self._files.child_lock)
        if (lock is None or self._ended_unclean(earlier)) and "sweep" not in self._without:
            self._sweep(earlier)
        lock = lock or locks.wait(self._files.child_lock, _CHILD_LOCK_SECONDS)
        if not lock:
            raise Refused("survivors", f"a process of an earlier start still holds {self._files.child_lock!r}")
        return lock

    def _ended_unclean(self, earlier: dict[str, Any]) -> bool:
        """Was there a start on this boot of the machine whose end nobody recorded?"""
        return earlier.get("boot_id") == procfs.boot_id() and not self._is_recorded(earlier)

    def _is_recorded(self, earlier: dict[str, Any]) -> bool:
        return documents.read(self._files.exit(earlier["generation"])) is not None

    def _sweep(self, earlier: dict[str, Any]) -> None:
        marks = sweep.Marks(earlier.get("nonce"), self._files.child_lock, earlier.get("cgroup"))
        survivors = sweep.sweep(marks)
        if survivors:
            raise Refused("survivors", f"processes of an earlier start cannot be killed: {survivors}")

    def _record_lost(self, earlier: dict[str, Any]) -> None:
        """Nobody will ever know how that one ended; a start of its own generation takes its place."""
        if earlier and earlier["generation"] != self._generation and not self._is_recorded(earlier):
            documents.write(self._files.exit(earlier["generation"]), _lost(self._files, earlier["generation"]))

    def _start(self, child_lock: locks.Lock, earlier: dict[str, Any]) -> tuple[Ground, Child]:
        self._adopts_orphans = "subreaper" not in self._without and kernel.become_subreaper()
        place = self._place()
        ground = Ground(self._files, self._announce(place, earlier), place)
        try:
            child = self._spawn(place, child_lock)
        except BaseException:
            ground.clear()
            raise
        child_lock.release()
        return ground, child

    def _supervise(self, ground: Ground, child: Child, held: list[locks.Lock]) -> Supervisor:
        """What only the loop needs is imported now: claude starts meanwhile, and nobody has been told of it yet."""
        try:
            from shim.supervisor import Supervisor

            return Supervisor(
                files=self._files,
                ground=ground,
                child=child,
                adopts_orphans=self._adopts_orphans,
                lease_ttl_seconds=self._spec["lease_ttl_seconds"],
                held=held,
            )
        except BaseException:
            # Nobody would look after it. The boot record stays, so that the next start sweeps what it leaves.
            os.kill(child.pid, signal.SIGKILL)
            ground.clear()
            raise

    def _place(self) -> cgroup.Cgroup | None:
        """A cgroup of this start's own. Whoever is in an older one belongs to a shim whose other marks are gone."""
        if "cgroup" in self._without:
            return None
        name = f"durable-claude-{self._files.key}."
        for older in cgroup.find(name):
            if not older.empty():
                raise Refused("survivors", f"processes of an earlier start cannot be killed: {older.members()}")
            older.remove()
        return cgroup.create(name + self._nonce[:8])

    def _announce(self, place: cgroup.Cgroup | None, earlier: dict[str, Any]) -> dict[str, Any]:
        """Write down the marks of what is about to start: a kill at any later moment leaves them to a sweep."""
        boot = {
            "protocol": PROTOCOL,
            "nonce": self._nonce,
            "boot_id": procfs.boot_id(),
            "generation": self._generation,
            "fence": max(self._generation, earlier.get("fence", 0)),
            "cgroup": place.path if place else None,
        }
        documents.write(self._files.boot, boot)
        # The environment may hold keys, which have no business on a disk.
        documents.write(self._files.spec, {**self._spec, "environment": sorted(self._spec["environment"])})
        _forget(self._files.exit(self._generation))
        return boot

    def _spawn(self, place: cgroup.Cgroup | None, child_lock: locks.Lock) -> Child:
        shim, spec, without = os.getpid(), self._spec, self._without
        tokens = {"DURABLE_CLAUDE_SESSION": self._files.session_id, "DURABLE_CLAUDE_NONCE": self._nonce}

        def before() -> None:
            if "deathsig" not in without:
                kernel.die_with_parent(shim)
            offer_to_oom_killer()

        return spawn(
            spec["argv"],
            cwd=spec["cwd"],
            environment={**spec["environment"], **tokens},
            stderr=self._files.stderr(self._generation),
            keep=child_lock.fd,
            fork=place.fork if place else os.fork,
            before=before,
        )

    def _restore(self, earlier: dict[str, Any]) -> None:
        """A failed start leaves no trace that the next one would have to sweep for."""
        if earlier:
            documents.write(self._files.boot, earlier)
        else:
            _forget(self._files.boot)


def _boot_record(files: SessionFiles) -> dict[str, Any]:
    """What the last start wrote down; empty when there was none, or a host crash spoiled it."""
    record = documents.read(files.boot) or {}
    return record if isinstance(record.get("generation"), int) and isinstance(record.get("fence"), int) else {}


def _lost(files: SessionFiles, generation: int) -> dict[str, Any]:
    """How a process ended whose shim was killed: nobody knows, but it has been swept."""
    try:
        journal_bytes = os.stat(files.journal(generation)).st_size
    except FileNotFoundError:
        journal_bytes = 0
    unknown: dict[str, Any] = {"code": None, "signal": None, "why": "lost", "tree": "empty", "survivors": []}
    return {"generation": generation, **unknown, "journal_bytes": journal_bytes, "at": time.time()}


def _forget(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
