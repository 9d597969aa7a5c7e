"""Bytes through the journal against bytes through a plain pipe, both read as lines."""

from __future__ import annotations

import asyncio
import sys
import time

from bench.bare import LINE_BYTES
from bench.place import Place
from bench.report import Row
from bench.samples import interleaved
from bench.supervised import supervised

MEGABYTES = 64
LINE = 1000
COUNT = MEGABYTES * 1_000_000 // LINE
# It waits for a line, so that its start is not part of the stream.
PROGRAM = f"import sys; input(); block = (b'x' * {LINE - 1} + b'\\n') * 100; [sys.stdout.buffer.write(block) for _ in range({COUNT // 100})]; sys.stdout.flush(); sys.stdin.read()"


async def measure(place: Place, rounds: int) -> list[Row]:
    """One row, without a bar: the reader is asyncio's in both cases."""
    argv = [sys.executable, "-I", "-S", "-c", PROGRAM]
    pairs = await interleaved(rounds, baseline=lambda: _plain(argv), ours=lambda: _journal(place, argv))
    return [pairs.row("stream through the journal", "MB/s", None, f"{MEGABYTES} MB of lines; baseline: a plain pipe")]


async def _plain(argv: list[str]) -> float:
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*argv, env={}, stdin=pipe, stdout=pipe, limit=LINE_BYTES)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        began = time.perf_counter()
        child.stdin.write(b"\n")
        for _ in range(COUNT):
            await child.stdout.readline()
        return MEGABYTES / (time.perf_counter() - began)
    finally:
        child.kill()
        await child.communicate()


async def _journal(place: Place, argv: list[str]) -> float:
    async with supervised(place, argv) as stream:
        began, count = time.perf_counter(), 0
        await stream.connection.write("go", b"\n")
        async for _ in stream.connection.lines(0):
            count += 1
            if count == COUNT:
                break
        return MEGABYTES / (time.perf_counter() - began)
