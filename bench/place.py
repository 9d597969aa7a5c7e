"""The private place of one bench: directories, a scripted Messages API, and a claude that sees nothing else."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from claude import command
from demo.messages_api import MessagesApi, Step, Text
from runtime.settings import Settings
from shim.client import NotRunning, ShimConnection
from shim.paths import HostDirectory

# Above every generation a bench issues, so that no session refuses the one who cleans up.
CLEANING = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Place:
    """What everything measured shares: same directory, same environment, same arguments."""

    project: Path
    api: MessagesApi
    asked_at: list[float]
    """When claude asked the API, on time.time()'s clock."""
    settings: Settings
    host: HostDirectory

    @property
    def environment(self) -> dict[str, str]:
        """What claude gets, under a shim as without one."""
        return command.environment(self.settings.environ, self.settings.pass_environment)

    def claude(self, conversation_id: str, resume: Literal["new", "resume"] = "new") -> list[str]:
        """The command line of a claude, under a shim as without one."""
        return command.arguments(
            command.find_executable(self.settings.executable, self.environment.get("PATH", "")),
            conversation_id=conversation_id,
            resume=resume,
            permission_mode=self.settings.permission_mode,
        )


@contextlib.asynccontextmanager
async def private_place(replies: Mapping[str, Sequence[Step]]) -> AsyncIterator[Place]:
    """A place that is gone afterwards, with every session in it. A prompt without a reply is answered shortly."""
    asked_at: list[float] = []

    def script(prompt: str) -> Sequence[Step]:
        asked_at.append(time.time())
        return replies.get(prompt, [Text("Hello.")])

    # Not under TMPDIR, which may be too long for sockets.
    root = Path(tempfile.mkdtemp(prefix="dc-bench-", dir="/tmp"))
    try:
        async with MessagesApi(script) as api:
            place = _place(root, api, asked_at)
            try:
                yield place
            finally:
                await stop_all(place.host)
    finally:
        shutil.rmtree(root, ignore_errors=True)


async def stop_all(host: HostDirectory) -> None:
    """End every session that still lives on this host."""
    for session_id in host.sessions():
        with contextlib.suppress(NotRunning):
            connection = await ShimConnection.attach(host.session(session_id), generation=CLEANING)
            await connection.stop(0)


def _place(root: Path, api: MessagesApi, asked_at: list[float]) -> Place:
    project = root / "project"
    for directory in (project, root / "home"):
        directory.mkdir()
    settings = Settings.from_env(_environ(root, api.url))
    host = HostDirectory(state=settings.state_directory, run=settings.run_directory)
    host.prepare()
    return Place(project=project, api=api, asked_at=asked_at, settings=settings, host=host)


def _environ(root: Path, api_url: str) -> dict[str, str]:
    """All that a worker of this place is told; of the caller's own environment only where programs are."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(root / "home"),
        "CLAUDE_CONFIG_DIR": str(root / "home" / ".claude"),
        "ANTHROPIC_BASE_URL": api_url,
        "ANTHROPIC_API_KEY": "none-is-needed",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        **_named("EXECUTABLE"),
        "DURABLE_CLAUDE_PASS_ENVIRONMENT": "DISABLE_AUTOUPDATER",
        "DURABLE_CLAUDE_STATE_DIRECTORY": str(root / "state"),
        "DURABLE_CLAUDE_RUN_DIRECTORY": str(root / "run"),
        "DURABLE_CLAUDE_ROOTS": str(root),
        "DURABLE_CLAUDE_LOG_FORMAT": "json",
    }


def _named(name: str) -> dict[str, str]:
    """The operator's own choice of claude is what is worth measuring."""
    variable = f"DURABLE_CLAUDE_{name}"
    return {variable: os.environ[variable]} if variable in os.environ else {}
