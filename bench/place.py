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
from typing import Final, Literal

from claude import command
from demo.messages_api import MessagesApi, Step, Text
from demo.stage import Stage, claudes_environment, end_sessions
from runtime.settings import Settings
from shim.paths import HostDirectory

_NOT_TOLD: Final = ("TEMPORAL_ADDRESS", "TEMPORAL_CONFIG_FILE", "DURABLE_CLAUDE_HEARTBEAT_TIMEOUT_SECONDS")


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
    stage = Stage(root=Path(tempfile.mkdtemp(prefix="dc-bench-", dir="/tmp")))
    try:
        async with MessagesApi(script) as api:
            place = _place(stage, api, asked_at)
            try:
                yield place
            finally:
                await end_sessions(stage)
    finally:
        shutil.rmtree(stage.root, ignore_errors=True)


def _place(stage: Stage, api: MessagesApi, asked_at: list[float]) -> Place:
    for directory in (stage.project, stage.root / "home", stage.root / "tmp"):
        directory.mkdir()
    settings = Settings.from_env(_environ(stage, api.url))
    stage.host.prepare()
    return Place(project=stage.project, api=api, asked_at=asked_at, settings=settings, host=stage.host)


def _environ(stage: Stage, api_url: str) -> dict[str, str]:
    """All that a worker of this place is told; of the caller's own environment only where programs are."""
    programs = Settings.from_env({"PATH": os.environ.get("PATH", os.defpath)})
    told = {
        **stage.environment("", claudes_environment(stage, programs, api_url)),
        **_named("EXECUTABLE"),
        "DURABLE_CLAUDE_LOG_FORMAT": "json",
    }
    # The address comes with the server, and what a setting's default does is what is measured.
    return {name: value for name, value in told.items() if name not in _NOT_TOLD}


def _named(name: str) -> dict[str, str]:
    """The operator's own choice of claude is what is worth measuring."""
    variable = f"DURABLE_CLAUDE_{name}"
    return {variable: os.environ[variable]} if variable in os.environ else {}
