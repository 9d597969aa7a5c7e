"""The shim by itself: how much memory it takes beside a real claude, and how long it takes to be there."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import psutil

from bench.place import Place
from bench.report import Bar, Row
from bench.samples import REST_SECONDS, interleaved
from bench.supervised import Supervised, supervised
from claude import protocol
from claude.events import ControlAnswered
from claude.launcher import Launcher

LAUNCH_BAR = Bar(limit=40.0)
MEMORY_BAR = Bar(limit=16.0)
POLL_SECONDS = 0.02
TRIVIAL = ("/bin/sleep", "300")
# The interpreter the shim runs in, with nothing of ours: it says a line and waits.
BARE_INTERPRETER = (sys.executable, "-I", "-S", "-c", "print(flush=True); input()")


async def measure(place: Place, rounds: int) -> list[Row]:
    """Three rows: launch time, with and without a launcher that waits, and memory."""
    launches = await interleaved(rounds, baseline=lambda: _spawn(place), ours=lambda: _launch(place))
    async with _kept(Launcher(place.host)) as launcher:
        waiting = await interleaved(
            rounds,
            baseline=lambda: _launch(place, Launcher(place.host)),
            ours=lambda: _launch_waiting(place, launcher),
        )
    memory = await interleaved(max(2, rounds // 10), baseline=_interpreter_memory, ours=lambda: _memory(place))
    return [
        launches.row("launch of a shim with its child", "ms", LAUNCH_BAR, "baseline: spawn of the child alone"),
        waiting.row("what a worker waits for a launch", "ms", note="baseline: when no launcher waits"),
        memory.row("memory of a shim beside an idle claude", "MB", MEMORY_BAR, "RSS; baseline: the bare interpreter"),
    ]


async def _spawn(place: Place) -> float:
    began = time.perf_counter()
    child = await asyncio.create_subprocess_exec(*TRIVIAL, cwd=place.project, env=place.environment)
    seconds = time.perf_counter() - began
    child.kill()
    await child.wait()
    return seconds * 1000


async def _launch(place: Place, launcher: Launcher | None = None) -> float:
    async with supervised(place, TRIVIAL, launcher) as launched:
        return launched.launch_seconds * 1000


async def _launch_waiting(place: Place, launcher: Launcher) -> float:
    launcher.refill()
    while not launcher.has_spare:
        await asyncio.sleep(POLL_SECONDS)
    # It has been made; until it waits takes as long as a launch.
    await asyncio.sleep(REST_SECONDS)
    return await _launch(place, launcher)


async def _memory(place: Place) -> float:
    async with supervised(place, place.claude(str(uuid.uuid4()))) as launched:
        await _handshake(launched)
        return await _resident(launched.connection.hello.shim_pid)


async def _interpreter_memory() -> float:
    async with _running(BARE_INTERPRETER) as pid:
        return await _resident(pid)


async def _handshake(launched: Supervised) -> None:
    connection = launched.connection
    await connection.write("ready", protocol.initialize("ready"))
    async with contextlib.aclosing(connection.lines(0)) as lines:
        async for _, line in lines:
            if any(isinstance(event, ControlAnswered) for event in protocol.parse(line)):
                return


async def _resident(pid: int) -> float:
    """Megabytes of RSS, as the median of a few looks."""
    process, looks = psutil.Process(pid), []
    for _ in range(5):
        looks.append(process.memory_info().rss / 1e6)
        await asyncio.sleep(0.02)
    return statistics.median(looks)


@contextlib.asynccontextmanager
async def _kept(launcher: Launcher) -> AsyncIterator[Launcher]:
    """As in a worker: one waits for the next start."""
    keeping = asyncio.create_task(launcher.keep())
    try:
        yield launcher
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])


@contextlib.asynccontextmanager
async def _running(argv: Sequence[str | Path]) -> AsyncIterator[int]:
    """The pid of a program that has said its first line."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*argv, env={}, stdin=pipe, stdout=pipe)
    assert child.stdout is not None
    try:
        await child.stdout.readline()
        yield child.pid
    finally:
        child.kill()
        await child.communicate()
