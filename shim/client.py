"""The worker's side: how to launch a shim, how to read its answer, what it left behind."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shim import cgroup, documents, locks, procfs, program, sweep
from shim.connection import ShimConnection
from shim.errors import (
    Busy,
    ConnectionLost,
    Fenced,
    LaunchFailed,
    NotAnswering,
    NotRunning,
    ProtocolMismatch,
    ShimError,
    StillRunning,
)
from shim.paths import HostDirectory, SessionDirectory
from shim.records import Exit, Hello, LaunchSpec, decode, encode

__all__ = [
    "Busy",
    "ConnectionLost",
    "Exit",
    "Fenced",
    "Hello",
    "HostDirectory",
    "LaunchFailed",
    "LaunchSpec",
    "Launched",
    "NotAnswering",
    "NotRunning",
    "ProtocolMismatch",
    "SessionDirectory",
    "ShimConnection",
    "ShimError",
    "StillRunning",
    "delete",
    "encode",
    "end_heirs",
    "last_change",
    "launcher_argv",
    "prune_programs",
    "read_exit",
    "read_fence",
    "read_launch_answer",
    "recorded_lines",
]

# Not a session's name, so that nobody takes what is being deleted for one.
_DELETED = ".deleted-"


@dataclass(frozen=True, kw_only=True)
class Launched:
    """A session that runs now: because of this launch, or of an earlier one, whose generation is told."""

    outcome: Literal["started", "running"]
    pid: int
    shim_pid: int
    generation: int


def launcher_argv(host: HostDirectory) -> list[str]:
    """The command that starts a session; give it `encode(LaunchSpec)` on stdin."""
    copy = program.immutable_copy(host.state)
    return [sys.executable, "-I", "-S", str(copy), "launch", str(host.state), str(host.run)]


def read_launch_answer(stdout: bytes) -> Launched:
    """What the launcher printed, or LaunchFailed."""
    try:
        answer = json.loads(stdout)
        if answer["outcome"] != "failed":
            return Launched(**answer)
        kind, message = answer["kind"], answer["message"]
    except (ValueError, TypeError, KeyError):
        raise LaunchFailed("internal", f"the launcher answered {stdout[:200]!r}") from None
    raise LaunchFailed(kind, message)


def read_exit(directory: SessionDirectory, generation: int) -> Exit | None:
    """How this generation ended; None while it runs, or when its shim was killed and nobody has swept yet."""
    document = documents.read(str(directory.exit(generation)))
    try:
        return decode(Exit, document) if document else None
    except KeyError:
        return None


def recorded_lines(directory: SessionDirectory, *, generation: int, offset: int) -> Iterator[tuple[int, bytes]]:
    """What `ShimConnection.lines` would give, of a session whose shim is gone; nothing when there is no journal."""
    try:
        journal = directory.journal(generation).open("rb")
    except FileNotFoundError:
        return
    with journal:
        journal.seek(offset)
        for line in journal:
            offset += len(line)
            yield offset, line.removesuffix(b"\n")


def read_fence(directory: SessionDirectory) -> int:
    """The highest generation anybody has shown this session's shims; 0 when none ever ran here."""
    return int((documents.read(str(directory.boot)) or {}).get("fence", 0))


def last_change(directory: SessionDirectory) -> float:
    """When anything of the session was last written here, as a unix time."""
    return max(path.stat().st_mtime for path in (directory.path, *directory.path.iterdir()))


def prune_programs(host: HostDirectory) -> list[str]:
    """Remove the copies of the shim's program that nobody uses any more; returns their names."""
    return program.prune(host.state)


def end_heirs(directory: SessionDirectory) -> list[int]:
    """Kill what is left of the last launch, remove its socket, and return who could not be killed; blocks up to 10 s.

    Nothing is done while a shim lives or starts: the lock says so, and is held meanwhile, so that a new claude,
    which has the same lock file open, is never taken for an heir.
    """
    boot = documents.read(str(directory.boot))
    if boot is None or boot.get("boot_id") != procfs.boot_id():
        return []
    lock = locks.take(str(directory.lock))
    if lock is None:
        return []
    try:
        directory.socket.unlink(missing_ok=True)
        return sweep.sweep(sweep.Marks(boot.get("nonce"), str(directory.child_lock), boot.get("cgroup")))
    finally:
        lock.release()


def delete(directory: SessionDirectory) -> None:
    """Remove everything the session has on this disk; StillRunning while a process of it lives.

    The directory is renamed away under both locks and only then emptied: whoever waits for a lock meanwhile finds,
    having got it, that the file at its path is another one, and starts over.
    """
    if directory.path.exists():
        with _both_locks(directory):
            _remove_cgroup(directory)
            directory.socket.unlink(missing_ok=True)
            os.rename(directory.path, directory.path.parent / f"{_DELETED}{secrets.token_hex(8)}")
    for deleted in directory.path.parent.glob(f"{_DELETED}*"):
        shutil.rmtree(deleted, ignore_errors=True)


@contextlib.contextmanager
def _both_locks(directory: SessionDirectory) -> Iterator[None]:
    with contextlib.ExitStack() as held:
        for path in (directory.lock, directory.child_lock):
            lock = _take(path)
            held.callback(lock.release)
        yield


def _take(path: Path) -> locks.Lock:
    try:
        lock = locks.take(str(path))
    except FileNotFoundError:
        lock = None
    if lock is None:
        raise StillRunning(f"{str(path)!r} is held: stop the session first")
    return lock


def _remove_cgroup(directory: SessionDirectory) -> None:
    boot = documents.read(str(directory.boot)) or {}
    if boot.get("cgroup"):
        cgroup.Cgroup(boot["cgroup"]).remove()
