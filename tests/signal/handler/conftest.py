"""One handler with its people for each test, on one real server for all of them."""

import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from handlers.signal import handling, postman
from tests.signal.daemon import FakeDaemon
from tests.signal.handler.scene import Scene
from tests.workflow.conftest import ScriptedHost, client, environment, host
from workflows import courier

__all__ = ["client", "environment", "host"]

# The queue of a handler derives from its account: each test has its own, or it would be told of other tests' sessions.
_ACCOUNTS = (f"+1555{number}" for number in itertools.count(2000000))


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever tries again does it at once."""
    for module in (handling, postman):
        monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.01)
        monkeypatch.setattr(module, "LONGEST_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(handling, "TELL_AFTER_SECONDS", 0.1)
    # A handler that ends in a process that goes on leaves a poll behind, which may take a notice along.
    monkeypatch.setattr(courier, "NOTIFY_WITHIN", timedelta(seconds=1))


@pytest.fixture
async def daemon(short_path: Path) -> AsyncIterator[FakeDaemon]:
    """signal-cli for an account of the test's own."""
    async with FakeDaemon(next(_ACCOUNTS), path=short_path / "signal") as daemon:
        yield daemon
    assert daemon.violations == []


@pytest.fixture
async def island(daemon: FakeDaemon, short_path: Path) -> AsyncIterator[Scene]:
    """A scene without Temporal, whose handler does not run yet."""
    scene = Scene(daemon, ScriptedHost(), None, short_path)
    yield scene
    await scene.stop()


@pytest.fixture
async def stage(
    daemon: FakeDaemon, host: ScriptedHost, environment: WorkflowEnvironment, short_path: Path
) -> AsyncIterator[Scene]:
    """A scene whose handler does not run yet."""
    scene = Scene(daemon, host, environment, short_path)
    yield scene
    await scene.stop()


@pytest.fixture
async def scene(stage: Scene) -> Scene:
    """A scene whose handler runs."""
    await stage.start()
    return stage
