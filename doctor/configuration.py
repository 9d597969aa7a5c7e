"""The settings, and the clock that leases are measured with."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from doctor.finding import Finding, green, red, yellow
from runtime.keys import names
from runtime.settings import Settings


def examine(settings: Settings, problems: Sequence[str]) -> list[Finding]:
    """Every problem of the settings, and what else the worker reads when it begins."""
    return [*_settings(problems), _encryption(settings), _boot_clock()]


def _settings(problems: Sequence[str]) -> list[Finding]:
    if not problems:
        return [green("settings", "every DURABLE_CLAUDE_ variable can be meant")]
    remedy = "correct it (docs/operations.md lists the settings); all else was checked as if it were not set"
    return [red("settings", problem, remedy) for problem in problems]


def _encryption(settings: Settings) -> Finding:
    if not settings.encryption_keys:
        return green("encryption", "no key is set: what Temporal keeps can be read there")
    try:
        # Only the package that does the work can say that it is there.
        import cryptography.hazmat.primitives.ciphers.aead  # noqa: F401
    except ModuleNotFoundError:
        return red("encryption", "a key is set and cryptography is missing", "install durable-claude[encryption]")
    return green("encryption", f"keys {names(settings.encryption_keys)}, the first one is written with")


def _boot_clock() -> Finding:
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    if clock is None and sys.platform == "linux":
        return red("boot-clock", "this Python knows no CLOCK_BOOTTIME", "use a Python built for this system")
    if clock is None:
        return yellow(
            "boot-clock",
            "no clock here goes on in a suspended machine",
            "expect leases to last as long as the machine was suspended, and longer",
        )
    try:
        seconds = time.clock_gettime(clock)
    except OSError as error:
        return red("boot-clock", f"CLOCK_BOOTTIME cannot be read: {error.strerror}", "let the sandbox allow it")
    return green("boot-clock", f"CLOCK_BOOTTIME is at {seconds:.0f} s")
