"""Whether memory, descriptors and processes suffice for as many sessions as the host says it takes."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from doctor.finding import Finding, green, red, yellow
from runtime.settings import Settings

MB: Final = 1 << 20
# An idle claude holds 157 to 174 MB; docs/operations.md counts with it.
SESSION_BYTES: Final = 160 * MB
# Worker and shims beside them.
WORKER_BYTES: Final = 200 * MB
# For each session the worker has up to two followers, each with a socket, a journal and what it opens in passing.
SESSION_FILES: Final = 8
WORKER_FILES: Final = 100
# claude has about a dozen threads, the shim one; a tool with a build below it has more.
SESSION_TASKS: Final = 20
WORKER_TASKS: Final = 50
# Whoever has less has no room for a second session.
_FEW_SESSIONS: Final = 2
_CGROUPS: Final = Path("/sys/fs/cgroup")


def examine(settings: Settings) -> list[Finding]:
    """Memory, open files, processes."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return [
        memory(settings.max_sessions, memory_bytes()),
        open_files(settings.max_sessions, files),
        processes(settings.max_sessions, task_limit()),
    ]


def memory(sessions: int, available: int) -> Finding:
    """Whether so many idle claudes fit."""
    fits = max(0, available - WORKER_BYTES) // SESSION_BYTES
    return _judged("memory", f"{available // MB} MB for claude", fits, sessions, "give it more memory")


def open_files(sessions: int, limit: int) -> Finding:
    """Whether the worker may open what its followers need."""
    if limit == resource.RLIM_INFINITY:
        return green("open-files", "no limit")
    fits = max(0, limit - WORKER_FILES) // SESSION_FILES
    return _judged("open-files", f"{limit} open files", fits, sessions, "raise `ulimit -n` (LimitNOFILE=)")


def processes(sessions: int, limit: int | None) -> Finding:
    """Whether claudes and their tools may be started."""
    if limit is None:
        return green("processes", "no limit")
    fits = max(0, limit - WORKER_TASKS) // SESSION_TASKS
    return _judged("processes", f"{limit} processes and threads", fits, sessions, "raise `ulimit -u` or TasksMax=")


def _judged(name: str, what: str, fits: int, sessions: int, remedy: str) -> Finding:
    text = f"{what}, enough for about {fits} sessions; DURABLE_CLAUDE_MAX_SESSIONS allows {sessions}"
    if fits >= sessions:
        return green(name, text)
    remedy += f", or set DURABLE_CLAUDE_MAX_SESSIONS={max(1, fits)}"
    return red(name, text, remedy) if fits < min(sessions, _FEW_SESSIONS) else yellow(name, text, remedy)


def memory_bytes() -> int:
    """What this machine or container has, whichever is less."""
    return min([psutil.virtual_memory().total, *_cgroup_limits("memory.max", "memory/memory.limit_in_bytes")])


def task_limit() -> int | None:
    """How many processes and threads there may be; root is under the cgroup's limit only."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    own = [] if limit == resource.RLIM_INFINITY or psutil.Process().uids().effective == 0 else [limit]
    return min([*own, *_cgroup_limits("pids.max", "pids/pids.max")], default=None)


def _cgroup_limits(current: str, legacy: str) -> Iterator[int]:
    """What the cgroups above this process allow; a container sees its own as the root."""
    places = [_CGROUPS / legacy]
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        if line.startswith("0::"):
            own = _CGROUPS / line[3:].strip("/")
            places += [place / current for place in (own, *own.parents) if place.is_relative_to(_CGROUPS)]
    for place in places:
        if (text := _text(place).strip()).isdigit():
            yield int(text)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
