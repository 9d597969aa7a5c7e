"""`up`: the embedded Temporal server and a worker in one process."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import Any, Final

import structlog

import worker
from handlers import console
from handlers.alone import alone
from handlers.connection import options
from runtime import dev_server, telling, tracing
from runtime.dev_server import DevServer, DevServerPlan
from runtime.host import host_id
from runtime.settings import Settings
from runtime.signals import stop_signals
from runtime.temporal import connect_once
from workflows.client import Sessions
from workflows.traced import traced

# A server that died is missed by nobody within this time: everything that needs it tries again for longer.
_LOOK_SECONDS: Final = 1.0
# More names than this in a sentence help nobody.
_NAMED: Final = 5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Up:
    """What is up, for whoever started it."""

    address: str
    ui_address: str | None
    joined: bool
    state_directory: str
    host_id: str
    sessions: list[str]


async def up(settings: Settings, plan: DevServerPlan, *, as_json: bool) -> None:
    """Serve until a signal says stop; claude processes live on, the server is stopped unless it is somebody else's."""
    # The first one to end would take the other's server away.
    taken = (
        f"`durable-claude up` runs already for {str(settings.state_directory)!r}: use it, stop it first, "
        "or set DURABLE_CLAUDE_STATE_DIRECTORY to another directory"
    )
    with alone(settings.state_directory / "up.lock", taken):
        telling.prepare(settings, worker.host_of(settings).host_id)
        stopping = stop_signals()
        server = Server(plan)
        try:
            joined = await server.start()
            client = await connect_once(
                environ=plan.connection, keys=settings.encryption_keys, interceptors=traced(tracing.tracer())
            )
            sessions = Sessions(client, options(settings))
            async with (
                worker.seen_from_outside(settings) as health,
                worker.working(client, settings, health) as workers,
            ):
                _announce(await _described(joined, settings, sessions), as_json=as_json)
                await _first(workers, stopping, server)
            _say_goodbye(await _living(sessions), settings)
        finally:
            await server.stop()


class Server:
    """The embedded server, brought back when it dies."""

    def __init__(self, plan: DevServerPlan) -> None:
        self._plan = plan
        self._current: DevServer | None = None

    async def start(self) -> DevServer:
        """Start it, or join the one that runs."""
        self._current = await dev_server.start(self._plan)
        return self._current

    @property
    def is_lost(self) -> bool:
        """Whether it was ours and is gone; somebody else's is not ours to bring back."""
        return self._current is not None and self._current.record is not None and not self._current.is_running

    async def keep(self) -> None:
        """Start it again whenever it is gone; raises DevServerError when that cannot be."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self.is_lost:
                log.warning("the Temporal server is gone: starting it again")
                await self.start()
                log.info("the Temporal server is back")

    async def stop(self) -> None:
        """Stop it, if it is ours."""
        if self._current is not None:
            await self._current.stop()


async def _first(workers: asyncio.Future[object], stopping: asyncio.Future[None], server: Server) -> None:
    """Return at a signal; raise what ends the workers or keeps the server away."""
    keeping = asyncio.create_task(server.keep())
    try:
        jobs: list[asyncio.Future[Any]] = [workers, stopping, keeping]
        await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        for job in (workers, keeping):
            if job.done():
                await job
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def _described(server: DevServer, settings: Settings, sessions: Sessions) -> Up:
    return Up(
        address=server.plan.address,
        ui_address=server.ui_address,
        joined=server.was_running,
        state_directory=str(settings.state_directory),
        host_id=host_id(settings.state_directory),
        sessions=await _living(sessions),
    )


async def _living(sessions: Sessions) -> list[str]:
    return [row.session_id async for row in sessions.list()]


def _announce(up: Up, *, as_json: bool) -> None:
    if as_json:
        console.document(asdict(up))
        return
    server = "joined: it ran already" if up.joined else "started"
    console.result(f"Temporal  {up.address} ({server})")
    console.result(f"Web UI    {up.ui_address or 'where that server has it'}")
    console.result(f"state     {up.state_directory}")
    console.result(f"host      {up.host_id}")
    if up.sessions:
        console.result(f"sessions  {_count(up.sessions)} taken over")
    # Commands find a server of ours by the state directory; somebody else's has to be named.
    named = "" if up.ui_address else f"TEMPORAL_ADDRESS={up.address} "
    console.result(
        f"next      {named}durable-claude start PATH --message 'what claude should do'   (in another terminal)"
    )
    console.result("stop      Ctrl-C; sessions live on until the next `up`")
    console.out.file.flush()


def _say_goodbye(living: list[str], settings: Settings) -> None:
    if not living:
        console.note("No session is left open.")
        return
    console.note(
        f"{_count(living)} live on. The next `durable-claude up` takes them over; "
        f"after {settings.lease_ttl_seconds / 60:g} minutes without one their processes end, and it resumes them. "
        f"To end one for good: `durable-claude stop {living[0]}` while `up` runs."
    )


def _count(sessions: list[str]) -> str:
    named = ", ".join(sessions[:_NAMED]) + (", …" if len(sessions) > _NAMED else "")
    return f"{len(sessions)} session{'' if len(sessions) == 1 else 's'} ({named})"
