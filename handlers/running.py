"""Running one command to its exit code: whatever goes wrong, a person gets one sentence."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import traceback
from collections.abc import Coroutine
from typing import Any, Final

import typer

from handlers import console
from handlers.failure import INTERRUPTED, judge
from runtime import tracing
from runtime.settings import Settings, SettingsError

# They run until somebody ends them; what they do is traced by itself.
LASTING: Final = frozenset({"up", "codec", "demo", "signal"})
# A collector that is near answers in milliseconds; for one that is not, nobody waits at the prompt.
FLUSH_SECONDS: Final = 0.5


def run(app: typer.Typer, arguments: list[str]) -> int:
    """Run one command; the exit code. An error is one sentence on stderr."""
    with _span(app, arguments):
        return _run(app, arguments)


def _span(app: typer.Typer, arguments: list[str]) -> contextlib.AbstractContextManager[None]:
    """What the traces of a command begin with. Its arguments stay out of it."""
    with contextlib.suppress(SettingsError, tracing.TracingMissing):
        tracing.prepare(Settings.from_env())
    name = arguments[0] if arguments else ""
    themes = [app, *(group.typer_instance for group in app.registered_groups if group.typer_instance)]
    known = {
        command.callback.__name__ for theme in themes for command in theme.registered_commands if command.callback
    } - LASTING
    return tracing.span(f"{tracing.NAME} {name}") if name in known else contextlib.nullcontext()


def _run(app: typer.Typer, arguments: list[str]) -> int:
    try:
        return int(typer.main.get_command(app).main(arguments, prog_name="durable-claude", standalone_mode=False) or 0)
    except (KeyboardInterrupt, asyncio.CancelledError, typer.Abort):
        return INTERRUPTED
    except SystemExit as ended:
        # Typer calls it a failure that nobody reads on.
        if isinstance(ended.__context__, BrokenPipeError):
            return _nobody_reads()
        # It ends the process by itself after it has installed or answered a completion, too.
        return ended.code if isinstance(ended.code, int) else 0
    except BrokenPipeError:
        return _nobody_reads()
    except Exception as error:  # noqa: BLE001  whatever it is, a person gets a sentence
        code, sentence = judge(error)
        if sentence:
            console.problem(sentence)
        _show_where(error)
        return code


def _nobody_reads() -> int:
    """As with `| head`: that is no error of ours."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115  the process ends with it
    return 0


def finish(code: int) -> int:
    """Empty what is still held back, the person's output first; the exit code of the process."""
    code = code or console.flush()
    tracing.flush(FLUSH_SECONDS)
    return code


def conclude(work: Coroutine[Any, Any, None]) -> None:
    """Run a command's work to its end."""
    asyncio.run(work)


def _show_where(error: Exception) -> None:
    """The traceback, for who asked for everything; a person gets the sentence only."""
    with contextlib.suppress(SettingsError):
        if Settings.from_env().log_level == "debug":
            traceback.print_exception(error)
