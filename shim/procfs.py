"""Reading /proc: who exists, whose child it is, when it began. Empty answers where there is no /proc."""

from __future__ import annotations

import os


def pids() -> list[int]:
    """Every process there is."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def parent_and_start(pid: int) -> tuple[int, int] | None:
    """The parent's pid and the start time in clock ticks; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if fields[0] in (b"X", b"Z") and fields[1] == b"0":
        # While it is being reaped a process is still shown, dead and without its parent: no stranger, but gone.
        return None
    return int(fields[1]), int(fields[19])


def children(pid: int) -> list[int]:
    """The direct children of a process with one thread, zombies included."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(field) for field in file.read().split()]
    except OSError:
        return [child for child in pids() if (parent_and_start(child) or (0, 0))[0] == pid]


def is_below(pid: int, ancestor: int) -> bool | None:
    """Does this process descend from `ancestor`? None when it no longer exists."""
    while pid > 1:
        if pid == ancestor:
            return True
        found = parent_and_start(pid)
        if found is None:
            return None
        pid = found[0]
    return False


def environment(pid: int) -> bytes:
    """The environment a process was started with, entries ended by NUL; empty when it may not be read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read()
    except OSError:
        return b""


def holds_file(pid: int, device: int, inode: int) -> bool:
    """Does this process have the file open?"""
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False
    for descriptor in descriptors:
        try:
            found = os.stat(f"/proc/{pid}/fd/{descriptor}")
        except OSError:
            continue
        if (found.st_dev, found.st_ino) == (device, inode):
            return True
    return False


def boot_id() -> str:
    """Changes with every boot of the machine."""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return file.read().strip().decode()
    except OSError:
        return "unknown"


def is_zombie(pid: int) -> bool:
    """Has it ended, waiting only to be reaped? A process that is gone counts as one."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except OSError:
        return True
