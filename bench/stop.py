"""The stop of a tree of fifty descendants, some of which left their group and session."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import psutil

from bench.place import Place
from bench.report import Bar, Row
from bench.samples import interleaved
from bench.supervised import Supervised, supervised

BAR = Bar(limit=100.0)
DESCENDANTS = 50
READY_SECONDS = 30.0

# A fifth each: an own session, an own group, orphaned by a double fork, deaf to SIGTERM, plain.
TREE = """
import os, signal, sys

def say_and_sleep():
    os.write(1, b"%d\\n" % os.getpid())
    os.execv("/bin/sleep", ["sleep", "300"])

for number in range(int(sys.argv[1])):
    kind = number % 5
    if os.fork():
        continue
    if kind == 0:
        os.setsid()
    elif kind == 1:
        os.setpgid(0, 0)
    elif kind == 2 and os.fork():
        os._exit(0)
    elif kind == 3:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say_and_sleep()
signal.pause()
"""


async def measure(place: Place, rounds: int) -> list[Row]:
    """One row: from the request to the proof that nothing is left."""
    pairs = await interleaved(rounds, baseline=_kill_group, ours=lambda: _stop_tree(place))
    return [pairs.row(f"stop of a tree of {DESCENDANTS}", "ms", BAR, "baseline: killpg + waitpid of 50 plain children")]


async def _stop_tree(place: Place) -> float:
    program = [sys.executable, "-I", "-S", "-c", TREE, str(DESCENDANTS)]
    async with supervised(place, program) as tree:
        pids = await _said(tree)
        began = time.perf_counter()
        ended = await tree.connection.stop(0)
        seconds = time.perf_counter() - began
    left = [pid for pid in pids if psutil.pid_exists(pid)]
    if ended.tree != "empty" or left:
        raise RuntimeError(f"the stop left {left or ended.survivors} and said the tree is {ended.tree!r}")
    return seconds * 1000


async def _said(tree: Supervised) -> list[int]:
    """The pids of all descendants, once each of them sleeps."""
    pids: list[int] = []
    async with asyncio.timeout(READY_SECONDS):
        async for _, line in tree.connection.lines(0):
            pids.append(int(line))
            if len(pids) == DESCENDANTS:
                break
        while not all(psutil.Process(pid).name() == "sleep" for pid in pids):
            await asyncio.sleep(0.01)
    return pids


async def _kill_group() -> float:
    leader = await _sleeper(0)
    children = [leader, *[await _sleeper(leader) for _ in range(DESCENDANTS - 1)]]
    began = time.perf_counter()
    os.killpg(leader, signal.SIGKILL)
    for pid in children:
        os.waitpid(pid, 0)
    return (time.perf_counter() - began) * 1000


async def _sleeper(group: int) -> int:
    """A child without an asyncio object, which would reap it; `group` 0 begins a group."""
    return os.posix_spawn("/bin/sleep", ["sleep", "300"], {}, setpgroup=group)
