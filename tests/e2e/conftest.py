"""The real CLI in an environment of its own, against a scripted Messages API on loopback."""

import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
import pytest

from claude.command import arguments
from claude.identity import conversation_id
from claude.process import ClaudeProcess
from demo.messages_api import MessagesApi
from shim.client import HostDirectory
from tests.e2e.observed import Told, tell
from tests.e2e.scene import OPTIONS, Scene, playing, the_claude

# Longer than any of these tests: no lease is renewed here.
LEASE_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class RealClaude:
    """The CLI, what it is started with, and the model it talks to: fill `api.script`."""

    executable: Path
    environment: Mapping[str, str]
    project: Path
    host: HostDirectory
    api: MessagesApi
    made: list[ClaudeProcess]

    def command(self, session_id: str, start: Literal["new", "resume"], extra: Sequence[str] = ()) -> list[str]:
        """The command line of a claude for this session."""
        return arguments(
            self.executable,
            conversation_id=conversation_id(session_id),
            resume=start,
            permission_mode="default",
            extra=extra,
        )

    def process(
        self,
        session_id: str = "one",
        *,
        start: Literal["new", "resume"] = "new",
        generation: int = 1,
        extra: Sequence[str] = (),
    ) -> ClaudeProcess:
        """A process to start; the fixture stops it."""
        process = ClaudeProcess(
            session_id,
            self.project,
            host=self.host,
            command=self.command(session_id, start, extra),
            environment=self.environment,
            generation=generation,
            lease_ttl_seconds=LEASE_SECONDS,
        )
        self.made.append(process)
        return process


@pytest.fixture
async def real_claude(host: HostDirectory, short_path: Path) -> AsyncIterator[RealClaude]:
    """The real CLI with a private home and a dummy key, in an empty project."""
    for name in ("home", "project", "tmp"):
        (short_path / name).mkdir()
    async with MessagesApi() as api:
        real = RealClaude(
            executable=the_claude(""),
            environment=private_environment(short_path, api.url),
            project=short_path / "project",
            host=host,
            api=api,
            made=[],
        )
        yield real
        for process in reversed(real.made):
            await process.stop(0)
            await process.detach()


def private_environment(directory: Path, api_url: str) -> dict[str, str]:
    """Nothing of the person who runs the tests reaches claude, and claude reaches nothing but the scripted API."""
    return {
        "PATH": os.defpath,
        "HOME": str(directory / "home"),
        "TMPDIR": str(directory / "tmp"),
        "CLAUDE_CODE_TMPDIR": str(directory / "tmp"),
        "CLAUDE_CONFIG_DIR": str(directory / "home" / ".claude"),
        "ANTHROPIC_API_KEY": "a-dummy-key",
        "ANTHROPIC_BASE_URL": api_url,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
    }


@pytest.fixture(scope="module")
async def place() -> AsyncIterator[Scene]:
    """A server, the model and the directories, shared by all tests of a file; one that needs others has its own."""
    async with playing() as scene:
        yield scene


@pytest.fixture
async def scene(place: Scene) -> AsyncIterator[Scene]:
    """The shared place with a worker that runs at the start of the test; its sessions are stopped at the end."""
    if place.worker is None or place.worker.returncode is not None:
        await place.new_worker()
    place.options = OPTIONS
    yield place
    async for row in place.sessions.list():
        with contextlib.suppress(Exception):
            await place.sessions.stop(row.session_id, timeout_seconds=0)


@pytest.fixture(scope="session")
async def observed() -> Told:
    """What a worker tells of one session, once for all tests that look at it."""
    return await tell()


def name_of(process: psutil.Process) -> str:
    """Its name; empty when it has just gone."""
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""
