"""What each error of a call on sessions means for a command: an exit code and a sentence."""

from __future__ import annotations

import errno
from typing import Final

from temporalio.service import RPCError

from handlers.failure import FAILED, OUT_OF_REACH, REFUSED, UNKNOWN_SESSION
from runtime.codec import Locked
from runtime.dev_server import DevServerError
from runtime.door import DoorTaken
from runtime.host import HostIdUnreadable
from runtime.metrics import MetricsRefused
from runtime.search_attributes import AttributesRefused
from runtime.temporal import TemporalAway, TemporalRefused
from workflows.errors import NoServer, NoWorker, Refused, SessionEnded, SessionError, SessionNotFound

_START_ONE: Final = "start one with `durable-claude up`, or set TEMPORAL_ADDRESS"
_CODES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (SessionNotFound, UNKNOWN_SESSION),
    (NoWorker, OUT_OF_REACH),
    (NoServer, OUT_OF_REACH),
    (Refused, REFUSED),
    (SessionEnded, REFUSED),
    (SessionError, FAILED),
    (Locked, REFUSED),
    (DoorTaken, REFUSED),
    (MetricsRefused, REFUSED),
    (DevServerError, OUT_OF_REACH),
    (AttributesRefused, REFUSED),
    (TemporalAway, OUT_OF_REACH),
    (TemporalRefused, OUT_OF_REACH),
    (RPCError, OUT_OF_REACH),
    (TimeoutError, OUT_OF_REACH),
    (HostIdUnreadable, REFUSED),
)
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


def judged(error: Exception) -> tuple[int, str] | None:
    """The exit code and the sentence; None for what nobody foresaw."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), None)
    if code is not None:
        return code, _sentence(error)
    return (FAILED, _unusable(error)) if isinstance(error, OSError) and error.strerror else None


def _sentence(error: Exception) -> str:
    if isinstance(error, TemporalAway):
        return f"{error}: {_START_ONE}"
    if isinstance(error, RPCError):
        return f"Temporal did not answer ({error.message}): is `durable-claude up` running?"
    if isinstance(error, TimeoutError) and not str(error):
        return "Temporal did not answer in time: is `durable-claude up` running?"
    return " ".join(str(error).split())


def _unusable(error: OSError) -> str:
    """What the system refused, and where it can be looked into."""
    where = f" {str(error.filename)!r}" if error.filename else " the state directory"
    if error.errno in _FULL:
        return (
            f"no room is left for{where}: make some, or set DURABLE_CLAUDE_STATE_DIRECTORY to a place on another disk"
        )
    return (
        f"this user cannot use{where} ({error.strerror}): correct that, "
        "or set DURABLE_CLAUDE_STATE_DIRECTORY to a directory of yours"
    )
