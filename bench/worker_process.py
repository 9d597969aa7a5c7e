"""A real worker in a process of its own, and the moment it says that it is up."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import Mapping
from typing import Final, Self

# What worker.py logs when its pollers run and its takeover begins.
UP: Final = b"worker is up"
UP_SECONDS: Final = 60.0
# Longer than a worker drains.
DRAIN_SECONDS: Final = 30.0
# Enough of its log to see why it did not come up.
LINES_KEPT: Final = 40


class WorkerProcess:
    """One worker process. `up_at` is when its line arrived here, on time.perf_counter's clock."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.up_at = 0.0
        self._is_up = asyncio.Event()
        self._last: deque[bytes] = deque(maxlen=LINES_KEPT)
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, environ: Mapping[str, str]) -> Self:
        """Start one and wait until it is up."""
        found = importlib.util.find_spec("worker")
        assert found is not None
        program = [sys.executable, str(found.origin)]
        process = await asyncio.create_subprocess_exec(
            *program, env=environ, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE
        )
        worker = cls(process)
        try:
            async with asyncio.timeout(UP_SECONDS):
                await worker._is_up.wait()
            if not worker.up_at:
                raise TimeoutError
        except TimeoutError:
            await worker.kill()
            said = b"".join(worker._last).decode(errors="replace")
            raise RuntimeError(f"the worker did not come up; it said:\n{said}") from None
        except BaseException:
            await worker.kill()
            raise
        return worker

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self.process.returncode is None

    async def end(self) -> None:
        """SIGTERM, and wait for the drain."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._gone()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL, and wait until it is reaped."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self._gone()

    async def _gone(self) -> None:
        await self.process.wait()
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            if not self.up_at and UP in line:
                self.up_at = time.perf_counter()
                self._is_up.set()
            self._last.append(line)
        self._is_up.set()
