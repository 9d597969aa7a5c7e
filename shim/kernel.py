"""The few Linux calls that Python does not offer. On macOS each says that it could not do it."""

from __future__ import annotations

import ctypes
import os
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    # The signal module makes an enum of every number, which costs a start 5 ms; its C half is all that is used.
    try:
        import _signal as signal
    except ImportError:
        import signal

__all__ = [
    "become_subreaper",
    "die_with_parent",
    "fork_into",
    "name_process",
    "read_senders",
    "signal",
    "signal_descriptor",
]

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_SFD_FLAGS = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)
_SIGNALFD_RECORD = 128

# The same number on every architecture; its argument is eleven 64-bit fields, the last one a cgroup's descriptor.
_SYS_CLONE3 = 435
_CLONE_FIELDS = 11
_CLONE_INTO_CGROUP = 1 << 33

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def become_subreaper() -> bool:
    """Adopt every orphan below this process, so that waitpid can prove that none is left."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Be killed when `parent` dies. Called in a fresh fork of a process that has one thread only."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # A parent that died before the call never sends the signal.
    if os.getppid() != parent:
        os._exit(127)


def name_process(name: bytes) -> None:
    """A name of its own keeps `pkill python` from matching."""
    _prctl(_PR_SET_NAME, name)


def fork_into(cgroup: int) -> int | None:
    """Fork with the child born inside this cgroup; None where the kernel or a sandbox does not allow it.

    Moving a process later waits for all processors, 20 ms. The child may only prepare and exec: Python's own
    after-fork work is skipped, which is harmless in a process that has one thread. PyDLL keeps the GIL for that.
    """
    fields = [_CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, cgroup]
    arguments = (ctypes.c_uint64 * _CLONE_FIELDS)(*fields)
    pid: int = ctypes.PyDLL(None).syscall(_SYS_CLONE3, ctypes.byref(arguments), ctypes.sizeof(arguments))
    return pid if pid >= 0 else None


def signal_descriptor(number: int) -> int | None:
    """A descriptor that tells who sent this signal, which then does nothing else; None on macOS."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    if _libc is None:
        return None
    # glibc has a sigset_t of 128 bytes, of which the kernel reads the first eight.
    mask = ctypes.create_string_buffer(struct.pack("@Q", 1 << (number - 1)), 128)
    fd: int = _libc.signalfd(-1, mask, _SFD_FLAGS)
    return fd if fd >= 0 else None


def read_senders(fd: int) -> list[int]:
    """The pids that sent the signal since the last call; 0 stands for one outside this pid namespace."""
    senders: list[int] = []
    while True:
        try:
            record = os.read(fd, _SIGNALFD_RECORD)
        except BlockingIOError:
            return senders
        senders.append(struct.unpack_from("=IiiI", record)[3])


def _prctl(option: int, argument: int | bytes) -> bool:
    if _libc is None:
        return False
    value = argument if isinstance(argument, bytes) else ctypes.c_ulong(argument)
    result: int = _libc.prctl(option, value, 0, 0, 0)
    return result == 0
