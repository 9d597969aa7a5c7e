"""The Signal handler as a process of its own, between the scene's sessions and a fake of signal-cli's daemon."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.e2e.command_line import ROOT
from tests.e2e.scene import PATIENCE_SECONDS, Scene, playing
from tests.signal.daemon import FakeDaemon
from tests.signal.phone import Person

ALICE = "+15550001111"


@dataclass(kw_only=True)
class Post:
    """One account's handler, to be killed and started again, and Alice, who owns the sessions."""

    scene: Scene
    daemon: FakeDaemon
    alice: Person
    more: dict[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None
    started: int = 0

    async def start(self) -> None:
        """Start a handler; returns when it takes messages."""
        self.started += 1
        with (self.scene.stage.logs / f"signal-{self.started}.log").open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "handlers.cli", "signal"),
                cwd=self.scene.stage.root,
                env=self.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.daemon.until_subscribed()

    @property
    def environment(self) -> dict[str, str]:
        """What a handler is started with."""
        stage = self.scene.stage
        return {
            "PATH": os.defpath,
            "HOME": str(stage.root / "home"),
            "PYTHONPATH": str(ROOT),
            "TEMPORAL_ADDRESS": self.scene.plan.address,
            "TEMPORAL_CONFIG_FILE": os.devnull,
            "DURABLE_CLAUDE_STATE_DIRECTORY": str(stage.host.state),
            "DURABLE_CLAUDE_RUN_DIRECTORY": str(stage.host.run),
            "DURABLE_CLAUDE_ROOTS": str(stage.project),
            "DURABLE_CLAUDE_PROJECTS": f"app={stage.project}",
            "DURABLE_CLAUDE_SIGNAL_ACCOUNT": self.daemon.account,
            "DURABLE_CLAUDE_SIGNAL_DAEMON": self.daemon.endpoint,
            "DURABLE_CLAUDE_SIGNAL_OWNERS": ALICE,
            **self.more,
        }

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        # What comes within the milliseconds until the daemon knows is lost on the wire, as with the real one.
        await self.daemon.until(lambda: not any(client.subscriptions for client in self.daemon.clients))

    async def end(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.process.wait(), PATIENCE_SECONDS)
        except TimeoutError:
            await self.kill()
            raise

    @property
    def logged(self) -> str:
        """What all handlers so far have logged."""
        return "\n".join(path.read_text() for path in sorted(self.scene.stage.logs.glob("signal-*.log")))


@contextlib.asynccontextmanager
async def posting(**more: str) -> AsyncIterator[Post]:
    """A scene with a worker and a handler; at the end both are gone, and nothing was asked that no daemon takes."""
    async with playing() as scene, FakeDaemon(path=scene.stage.root / "signal-cli") as daemon:
        await scene.new_worker()
        post = Post(scene=scene, daemon=daemon, alice=daemon.person("Alice", number=ALICE), more=more)
        await post.start()
        try:
            yield post
        finally:
            if post.process is not None:
                await post.end()
    assert daemon.violations == []
