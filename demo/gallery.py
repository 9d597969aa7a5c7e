"""A host with a session in each state that a person meets: everything real but the model."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from temporalio.client import Client

from demo.messages_api import MessagesApi, Step, Text, Tool
from demo.stage import Stage, Workers, claudes_environment, directories, server, workers
from runtime.dev_server import DevServer
from runtime.settings import Settings
from runtime.temporal import connect_once
from workflows.client import Sessions
from workflows.messages import Message, SessionOptions, SessionReport, Status

# Shown in lists, so it is no machine's.
_HOST: Final = "workbench-1f0c2a9b"
# A busy machine gets this long for a session to come into its state.
_PATIENCE_SECONDS: Final = 90.0
_PAUSE_SECONDS: Final = 0.1

# claude runs `echo` and `sleep` without asking, and asks before `rm` and `make`.
_WORK: Final = "echo 212 of 480 tests passed; sleep 600"
_REPLIES: Final[Mapping[str, Sequence[Step]]] = {
    "Why does the checkout test fail?": [Text("The test database has no table `orders`.")],
    "Run the tests.": [Text("I run them."), Tool("Bash", {"command": _WORK}), Text("All passed.")],
    "Run the short tests.": [
        Text("I run them."),
        Tool("Bash", {"command": "echo 40 of 40 tests passed"}),
        Text("All 40 short tests passed."),
    ],
    "Clean up and build it again.": [Tool("Bash", {"command": "rm -r build && make all"}), Text("Built again.")],
}


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """What can be looked at."""

    server: DevServer
    client: Client
    sessions: Sessions
    projects: Path
    environment: Mapping[str, str]
    """What a command needs to find them."""

    async def reaches(self, session_id: str, status: Status) -> SessionReport:
        """The session's report once it has this status."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while (report := await self.sessions.status(session_id)).status != status:
                await asyncio.sleep(_PAUSE_SECONDS)
        return report


@contextlib.asynccontextmanager
async def gallery() -> AsyncIterator[Gallery]:
    """The gallery with all its sessions; nothing of it stays."""
    with directories() as stage:
        stage.host.state.mkdir(parents=True, exist_ok=True)
        (stage.host.state / "host-id").write_text(_HOST + "\n")
        async with MessagesApi(_REPLIES) as api, server(stage) as running:
            claudes = claudes_environment(stage, Settings.from_env({}), api.url)
            async with workers(stage, stage.environment(running.plan.address, claudes)) as cast:
                client = await connect_once(environ=running.plan.connection)
                shown = Gallery(
                    server=running,
                    client=client,
                    sessions=Sessions(client),
                    projects=Path(stage.project),
                    environment=_commands(stage),
                )
                await _hang(shown, stage, cast)
                yield shown


def _commands(stage: Stage) -> dict[str, str]:
    """A person's own environment is none of it."""
    return {
        "PATH": os.defpath,
        "HOME": str(stage.root / "home"),
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "DURABLE_CLAUDE_STATE_DIRECTORY": str(stage.host.state),
        "DURABLE_CLAUDE_RUN_DIRECTORY": str(stage.host.run),
        "COLUMNS": "110",
    }


async def _hang(shown: Gallery, stage: Stage, cast: Workers) -> None:
    await cast.start()
    for fill in (_hibernated, _failed, _stopped, _ready, _busy, _asking):
        await fill(shown, stage)


async def _open(shown: Gallery, stage: Stage, name: str, *texts: str, idle_seconds: float = 0.0) -> str:
    """A session in a project of its own, after some turns."""
    project = Path(stage.project) / name
    project.mkdir()
    session_id = f"{name}-{len(name):x}f9a2c"
    await Sessions(shown.client, SessionOptions(idle_seconds=idle_seconds)).open(str(project), session_id=session_id)
    await shown.reaches(session_id, "ready")
    for number, text in enumerate(texts, 1):
        await shown.sessions.send(session_id, Message(turn_id=f"turn-{number}", text=text))
        await shown.sessions.wait_turn(session_id, f"turn-{number}")
    return session_id


async def _hibernated(shown: Gallery, stage: Stage) -> None:
    await shown.reaches(await _open(shown, stage, "notes", "Good morning.", idle_seconds=1.0), "hibernated")


async def _failed(shown: Gallery, stage: Stage) -> None:
    session_id = "gone-5f9a2c"
    await shown.sessions.open(str(stage.project / "gone"), session_id=session_id)
    await shown.reaches(session_id, "failed")


async def _stopped(shown: Gallery, stage: Stage) -> None:
    await shown.sessions.stop(await _open(shown, stage, "website", "Why does the checkout test fail?"))


async def _ready(shown: Gallery, stage: Stage) -> None:
    await _open(shown, stage, "compiler", "Good morning.", "Why does the checkout test fail?")


async def _busy(shown: Gallery, stage: Stage) -> None:
    session_id = await _open(shown, stage, "shop", "Why does the checkout test fail?")
    await shown.sessions.send(session_id, Message(turn_id="turn-2", text="Run the tests."))
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while "480 tests" not in str((await shown.sessions.doing(session_id)).get("doing")):
            await asyncio.sleep(_PAUSE_SECONDS)


async def _asking(shown: Gallery, stage: Stage) -> None:
    session_id = await _open(shown, stage, "api", "Good morning.")
    await shown.sessions.send(session_id, Message(turn_id="turn-2", text="Clean up and build it again."))
    await shown.reaches(session_id, "awaiting_approval")
