"""The session's shim.log, for people who look for a reason."""

from __future__ import annotations

import os
import sys
import time


def open_at(path: str) -> None:
    """From now on stderr is this file."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.dup2(fd, 2)
    os.close(fd)


def say(message: str) -> None:
    """One line; a full disk is no reason to fail."""
    line = f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {message}\n"
    try:
        os.write(2, line.encode(errors="replace"))
    except OSError:
        pass


def say_error() -> None:
    """The traceback of the exception in flight. The traceback module would cost every start 4 ms, this is built in."""
    sys.__excepthook__(*sys.exc_info())
