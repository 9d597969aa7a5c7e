"""Where the story plays: private directories, a server and workers of its own; nothing of it stays."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from claude.process import ClaudeProcess
from runtime import dev_server
from runtime.dev_server import DevServer, DevServerPlan
from runtime.settings import Settings
from shim.paths import HostDirectory
from workflows.attributes import KINDS

WORKER: Final = Path(__file__).parents[1] / "worker.py"
# A draining worker lets go of its sessions at once; the rest is the end of its connections.
_DRAIN_SECONDS: Final = 20.0
# Noticing the worker's death is most of the waiting, and on a stage nobody else needs the machine.
_HEARTBEAT_TIMEOUT_SECONDS: Final = "3"
# Above every generation that a session reaches, so that nobody can start what is being cleaned up.
_LAST_GENERATION: Final = 10**9 - 1
# Below those that the kernel gives to outgoing connections: a server that is killed finds its port free again.
_PORTS: Final = range(20_000, 32_768)
# Their Temporal is not the one of the stage: on its own, no build is current and nobody looks in with a key. Their
# worker's doors are their worker's.
_OF_THEIR_TEMPORAL: Final = (
    *("TEMPORAL_", "DURABLE_CLAUDE_ENCRYPTION_"),
    *("DURABLE_CLAUDE_DEPLOYMENT_NAME", "DURABLE_CLAUDE_BUILD_ID"),
    *("DURABLE_CLAUDE_HEALTH_ADDRESS", "DURABLE_CLAUDE_METRICS_ADDRESS"),
)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The directories of one telling."""

    root: Path

    @property
    def project(self) -> Path:
        """Where claude works."""
        return self.root / "project"

    @property
    def logs(self) -> Path:
        """What the workers wrote."""
        return self.root / "logs"

    @property
    def host(self) -> HostDirectory:
        """The host of the story."""
        return HostDirectory(state=self.root / "state", run=self.root / "run")

    def environment(self, address: str, claudes: Mapping[str, str]) -> dict[str, str]:
        """The environment of a worker: its directories, its Temporal, and what its claudes are to have."""
        return {
            **claudes,
            "TEMPORAL_ADDRESS": address,
            "TEMPORAL_CONFIG_FILE": os.devnull,
            "DURABLE_CLAUDE_STATE_DIRECTORY": str(self.host.state),
            "DURABLE_CLAUDE_RUN_DIRECTORY": str(self.host.run),
            "DURABLE_CLAUDE_ROOTS": str(self.project),
            "DURABLE_CLAUDE_HEARTBEAT_TIMEOUT_SECONDS": _HEARTBEAT_TIMEOUT_SECONDS,
        }


@contextlib.contextmanager
def directories() -> Iterator[Stage]:
    """The stage's directories; they stay when the story goes wrong, for their logs."""
    stage = Stage(root=Path(tempfile.mkdtemp(prefix="dc-demo-")).resolve())
    for path in (stage.project, stage.logs, stage.root / "home", stage.root / "tmp"):
        path.mkdir()
    try:
        yield stage
    except Exception:
        raise
    except BaseException:
        # Interrupted: nobody asks what went wrong.
        shutil.rmtree(stage.root)
        raise
    shutil.rmtree(stage.root)


@contextlib.asynccontextmanager
async def server(stage: Stage) -> AsyncIterator[DevServer]:
    """A Temporal of the stage's own, on ports that were free."""
    port, ui_port = free_ports()
    running = await dev_server.start(
        DevServerPlan(state_directory=stage.host.state, port=port, ui_port=ui_port, search_attributes=KINDS)
    )
    try:
        yield running
    finally:
        await running.stop()


def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on at this moment."""
    first, second = islice(filter(_is_free, random.sample(_PORTS, 20)), 2)
    return first, second


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Workers:
    """The workers of the story, one after the other."""

    def __init__(self, stage: Stage, environment: Mapping[str, str]) -> None:
        self._stage = stage
        self._environment = environment
        self._running: list[asyncio.subprocess.Process] = []
        self._started = 0

    async def start(self) -> asyncio.subprocess.Process:
        """Start `python worker.py`."""
        self._started += 1
        with self.log(self._started).open("wb") as log:
            worker = await asyncio.create_subprocess_exec(
                *(sys.executable, str(WORKER)),
                cwd=self._stage.root,
                env=dict(self._environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the story; it ends its workers itself.
                start_new_session=True,
            )
        self._running.append(worker)
        return worker

    def log(self, number: int) -> Path:
        """Where the number-th worker wrote."""
        return self._stage.logs / f"worker-{number}.log"

    async def kill(self, worker: asyncio.subprocess.Process) -> None:
        """SIGKILL, and wait until it is gone."""
        worker.kill()
        await worker.wait()

    async def end(self) -> None:
        """End those that still run, politely first."""
        for worker in self._running:
            if worker.returncode is None:
                worker.send_signal(signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(worker.wait(), _DRAIN_SECONDS)
            if worker.returncode is None:
                await self.kill(worker)


@contextlib.asynccontextmanager
async def workers(stage: Stage, environment: Mapping[str, str]) -> AsyncIterator[Workers]:
    """Workers for the story; at its end, however it comes, they are gone and so is every claude of the stage."""
    cast = Workers(stage, environment)
    try:
        yield cast
    finally:
        await cast.end()
        await end_sessions(stage)


async def end_sessions(stage: Stage) -> None:
    """End what workers that were killed left to nobody."""
    for session_id in stage.host.sessions():
        await ClaudeProcess(
            *(session_id, stage.project),
            host=stage.host,
            environment={},
            generation=_LAST_GENERATION,
            lease_ttl_seconds=1,
        ).stop(0)


def claudes_environment(stage: Stage, settings: Settings, api_url: str | None) -> dict[str, str]:
    """The person's own environment when they asked for their login, else one in which claude knows only the script."""
    if api_url is None:
        return {name: value for name, value in settings.environ.items() if not name.startswith(_OF_THEIR_TEMPORAL)}
    home = stage.root / "home"
    return {
        "PATH": settings.environ.get("PATH", os.defpath),
        "LANG": settings.environ.get("LANG", "C.UTF-8"),
        "HOME": str(home),
        "TMPDIR": str(stage.root / "tmp"),
        "CLAUDE_CONFIG_DIR": str(home / ".claude"),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DURABLE_CLAUDE_PASS_ENVIRONMENT": "DISABLE_AUTOUPDATER",
        "ANTHROPIC_API_KEY": "scripted",
        "ANTHROPIC_BASE_URL": api_url,
    }
