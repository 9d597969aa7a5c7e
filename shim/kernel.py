"""The few Linux calls that Python does not offer. On macOS each says that it could not do it."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_SFD_FLAGS = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)
_SIGNALFD_RECORD = 128

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
    senders = []
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
