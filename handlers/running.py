"""Running one command to its exit code: whatever goes wrong, a person gets one sentence."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import traceback
from collections.abc import Coroutine
from typing import Any

import typer

from handlers import console
from handlers.failure import INTERRUPTED, judge
from runtime.settings import Settings, SettingsError


def run(app: typer.Typer, arguments: list[str]) -> int:
    """Run one command; the exit code. An error is one sentence on stderr."""
    try:
        return int(typer.main.get_command(app).main(arguments, prog_name="durable-claude", standalone_mode=False) or 0)
    except (KeyboardInterrupt, asyncio.CancelledError, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads on, as with `| head`: that is no error of ours.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  the process ends with it
        return 0
    except Exception as error:  # noqa: BLE001  whatever it is, a person gets a sentence
        code, sentence = judge(error)
        if sentence:
            console.problem(sentence)
        _show_where(error)
        return code


def conclude(work: Coroutine[Any, Any, None]) -> None:
    """Run a command's work to its end."""
    asyncio.run(work)


def _show_where(error: Exception) -> None:
    """The traceback, for who asked for everything; a person gets the sentence only."""
    with contextlib.suppress(SettingsError):
        if Settings.from_env().log_level == "debug":
            traceback.print_exception(error)
