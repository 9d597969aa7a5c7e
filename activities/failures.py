"""Failure types that cross from activities to the workflow, and the one place where errors are translated."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Final, ParamSpec, TypeVar

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.answer import AnswerMissing
from claude.process import (
    ConversationRefused,
    ExecutableMissing,
    ExitedEarly,
    Fenced,
    LaunchFailed,
    NotReady,
    NotRunning,
    ProjectRefused,
)

# Defined once, so that the raising and the handling side cannot diverge.
PROJECT_REFUSED: Final = "ProjectRefused"
CONVERSATION_REFUSED: Final = "ConversationRefused"
EXECUTABLE_MISSING: Final = "ExecutableMissing"
EXITED_EARLY: Final = "ExitedEarly"
NOT_READY: Final = "NotReady"
LAUNCH_FAILED: Final = "LaunchFailed"
FENCED: Final = "Fenced"
CLAUDE_GONE: Final = "ClaudeGone"
ANSWER_MISSING: Final = "AnswerMissing"
WORKER_DRAINING: Final = "WorkerDraining"

# Another try of the same call cannot end differently. What then, is the workflow's to judge.
FINAL: Final = frozenset(
    {
        PROJECT_REFUSED,
        CONVERSATION_REFUSED,
        EXECUTABLE_MISSING,
        EXITED_EARLY,
        NOT_READY,
        FENCED,
        CLAUDE_GONE,
        ANSWER_MISSING,
    }
)

_TYPES: Final[dict[type[Exception], str]] = {
    ProjectRefused: PROJECT_REFUSED,
    ConversationRefused: CONVERSATION_REFUSED,
    ExecutableMissing: EXECUTABLE_MISSING,
    ExitedEarly: EXITED_EARLY,
    NotReady: NOT_READY,
    LaunchFailed: LAUNCH_FAILED,
    Fenced: FENCED,
    NotRunning: CLAUDE_GONE,
    AnswerMissing: ANSWER_MISSING,
}

P = ParamSpec("P")
T = TypeVar("T")


def translated(work: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Give an activity's known errors a type and the right retryability; unknown ones pass and are retried."""

    @functools.wraps(work)
    async def translating(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await work(*args, **kwargs)
        except tuple(_TYPES) as error:
            raise translate(error) from error

    return translating


def translate(error: Exception) -> ApplicationError:
    """The ApplicationError that a known error becomes."""
    failure = next(name for kind, name in _TYPES.items() if isinstance(error, kind))
    # The watcher tells how claude ended; that its turn ended with it is no error of its own.
    category = ApplicationErrorCategory.BENIGN if failure == CLAUDE_GONE else ApplicationErrorCategory.UNSPECIFIED
    return ApplicationError(str(error), type=failure, non_retryable=failure in FINAL, category=category)
