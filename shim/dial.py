"""Reaching the living shim of a session."""

from __future__ import annotations

import asyncio
import os
import socket
import struct

from shim import locks
from shim.errors import NotAnswering, NotRunning
from shim.paths import SessionDirectory

_RETRY_SECONDS = 0.02


async def dial(directory: SessionDirectory, give_up: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection; a shim that is just starting, or whose socket was removed, gets the time to bind it."""
    while True:
        try:
            return await asyncio.open_unix_connection(directory.socket)
        except (FileNotFoundError, ConnectionRefusedError):
            if not _is_locked(directory):
                raise NotRunning(f"no shim of {directory.session_id!r} runs on this host") from None
        except BlockingIOError:
            # Its backlog is full: it is stopped, or very busy.
            pass
        if asyncio.get_running_loop().time() > give_up:
            raise NotAnswering(f"a shim of {directory.session_id!r} lives but cannot be reached")
        await asyncio.sleep(_RETRY_SECONDS)


def process_behind(writer: asyncio.StreamWriter) -> int | None:
    """A pidfd of the process at the other end: it is connected, so the pid is still its own. None on macOS."""
    connection = writer.get_extra_info("socket")
    if not hasattr(socket, "SO_PEERCRED") or not hasattr(os, "pidfd_open"):
        return None
    pid: int = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _is_locked(directory: SessionDirectory) -> bool:
    try:
        lock = locks.take(str(directory.lock))
    except FileNotFoundError:
        return False
    if lock is None:
        return True
    lock.release()
    return False
