"""How a command fails: one sentence and an exit code for each error that a person can do something about."""

from __future__ import annotations

from typing import Final

from temporalio.service import RPCError
from typer.exceptions import TyperException

from runtime.codec import Locked
from runtime.dev_server import DevServerError
from runtime.settings import SettingsError
from runtime.temporal import TemporalAway, TemporalRefused
from workflows.errors import NoServer, NoWorker, Refused, SessionEnded, SessionError, SessionNotFound

OK: Final = 0
FAILED: Final = 1
REFUSED: Final = 2
UNKNOWN_SESSION: Final = 3
OUT_OF_REACH: Final = 4
INTERNAL: Final = 70
# What a shell says of a command that Ctrl-C ended.
INTERRUPTED: Final = 130

EXIT_CODES: Final = (
    "Exit codes: 0 done · 1 the turn or the session failed · 2 bad usage or refused input · 3 no such session · "
    "4 Temporal or a worker is out of reach · 130 interrupted."
)

_START_ONE: Final = "start one with `durable-claude up`, or set TEMPORAL_ADDRESS"
_CODES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (SessionNotFound, UNKNOWN_SESSION),
    (NoWorker, OUT_OF_REACH),
    (NoServer, OUT_OF_REACH),
    (Refused, REFUSED),
    (SessionEnded, REFUSED),
    (SessionError, FAILED),
    (SettingsError, REFUSED),
    (Locked, REFUSED),
    (DevServerError, OUT_OF_REACH),
    (TemporalAway, OUT_OF_REACH),
    (TemporalRefused, OUT_OF_REACH),
    (RPCError, OUT_OF_REACH),
    (TyperException, REFUSED),
)


class CommandFailed(Exception):
    """The command did what it could and this is what came of it."""

    def __init__(self, sentence: str, code: int = FAILED) -> None:
        super().__init__(sentence)
        self.code = code


def judge(error: Exception) -> tuple[int, str]:
    """The exit code and the sentence for an error of a command."""
    if isinstance(error, CommandFailed):
        return error.code, str(error)
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code, _sentence(error)
    return (
        INTERNAL,
        f"a bug of durable-claude: {type(error).__name__}: {error} (DURABLE_CLAUDE_LOG_LEVEL=debug shows where)",
    )


def _sentence(error: Exception) -> str:
    if isinstance(error, TyperException):
        message = error.format_message().rstrip(".")
        # No command at all: the help that was just printed says it better.
        return message and f"{message}: `{_asked(error)} --help` shows what is meant"
    if isinstance(error, TemporalAway):
        return f"{error}: {_START_ONE}"
    if isinstance(error, RPCError):
        return f"Temporal did not answer ({error.message}): is `durable-claude up` running?"
    return str(error)


def _asked(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    return str(context.command_path) if context else "durable-claude"
