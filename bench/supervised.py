"""A program under a shim, without Temporal: what the shim by itself is measured with."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from bench.place import Place
from claude.launcher import Launcher
from shim import client
from shim.client import LaunchSpec, NotRunning, ShimConnection

# No subject takes this long, and a bench that dies leaves nothing for longer.
LEASE_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class Supervised:
    """A program that runs, and how long its launcher took to say so."""

    connection: ShimConnection
    launch_seconds: float


@contextlib.asynccontextmanager
async def supervised(place: Place, argv: Sequence[str], launcher: Launcher | None = None) -> AsyncIterator[Supervised]:
    """Launch the program, by this launcher or one of its own; afterwards nothing of it is left, on disk neither."""
    session = place.host.session(f"bench-{uuid.uuid4().hex[:8]}")
    spec = LaunchSpec(
        session_id=session.session_id,
        generation=1,
        argv=list(argv),
        cwd=str(place.project),
        environment=place.environment,
        lease_ttl_seconds=LEASE_SECONDS,
    )
    try:
        seconds = await (_launch(place, spec) if launcher is None else _ordered(launcher, spec))
        connection = await ShimConnection.attach(session, generation=1)
        yield Supervised(connection=connection, launch_seconds=seconds)
    finally:
        with contextlib.suppress(NotRunning):
            await (await ShimConnection.attach(session, generation=1)).stop(0)
        client.delete(session)


async def _launch(place: Place, spec: LaunchSpec) -> float:
    """Seconds from the exec of a launcher to its answer."""
    argv, document = client.launcher_argv(place.host), client.encode(spec)
    began = time.perf_counter()
    launcher = await asyncio.create_subprocess_exec(*argv, cwd=spec.cwd, env={}, stdin=PIPE, stdout=PIPE)
    assert launcher.stdin is not None
    assert launcher.stdout is not None
    launcher.stdin.write(document)
    launcher.stdin.close()
    answer = await launcher.stdout.readline()
    seconds = time.perf_counter() - began
    client.read_launch_answer(answer)
    await launcher.wait()
    return seconds


async def _ordered(launcher: Launcher, spec: LaunchSpec) -> float:
    """Seconds that a worker waits for it."""
    began = time.perf_counter()
    await launcher.launch(spec)
    return time.perf_counter() - began
