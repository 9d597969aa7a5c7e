"""The signals that end a program that serves until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from typing import Any


def stop_signals() -> asyncio.Future[None]:
    """Done at the first SIGTERM or SIGINT; a second one ends the worker at once."""
    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[None] = loop.create_future()

    def stop(number: signal.Signals) -> None:
        loop.remove_signal_handler(number)
        if not stopping.done():
            stopping.set_result(None)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    return stopping


async def first(job: asyncio.Future[Any], stopping: asyncio.Future[None]) -> None:
    """Wait for either; a job that fails raises."""
    await asyncio.wait([job, stopping], return_when=asyncio.FIRST_COMPLETED)
    if job.done():
        await job
