"""How a command fails: one sentence and an exit code for each error that a person can do something about."""

from __future__ import annotations

from typing import Final

from typer.exceptions import TyperException

from runtime.settings import SettingsError

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


class CommandFailed(Exception):
    """The command did what it could and this is what came of it."""

    def __init__(self, sentence: str, code: int = FAILED) -> None:
        super().__init__(sentence)
        self.code = code


def judge(error: Exception) -> tuple[int, str]:
    """The exit code and the sentence for an error of a command."""
    if isinstance(error, CommandFailed):
        return error.code, str(error)
    if isinstance(error, TyperException):
        return REFUSED, _misused(error)
    if isinstance(error, SettingsError):
        return REFUSED, f"these settings cannot be used: {'; '.join(error.problems)}"
    # Not before something went wrong: `--help` needs no Temporal.
    from handlers.sentences import judged

    return judged(error) or (INTERNAL, _bug(error))


def _misused(error: TyperException) -> str:
    message = error.format_message().rstrip(".")
    # No command at all: the help that was just printed says it better.
    return message and f"{message}: `{_asked(error)} --help` shows what is meant"


def _asked(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    return str(context.command_path) if context else "durable-claude"


def _bug(error: Exception) -> str:
    return f"a bug of durable-claude: {type(error).__name__}: {error} (DURABLE_CLAUDE_LOG_LEVEL=debug shows where)"
