"""Which Temporal a command talks to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from handlers import finding
from runtime import tracing
from runtime.dev_server import DevServerPlan
from runtime.host import host_id
from runtime.quiet import prepare_quiet_runtime
from runtime.server_record import read_record
from runtime.settings import Settings
from runtime.temporal import connect_once
from workflows.client import Sessions
from workflows.messages import SessionOptions
from workflows.reading import Here
from workflows.traced import traced

# Who sets one of these means that server, whatever else runs here.
_CHOSEN: Final = ("TEMPORAL_ADDRESS", "TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE")


async def session_named(name: str, *, ended: bool = False) -> tuple[Sessions, str]:
    """The sessions, and the id of the one that is meant; a name that can be none is refused before anybody is asked.

    With `ended` a directory in which no session lives means the newest one that did.
    """
    finding.check(name)
    sessions = await connect(Settings.from_env())
    return sessions, await finding.find(sessions, name, ended=ended)


async def connect(settings: Settings, policy: SessionOptions | None = None) -> Sessions:
    """The sessions of the Temporal that the environment names, else of the one that `up` runs, else of the default."""
    prepare_quiet_runtime()
    client = await connect_once(
        environ=environ_of(settings), keys=settings.encryption_keys, interceptors=traced(tracing.tracer())
    )
    return Sessions(client, policy or options(settings), here(settings))


def environ_of(settings: Settings) -> Mapping[str, str]:
    """Where that Temporal is, in its own variables."""
    chosen = any(settings.environ.get(name) for name in _CHOSEN)
    return settings.environ if chosen else _embedded(settings) or settings.environ


def options(settings: Settings) -> SessionOptions:
    """The policy that new sessions get."""
    return SessionOptions(
        heartbeat_timeout_seconds=settings.heartbeat_timeout_seconds,
        host_away_seconds=settings.host_away_seconds,
        idle_seconds=settings.idle_seconds,
    )


def here(settings: Settings) -> Here | None:
    """This host, if it ever had a worker."""
    if not (settings.state_directory / "host-id").exists():
        return None
    state = settings.state_directory
    return Here(host_id=host_id(state), state=state, run=settings.run_directory)


def _embedded(settings: Settings) -> Mapping[str, str] | None:
    """How to reach the server of this state directory, if it runs: `up` may have been given another port."""
    record = read_record(DevServerPlan(state_directory=settings.state_directory).record)
    if record is None or record.process is None:
        return None
    return DevServerPlan(state_directory=settings.state_directory, port=record.port).connection
