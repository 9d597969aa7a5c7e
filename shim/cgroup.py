"""A cgroup for one session, where the kernel lets us have one: it also ends what a killed shim left behind."""

from __future__ import annotations

import os
import time

from shim import kernel

# SIGKILL takes milliseconds; who is still inside after this hangs in the kernel.
_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.002


class Cgroup:
    """A directory of cgroup v2 that holds claude and everything below it, and not the shim."""

    def __init__(self, path: str) -> None:
        self.path = path

    def fork(self) -> int:
        """Fork with the child, and all its descendants, inside."""
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            pid = kernel.fork_into(directory)
        finally:
            os.close(directory)
        if pid is None:
            pid = os.fork()
            if pid == 0:
                self._enter()
        return pid

    def _enter(self) -> None:
        try:
            _put(self.path + "/cgroup.procs", b"0")
        except OSError:
            pass

    def members(self) -> list[int]:
        try:
            with open(self.path + "/cgroup.procs", "rb") as file:
                return [int(line) for line in file.read().split()]
        except OSError:
            return []

    def kill(self) -> None:
        """SIGKILL every member at once, also those that are just forking."""
        try:
            _put(self.path + "/cgroup.kill", b"1")
        except OSError:
            pass

    def empty(self) -> bool:
        """Kill until nobody is inside; False when somebody cannot be killed."""
        give_up = time.monotonic() + _PATIENCE_SECONDS
        while self.members():
            if time.monotonic() > give_up:
                return False
            self.kill()
            time.sleep(_PAUSE_SECONDS)
        return True

    def remove(self) -> None:
        try:
            os.rmdir(self.path)
        except OSError:
            pass


def find(prefix: str) -> list[Cgroup]:
    """The cgroups below our own whose name begins like this."""
    parent = _own_directory()
    try:
        names = os.listdir(parent) if parent else []
    except OSError:
        return []
    return [Cgroup(os.path.join(parent or "", name)) for name in names if name.startswith(prefix)]


def create(name: str) -> Cgroup | None:
    """A new cgroup below our own; None without a writable cgroup v2 that knows cgroup.kill."""
    parent = _own_directory()
    if parent is None:
        return None
    cgroup = Cgroup(os.path.join(parent, name))
    try:
        os.mkdir(cgroup.path)
    except OSError:
        return None
    if os.access(cgroup.path + "/cgroup.kill", os.W_OK):
        return cgroup
    cgroup.remove()
    return None


def _own_directory() -> str | None:
    """Where this process's own cgroup is mounted."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            own = next(line[3:].rstrip("\n") for line in file if line.startswith("0::"))
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            mounts = [line.split() for line in file if " - cgroup2 " in line]
    except (OSError, StopIteration):
        return None
    for mount in mounts:
        root, point = mount[3], mount[4]
        if os.path.commonpath([root, own]) == root and "/.." not in own:
            return os.path.normpath(os.path.join(point, os.path.relpath(own, root)))
    return None


def _put(path: str, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, content)
    finally:
        os.close(fd)
