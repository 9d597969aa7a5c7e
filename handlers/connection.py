"""Which Temporal a command talks to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from handlers import naming
from runtime.dev_server import DevServerPlan
from runtime.server_record import read_record
from runtime.settings import Settings
from runtime.temporal import connect_once
from workflows.client import Sessions
from workflows.line import known
from workflows.messages import SessionOptions

# Who sets one of these means that server, whatever else runs here.
_CHOSEN: Final = ("TEMPORAL_ADDRESS", "TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE")


async def session_named(name: str) -> tuple[Sessions, str]:
    """The sessions, and the id of the one that is meant; a name that can be none is refused before anybody is asked."""
    known(name)
    sessions = await connect(Settings.from_env())
    return sessions, await naming.find(sessions, name)


async def connect(settings: Settings, policy: SessionOptions | None = None) -> Sessions:
    """The sessions of the Temporal that the environment names, else of the one that `up` runs, else of the default."""
    chosen = any(settings.environ.get(name) for name in _CHOSEN)
    environ = settings.environ if chosen else _embedded(settings) or settings.environ
    return Sessions(await connect_once(environ=environ, keys=settings.encryption_keys), policy or options(settings))


def options(settings: Settings) -> SessionOptions:
    """The policy that new sessions get."""
    return SessionOptions(
        heartbeat_timeout_seconds=settings.heartbeat_timeout_seconds,
        host_away_seconds=settings.host_away_seconds,
        idle_seconds=settings.idle_seconds,
    )


def _embedded(settings: Settings) -> Mapping[str, str] | None:
    """How to reach the server of this state directory, if it runs: `up` may have been given another port."""
    record = read_record(DevServerPlan(state_directory=settings.state_directory).record)
    if record is None or record.process is None:
        return None
    return DevServerPlan(state_directory=settings.state_directory, port=record.port).connection
