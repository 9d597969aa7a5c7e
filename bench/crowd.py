"""A hundred sessions on one host: how long a person waits for `ls` and `watch`. Their claudes are scripted and light."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import psutil

from bench.place import Place, private_place
from bench.report import Bar, Row
from bench.rig import Rig, full_rig
from bench.samples import interleaved
from runtime.server_record import read_record
from runtime.settings import Settings
from runtime.temporal import temporal_binary
from workflows.messages import Message

SESSIONS: Final = 100
# What a person takes for at once.
BAR: Final = Bar(limit=1000.0)
# Starts of a process each, on a small machine: more at a time are not faster.
STARTS_AT_ONCE: Final = 8
UPKEEP_SECONDS: Final = 20
LIGHT: Final = Path(__file__).with_name("light_claude.py")
# Every tenth works, every twentieth asks: a list has something to say.
BUSY: Final = {0: "hold", 5: "ask"}
COMMANDS: Final[tuple[tuple[str, ...], ...]] = (("ls",), ("ls", "--json"), ("watch", "--once"))
NOTE: Final = f"{SESSIONS} sessions; baseline: `temporal workflow list`"


async def measure(place: Place, rounds: int) -> list[Row]:
    """A row for each command and one for the list by itself, each beside Temporal's own list."""
    async with private_place({}) as own, full_rig(with_light_claude(own, SESSIONS)) as rig:
        await fill(rig, SESSIONS)
        rows = []
        for command in COMMANDS:
            pairs = await interleaved(rounds, baseline=lambda: _temporal(rig), ours=lambda c=command: _command(rig, c))  # type: ignore[misc]
            rows.append(pairs.row(f"durable-claude {' '.join(command)}", "ms", BAR, NOTE))
        pairs = await interleaved(rounds, baseline=lambda: _temporal(rig), ours=lambda: _overview(rig))
        return [*rows, pairs.row("Sessions.overview", "ms", None, NOTE), await _upkeep(rig)]


def with_light_claude(place: Place, sessions: int) -> Place:
    """The same place, where claude is light and a host has room for so many."""
    environ = {
        **place.settings.environ,
        "DURABLE_CLAUDE_EXECUTABLE": str(light_claude(place.project.parent)),
        "DURABLE_CLAUDE_MAX_SESSIONS": str(2 * sessions),
    }
    return replace(place, settings=Settings.from_env(environ))


def light_claude(directory: Path) -> Path:
    """The scripted claude as a program."""
    program = directory / "light-claude"
    program.write_text(f"#!{sys.executable} -IS\n{LIGHT.read_text()}")
    program.chmod(0o700)
    return program


async def fill(rig: Rig, sessions: int) -> list[str]:
    """Open sessions until there are so many; some are at work and some ask. Returns their ids."""
    room = asyncio.Semaphore(STARTS_AT_ONCE)

    async def one(number: int) -> str:
        async with room:
            return await _opened(rig, number)

    return await asyncio.gather(*(one(number) for number in range(sessions)))


async def _opened(rig: Rig, number: int) -> str:
    session_id = f"crowd-{number:03}"
    project = rig.place.project / session_id
    project.mkdir()
    await rig.sessions.open(str(project), session_id=session_id)
    report = await rig.sessions.wait_ready(session_id)
    if report.status != "ready":
        raise RuntimeError(f"session {session_id!r} is {report.status}: {report.note}")
    await rig.turn(session_id, "hello")
    if text := BUSY.get(number % 10):
        await rig.sessions.send(session_id, Message(turn_id=uuid.uuid4().hex, text=text))
    return session_id


async def _upkeep(rig: Rig) -> Row:
    """What it costs to keep an eye on all of them."""
    server = read_record(rig.plan.record)
    assert server is not None
    parts = [psutil.Process(pid) for pid in (rig.worker.process.pid, server.pid)]
    before = [_used(part) for part in parts]
    await asyncio.sleep(UPKEEP_SECONDS)
    worker, temporal = (100 * (_used(part) - had) / UPKEEP_SECONDS for part, had in zip(parts, before, strict=True))
    note = f"{SESSIONS} sessions for {UPKEEP_SECONDS} s; the Temporal server beside it: {temporal:.1f} % of a core"
    return Row(name="worker that nobody asks anything", value=worker, unit="% of a core", note=note)


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def _command(rig: Rig, arguments: Sequence[str]) -> float:
    return await _timed([sys.executable, "-m", "handlers.cli", *arguments], rig)


async def _temporal(rig: Rig) -> float:
    binary, address = temporal_binary(), rig.client.service_client.config.target_host
    query = "WorkflowType = 'SessionWorkflow' AND ExecutionStatus = 'Running'"
    return await _timed([str(binary), "workflow", "list", "--address", address, "--query", query, "-o", "json"], rig)


async def _overview(rig: Rig) -> float:
    began = time.perf_counter()
    rows = await rig.sessions.overview()
    milliseconds = (time.perf_counter() - began) * 1000
    if (answered := sum(row.turns for row in rows)) != SESSIONS:
        raise RuntimeError(f"only {answered} of {SESSIONS} sessions answered in {milliseconds:.0f} ms")
    return milliseconds


async def _timed(program: Sequence[str], rig: Rig) -> float:
    environ = {**rig.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    began = time.perf_counter()
    ran = await asyncio.create_subprocess_exec(*program, env=environ, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    said, wrong = await ran.communicate()
    milliseconds = (time.perf_counter() - began) * 1000
    if ran.returncode or said.count(b"crowd-") < SESSIONS:
        raise RuntimeError(f"{program} exited with {ran.returncode}: {wrong.decode()}")
    return milliseconds
