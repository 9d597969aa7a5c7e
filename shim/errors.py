"""What can go wrong between a worker and a shim, named for what the worker may do next."""

from __future__ import annotations


class ShimError(Exception):
    """Every error of this package."""


class LaunchFailed(ShimError):
    """Nothing was started. `kind` says why, for programs; the message says it to people."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class NotRunning(ShimError):
    """No shim of this session lives on this host."""


class NotAnswering(ShimError):
    """A shim lives, since it holds its lock, and does not answer: it is stopped, or the machine is overloaded."""


class Fenced(ShimError):
    """A later generation of this session has taken over: do nothing more."""


class ProtocolMismatch(ShimError):
    """The living shim speaks another protocol version."""


class Busy(ShimError):
    """Claude has not read the earlier messages yet: try this one again later."""


class ConnectionLost(ShimError):
    """The connection ended, or claude no longer reads: attach again to see how things stand."""


class StillRunning(ShimError):
    """The session cannot be deleted while a process of it lives: stop it first."""
