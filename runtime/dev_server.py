"""The embedded Temporal server: one per state directory, started or joined, with its state in a file there."""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from runtime.port import is_listening, listener
from runtime.search_attributes import AttributesRefused, register
from runtime.server_record import ServerRecord, read_record, write_record
from runtime.temporal import TemporalAway, TemporalRefused, connect_once, temporal_binary

LOOPBACK: Final = "127.0.0.1"

# A cold start takes about a second; the rest is for a machine that is busy with many.
_START_SECONDS = 60.0

# A server that was just killed holds its port a moment longer, and one that just started does not answer yet.
_UNDECIDED_SECONDS = 3.0

_PAUSE_SECONDS = 0.05

# The server picks some more ports by itself and panics when another process takes one of them first.
_TRIES = 3

# Enough of the server's log to see why it ended.
_TAIL_BYTES = 2000


class DevServerError(RuntimeError):
    """The embedded server cannot be had; the message says what a person can do."""


@dataclass(frozen=True, kw_only=True)
class DevServerPlan:
    """Which server is wanted."""

    state_directory: Path
    port: int = 7233
    ui_port: int = 8233
    search_attributes: Mapping[str, str] = field(default_factory=dict)
    """Name to type, such as Keyword; a server that lacks some gets them, also one that runs already."""
    binary: Path | None = field(default_factory=temporal_binary)

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def connection(self) -> dict[str, str]:
        """All of TEMPORAL_* that a client of this server wants: a profile of another server must not leak in."""
        return {"TEMPORAL_ADDRESS": self.address, "TEMPORAL_CONFIG_FILE": os.devnull}

    @property
    def database(self) -> Path:
        return self.state_directory / "temporal.db"

    @property
    def record(self) -> Path:
        return self.state_directory / "server.json"

    @property
    def log(self) -> Path:
        return self.state_directory / "server.log"


@dataclass(frozen=True, kw_only=True)
class DevServer:
    """A server that answers. One that is not this state directory's has no record, and is never stopped."""

    plan: DevServerPlan
    record: ServerRecord | None
    was_running: bool

    @property
    def ui_address(self) -> str | None:
        """Where the Web UI is; None when the server is somebody else's and may have none."""
        return f"http://{LOOPBACK}:{self.record.ui_port}" if self.record else None

    @property
    def is_running(self) -> bool:
        """Whether the process of this state directory's server lives."""
        return self.record is not None and self.record.process is not None

    async def stop(self) -> None:
        """End this state directory's server and wait until it is gone; somebody else's stays."""
        if self.record is not None:
            await asyncio.to_thread(self.record.end)


async def start(plan: DevServerPlan) -> DevServer:
    """Return a server that answers at the plan's address: the one that runs there, else a new one.

    A new one outlives this process, however that ends, and the next start() joins it.
    """
    plan.state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with _alone(plan):
        server = await _found_or_launched(plan)
        # Not by the flag of `start-dev`: that does nothing for a database that is there already.
        try:
            await _register(plan)
        except DevServerError:
            if not server.was_running:
                await server.stop()
            raise
        return server


async def _found_or_launched(plan: DevServerPlan) -> DevServer:
    record = read_record(plan.record)
    if record is not None and await _is_joinable(plan, record):
        return DevServer(plan=plan, record=record, was_running=True)
    if another := await _another(plan):
        return another
    if await is_listening(LOOPBACK, plan.ui_port):
        raise DevServerError(_taken(plan.ui_port, "the Web UI"))
    return await _launch(plan)


@asynccontextmanager
async def _alone(plan: DevServerPlan) -> AsyncIterator[None]:
    """Let one process at a time look and start: two that start at once end with one server."""
    with (plan.state_directory / "server.lock").open("wb") as file:
        while not _locks(file.fileno()):
            await asyncio.sleep(_PAUSE_SECONDS)
        yield


