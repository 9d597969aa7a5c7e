"""Worker Versioning with real workers: a session lives through the change from no build to the first and to the next."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest

from demo.messages_api import Hold, Text
from demo.stage import Workers
from runtime.temporal import temporal_binary
from tests.e2e.scene import PATIENCE_SECONDS, Scene, playing, until
from workflows.messages import SessionReport, workflow_id


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """A server of the test's own: what is current there concerns no other test."""
    async with playing() as playing_scene:
        yield playing_scene


async def worker_of(scene: Scene, build_id: str) -> asyncio.subprocess.Process:
    """Start a worker of this build beside the one that runs."""
    versioned = {"DURABLE_CLAUDE_DEPLOYMENT_NAME": "claude", "DURABLE_CLAUDE_BUILD_ID": build_id}
    scene.workers._environment = {**scene.workers._environment, **versioned}
    workers: Workers = scene.workers
    return await workers.start()


async def drain(worker: asyncio.subprocess.Process) -> None:
    """End a worker as a deployment does; it hands its followers over."""
    worker.send_signal(signal.SIGTERM)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await worker.wait()


async def make_current(scene: Scene, build_id: str) -> None:
    """What docs/operations.md tells an operator to type, until the build has reported itself."""

    async def command() -> bool:
        process = await asyncio.create_subprocess_exec(
            *(str(temporal_binary()), "worker", "deployment", "set-current-version", "--yes"),
            *("--deployment-name", "claude", "--build-id", build_id, "--address", scene.plan.address),
            env={"HOME": str(scene.stage.root), "TEMPORAL_VERSION_CHECK_DISABLED": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        return await process.wait() == 0

    await until(command)


async def build_of(scene: Scene, session: SessionReport) -> str:
    """The build that took the session's latest step; empty for none."""
    description = await scene.client.get_workflow_handle(workflow_id(session.session_id)).describe()
    info = description.raw_description.workflow_execution_info
    return info.versioning_info.deployment_version.build_id or info.versioning_info.version.partition(".")[2]


async def test_a_living_session_moves_on_with_each_rollout(scene: Scene) -> None:
    """Unversioned, then one build, then the next in mid-turn: the same claude, each turn ends once, new ones start."""
    scene.api.script["long"] = [Text("I begin."), Hold(), Text("Done.")]
    scene.api.script["short"] = [Text("Short.")]
    await scene.new_worker()
    assert scene.worker is not None
    session = await scene.open()

    first = await worker_of(scene, "v1")
    await make_current(scene, "v1")
    await drain(scene.worker)
    await scene.begin(session, "long")
    on_first = await build_of(scene, session)

    await worker_of(scene, "v2")
    await make_current(scene, "v2")
    await drain(first)
    scene.api.release("long")
    turn = await scene.end(session, "long")
    another = await scene.open()
    await scene.begin(another, "short")
    answered = await scene.end(another, "short")
    status = await scene.sessions.status(session.session_id)

    assert (on_first, await build_of(scene, session), await build_of(scene, another)) == ("v1", "v2", "v2")
    assert turn.ended is not None
    assert turn.ended.text == "Done."
    assert answered.state == "done"
    assert (status.pid, status.generation, status.restarts) == (session.pid, 1, 0)
    assert scene.trace(session).results() == 1
    assert (await scene.stop(session)).status == "stopped"
    assert (await scene.stop(another)).status == "stopped"
