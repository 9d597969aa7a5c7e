"""What the kernel gives, tried out in a child of its own: `kernel <directory>`, `orphan`, or `fork`. Prints one JSON line."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import tempfile
import time

from shim import cgroup, kernel, procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

# What works takes milliseconds; who inherits orphans may look for them once a second.
_PATIENCE_SECONDS = 3.0
_PAUSE_SECONDS = 0.01


def main(arguments: list[str]) -> None:
    """Try what is asked for."""
    what, *rest = arguments
    trials: dict[str, Callable[..., dict[str, Any]]] = {"kernel": _kernel, "orphan": _orphan, "fork": _fork}
    tried = trials[what](*rest)
    os.write(1, json.dumps(tried).encode() + b"\n")


def _kernel(directory: str) -> dict[str, Any]:
    trials: dict[str, Callable[[], bool]] = {
        "subreaper": _adopts,
        "death-signal": _dies_with_parent,
        "pidfd": _signals_by_descriptor,
        "locks": lambda: _locks_apart(directory),
    }
    return {**{name: _outcome(trial) for name, trial in trials.items()}, **_cgroup()}


def _outcome(trial: Callable[[], bool]) -> bool | str:
    try:
        return trial()
    except (OSError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"


def _fork() -> dict[str, Any]:
    return {"forked": os.waitpid(_child(lambda: os._exit(0)), 0)[1] == 0}


def _adopts() -> bool:
    """An orphan of ours comes to us."""
    if not kernel.become_subreaper():
        return False
    orphan = _make_orphan(signal.pause)
    adopted = _until(lambda: (procfs.parent_and_start(orphan) or (0, 0))[0] == os.getpid())
    os.kill(orphan, signal.SIGKILL)
    return adopted and os.waitpid(orphan, 0)[0] == orphan


def _dies_with_parent() -> bool:
    """A process that asked for it is killed when its parent ends; being its heir, we see how it ended."""
    (asked, ask), (answers, tell) = os.pipe(), os.pipe()

    def parent() -> NoReturn:
        pid = _child(lambda: _ask_and_wait(os.getppid(), ask))
        # Not before the child has asked.
        os.read(asked, 1)
        os.write(tell, b"%d" % pid)
        os._exit(0)

    os.waitpid(_child(parent), 0)
    pid, ended = int(os.read(answers, 32)), [0, 0]

    def has_ended() -> bool:
        ended[:] = os.waitpid(pid, os.WNOHANG)
        return ended[0] == pid

    if _until(has_ended):
        return os.waitstatus_to_exitcode(ended[1]) == -signal.SIGKILL
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def _ask_and_wait(parent: int, ask: int) -> None:
    kernel.die_with_parent(parent)
    os.write(ask, b"!")
    signal.pause()


def _signals_by_descriptor() -> bool:
    pid = _child(signal.pause)
    try:
        descriptor = os.pidfd_open(pid)
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        os.close(descriptor)
    except (OSError, AttributeError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM


def _locks_apart(directory: str) -> bool:
    """Another process gets the lock when we let go of it, and not before."""
    with tempfile.NamedTemporaryFile(dir=directory, prefix=".doctor-") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        kept_out = not _another_gets(file.name)
        fcntl.flock(file, fcntl.LOCK_UN)
        return kept_out and _another_gets(file.name)


def _another_gets(path: str) -> bool:
    def other() -> NoReturn:
        # Opened anew: a descriptor that is inherited shares the lock.
        try:
            fcntl.flock(os.open(path, os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os._exit(1)
        os._exit(0)

    return os.waitpid(_child(other), 0)[1] == 0


def _cgroup() -> dict[str, bool]:
    group = cgroup.create(f"durable-claude-trial-{os.getpid()}")
    if group is None:
        return {"cgroup": False}
    try:
        directory = os.open(group.path, os.O_RDONLY | os.O_DIRECTORY)
        pid = kernel.fork_into(directory)
        if pid == 0:
            os._exit(0)
        os.close(directory)
        if pid is not None:
            os.waitpid(pid, 0)
        return {"cgroup": True, "cgroup-clone": pid is not None}
    finally:
        group.remove()


def _orphan() -> dict[str, Any]:
    """Leave a child to whoever inherits it, which ends then; see whether it is reaped."""
    us = os.getpid()
    orphan = _make_orphan(lambda: time.sleep(_PATIENCE_SECONDS / 10))
    _until(lambda: (procfs.parent_and_start(orphan) or (0, 0))[0] not in (us, 0))
    heir, began = procfs.parent_and_start(orphan) or (1, 0)
    reaped = _until(lambda: (procfs.parent_and_start(orphan) or (0, 0))[1] != began)
    return {"reaped": reaped, "heir": heir, "heir_name": _name(heir)}


def _make_orphan(life: Callable[[], object]) -> int:
    """The pid of a process whose parent has ended."""
    answers, tell = os.pipe()

    def between() -> NoReturn:
        os.write(tell, b"%d" % _child(life))
        os._exit(0)

    os.waitpid(_child(between), 0)
    return int(os.read(answers, 32))


def _child(life: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            life()
        finally:
            os._exit(0)
    return pid


def _until(condition: Callable[[], bool]) -> bool:
    """Whether it came to be in time."""
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while not (came := condition()) and time.monotonic() < give_up:
        time.sleep(_PAUSE_SECONDS)
    return came


def _name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "somebody"
