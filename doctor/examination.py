"""All checks at once, each in bounded time; one that fails or hangs keeps no other from its answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from doctor import configuration, directories, executable, kernel, limits, server, supervision
from doctor.finding import Finding, red
from runtime.settings import Settings

# A disk or a program that has not answered by then will not answer a session in time either.
CHECK_SECONDS: Final = 10.0

Check = Callable[[], Awaitable[list[Finding]]]


async def examine(
    settings: Settings, problems: Sequence[str], temporal: Mapping[str, str], handlers: Mapping[str, Check]
) -> list[Finding]:
    """Look at everything; `problems` are those of the settings, `temporal` says how Temporal is reached.

    Handlers look at themselves, by checks of their own.
    """
    checks: dict[str, Check] = {
        "settings": blocking(lambda: configuration.examine(settings, problems)),
        "claude": lambda: executable.examine(settings),
        "temporal": lambda: server.examine(settings, temporal),
        "state-directory": blocking(lambda: directories.examine_state(settings)),
        "run-directory": blocking(lambda: directories.examine_run(settings)),
        "kernel": lambda: kernel.examine(settings.state_directory),
        "pid-1": kernel.examine_reaper,
        "service-manager": lambda: supervision.examine(settings),
        "limits": blocking(lambda: limits.examine(settings)),
        **handlers,
    }
    answers = await asyncio.gather(*(within(name, check, CHECK_SECONDS) for name, check in checks.items()))
    return [finding for findings in answers for finding in findings]


async def within(name: str, check: Check, seconds: float) -> list[Finding]:
    """What the check finds; that it found no end, or failed itself, is a finding too."""
    try:
        async with asyncio.timeout(seconds):
            return await check()
    except TimeoutError:
        return [red(name, f"no answer within {seconds:g} s", "look for what hangs: a disk, a network, the program")]
    except Exception as error:  # noqa: BLE001  a check that fails must not keep the others from being seen
        return [red(name, f"could not be checked: {type(error).__name__}: {error}", "report this as a bug")]


def blocking(check: Callable[[], list[Finding]]) -> Check:
    """A check that may hang in the kernel, where nothing can call it back: its thread is left behind then."""

    async def run() -> list[Finding]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Finding]] = loop.create_future()
        # Not the loop's own pool: the end of the program would wait for a thread that never ends.
        threading.Thread(target=_settle, args=(check, loop, answer), daemon=True).start()
        return await answer

    return run


def _settle(
    check: Callable[[], list[Finding]], loop: asyncio.AbstractEventLoop, answer: asyncio.Future[list[Finding]]
) -> None:
    def tell(findings: list[Finding] | None, error: Exception | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(findings or [])

    try:
        findings, failure = check(), None
    except Exception as error:  # noqa: BLE001  it is raised where somebody waits for it
        findings, failure = None, error
    if not loop.is_closed():
        loop.call_soon_threadsafe(tell, findings, failure)
