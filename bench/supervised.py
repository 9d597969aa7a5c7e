"""A program under a shim, without Temporal: what the shim by itself is measured with."""

from __future__ import annotations

import contextlib
import time
import uuid
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
    """Launch the program as a worker does; afterwards nothing of it is left, on disk neither."""
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
        began = time.perf_counter()
        await (launcher or Launcher(place.host)).launch(spec)
        seconds = time.perf_counter() - began
        connection = await ShimConnection.attach(session, generation=1)
        yield Supervised(connection=connection, launch_seconds=seconds)
    finally:
        with contextlib.suppress(NotRunning):
            await (await ShimConnection.attach(session, generation=1)).stop(0)
        client.delete(session)