def _locks(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _is_joinable(plan: DevServerPlan, record: ServerRecord) -> bool:
    if record.process is None:
        return False
    if record.port != plan.port:
        raise DevServerError(
            f"the Temporal server of {str(plan.state_directory)!r} runs on port {record.port} already (pid {record.pid}): "
            f"ask for that port, or stop it first"
        )
    return await _answers(plan, record)


async def _another(plan: DevServerPlan) -> DevServer | None:
    """Return the server that has the port although it is not this state directory's; None when the port is free."""
    deadline = time.monotonic() + _UNDECIDED_SECONDS
    while await is_listening(LOOPBACK, plan.port):
        try:
            await connect_once(environ=plan.connection)
        except (TemporalAway, TemporalRefused) as error:
            if time.monotonic() > deadline:
                raise DevServerError(f"{_taken(plan.port, 'Temporal')} ({error})") from error
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            return DevServer(plan=plan, record=None, was_running=True)
    return None


async def _launch(plan: DevServerPlan) -> DevServer:
    if plan.binary is None:
        raise DevServerError("the program `temporal` is missing: install durable-claude[embedded], or the Temporal CLI")
    for _ in range(_TRIES):
        record = _spawn(plan, plan.binary)
        try:
            write_record(plan.record, record)
        except OSError:
            # Nobody would find it again.
            await asyncio.to_thread(record.end)
            raise
        if await _answers(plan, record):
            return DevServer(plan=plan, record=record, was_running=False)
    raise DevServerError(f"the Temporal server ended while starting{_tail(plan)}")


def _spawn(plan: DevServerPlan, binary: Path) -> ServerRecord:
    if plan.log.exists():
        # The log of the last run tells why it ended.
        plan.log.replace(plan.log.with_suffix(".log.1"))
    arguments = [str(binary), *_arguments(plan)]
    # Nothing of our environment: no profile of another server, no question home about newer versions.
    environment = {"HOME": str(plan.state_directory), "PATH": os.defpath, "TEMPORAL_VERSION_CHECK_DISABLED": "1"}
    with plan.log.open("wb") as log:
        # Not subprocess: this child outlives whoever holds an object for it. A session of its own, since Ctrl-C in
        # the terminal is meant for us alone.
        pid = os.posix_spawn(binary, arguments, environment, file_actions=_outputs(log.fileno()), setsid=True)
    born = psutil.Process(pid).create_time()
    return ServerRecord(pid=pid, born=born, database=str(plan.database), port=plan.port, ui_port=plan.ui_port)


def _outputs(log: int) -> list[tuple[int, int, str, int, int] | tuple[int, int, int]]:
    return [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, log, 1),
        (os.POSIX_SPAWN_DUP2, log, 2),
    ]


def _arguments(plan: DevServerPlan) -> list[str]:
    return [
        *("server", "start-dev", "--ip", LOOPBACK, "--port", str(plan.port), "--ui-port", str(plan.ui_port)),
        *("--db-filename", str(plan.database), "--log-level", "error", "--ui-disable-news-fetch"),
        # Fully synced as before, but a commit writes one file and not three: every step of a turn waits for one.
        *("--sqlite-pragma", "journal_mode=wal"),
        # By default a timer may fire a second late, and the retry that hands a turn to the next worker is a timer.
        *("--dynamic-config-value", 'history.timerProcessorMaxTimeShift="5ms"'),
    ]


async def _register(plan: DevServerPlan) -> None:
    if not plan.search_attributes:
        return
    try:
        await register(await connect_once(environ=plan.connection), plan.search_attributes)
    except (TemporalAway, TemporalRefused, AttributesRefused) as error:
        raise DevServerError(f"the Temporal server at {plan.address} cannot hold sessions: {error}") from error


async def _answers(plan: DevServerPlan, record: ServerRecord) -> bool:
    """Wait until this server, and no other that took its port, answers; False when it ends instead."""
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not await _is_answering(plan) and record.process is not None:
                await asyncio.sleep(_PAUSE_SECONDS)
    except TimeoutError:
        await asyncio.to_thread(record.end)
        raise DevServerError(f"the Temporal server did not answer within {_START_SECONDS:g} s{_tail(plan)}") from None
    return record.process is not None


async def _is_answering(plan: DevServerPlan) -> bool:
    try:
        await connect_once(environ=plan.connection)
    except (TemporalAway, TemporalRefused):
        # A server that has just opened its port may not know its own namespace yet.
        return False
    return True


def _tail(plan: DevServerPlan) -> str:
    try:
        text = plan.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()
    except OSError:
        text = ""
    return f"; its log {str(plan.log)!r} ends with:\n{text}" if text else f"; see {str(plan.log)!r}"


def _taken(port: int, wanted_by: str) -> str:
    return f"port {port}, wanted for {wanted_by}, is taken by {listener(port)}: end that, or ask for another port"
