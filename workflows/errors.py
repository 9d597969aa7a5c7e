"""What can go wrong when a handler calls a session, each as one sentence for a person."""

from __future__ import annotations

import asyncio
from typing import Final

from temporalio.client import (
    RPCTimeoutOrCancelledError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from workflows.messages import MESSAGE_REFUSED, QUEUE_FULL, SESSION_OVER


class SessionError(Exception):
    """Something the caller can act on; the text is a sentence for a person."""


class SessionNotFound(SessionError):
    """No session of that id is known."""


class SessionEnded(SessionError):
    """The session is over."""


class Refused(SessionError):
    """The session did not take the call; nothing was changed."""


class QueueFull(Refused):
    """So many messages wait already that the session takes no more before it has answered some."""


class NoWorker(SessionError):
    """Temporal is there, but no worker answers for the session."""


class NoServer(SessionError):
    """Temporal itself does not answer."""


class NotLive(SessionError):
    """What claude does cannot be read through this Temporal."""


# All that a call on a session raises and that is not a bug of ours.
CALL_ERRORS: Final = (
    RPCError,
    RPCTimeoutOrCancelledError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
)
_NOBODY_ANSWERED: Final = (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED, RPCStatusCode.FAILED_PRECONDITION)


def is_called_off() -> bool:
    """Whether the caller was cancelled: the SDK turns that into an error of the call, and nobody may go on after it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def explain(error: Exception, session_id: str) -> SessionError:
    """The sentence for an error of a call on this session."""
    if isinstance(error, WorkflowUpdateFailedError):
        return _update_failed(error, session_id)
    if isinstance(error, WorkflowQueryRejectedError):
        return SessionEnded(f"session {session_id!r} has ended")
    if isinstance(error, WorkflowAlreadyStartedError) or _status(error) == RPCStatusCode.ALREADY_EXISTS:
        return Refused(f"session {session_id!r} exists already: choose another name, or send to it")
    if _status(error) == RPCStatusCode.NOT_FOUND:
        if "completed" in str(error) or "update" in str(error):
            return _ended(session_id)
        return SessionNotFound(f"no session {session_id!r} is known: `durable-claude ls` shows those that live")
    if _status(error) == RPCStatusCode.INVALID_ARGUMENT and "search attribute" in str(error):
        return Refused(f"Temporal is not set up for sessions yet: run `durable-claude setup` once ({error})")
    if _status(error) not in (None, *_NOBODY_ANSWERED):
        return NoServer(f"Temporal did not answer ({error}): is `durable-claude up` running?")
    return NoWorker(f"no worker answered for session {session_id!r}: start one with `durable-claude up`")


def _ended(session_id: str) -> SessionEnded:
    return SessionEnded(f"session {session_id!r} has ended: `durable-claude resume {session_id}` says how to go on")


def _status(error: Exception) -> RPCStatusCode | None:
    return error.status if isinstance(error, RPCError) else None


def _update_failed(error: WorkflowUpdateFailedError, session_id: str) -> SessionError:
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type == QUEUE_FULL:
        return QueueFull(cause.message)
    if isinstance(cause, ApplicationError) and cause.type == MESSAGE_REFUSED:
        return Refused(cause.message)
    # It ended between taking the call and answering it, or is over and still tells its listener so.
    if isinstance(cause, ApplicationError) and cause.type in ("AcceptedUpdateCompletedWorkflow", SESSION_OVER):
        return _ended(session_id)
    return Refused(str(getattr(cause, "message", cause)))
