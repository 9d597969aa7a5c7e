"""`/live` and `/ready` of a real worker: well, hung, suspended, cut off, full, and unable to start anything."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import Process, create_subprocess_exec
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from activities import health as health_module
from activities.health import Health, Verdict
from activities.lease import LeaseKeeper
from demo.messages_api import Hold, Text
from demo.stage import claudes_environment, free_ports
from runtime.settings import Settings
from tests.e2e.scene import PATIENCE_SECONDS, Scene, until

# A worker that looks at itself often, and that a signal can hang: its handler runs in the thread of the loop.
PROGRAM = """
import signal, sys, time
from datetime import timedelta
import worker
from activities import health, self_check
self_check.CHECK_SECONDS = self_check.AGAIN_SECONDS = 0.2
self_check.ROUND_TRIP = timedelta(seconds=3)
health.LOOP_SECONDS, health.LEASE_SECONDS, health.STALE_SECONDS = 2.0, 8.0, 60.0
signal.signal(signal.SIGUSR1, lambda *_: time.sleep(6))
code = worker.main()
sys.stderr.flush()
worker.os._exit(code)
"""
ROOT = Path(__file__).parents[2]

Answer = tuple[int, dict[str, Any]]


class Watched:
    """One worker and its door."""

    def __init__(self, scene: Scene, **settings: str) -> None:
        self.scene = scene
        self.port, _ = free_ports()
        claudes = claudes_environment(scene.stage, Settings.from_env({}), scene.api.url)
        self._environment = {
            **scene.stage.environment(scene.plan.address, claudes),
            "PYTHONPATH": str(ROOT),
            "DURABLE_CLAUDE_HEALTH_ADDRESS": f"127.0.0.1:{self.port}",
            **settings,
        }
        self.process: Process | None = None

    async def start(self) -> None:
        with (self.scene.stage.logs / f"watched-{self.port}.log").open("wb") as log:
            self.process = await create_subprocess_exec(
                *(sys.executable, "-c", PROGRAM), env=self._environment, stdout=log, stderr=log, cwd=ROOT
            )

    async def end(self) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        try:
            return await asyncio.wait_for(self.process.wait(), 30)
        except TimeoutError:
            self.process.kill()
            raise

    async def get(self, path: str) -> Answer | None:
        """Status and document; None when nobody answers."""
        try:
            async with asyncio.timeout(1):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
                    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return None
        return int(head.split()[1]), json.loads(body)

    async def until(self, path: str, status: int, why: str = "") -> dict[str, Any]:
        """The document of the first answer with this status that gives this reason."""

        async def look() -> dict[str, Any] | None:
            found = await self.get(path)
            return found[1] if found and found[0] == status and why in found[1]["why"] else None

        try:
            document: dict[str, Any] = await until(look)
        except TimeoutError:
            raise AssertionError(f"{path} is not {status} {why!r}: {await self.get(path)}") from None
        return document


@pytest.fixture
async def watched(place: Scene) -> AsyncIterator[Watched]:
    """A worker with a door."""
    watched = Watched(place)
    await watched.start()
    yield watched
    await watched.end()


async def test_a_worker_that_is_well(place: Scene, watched: Watched) -> None:
    """Both are green, each thing is named, and the work of the self-check leaves nothing in Temporal."""
    ready = await watched.until("/ready", 200)
    live = await watched.until("/live", 200)

    async def nothing_is_left() -> bool:
        return [found async for found in place.client.list_activities("ExecutionStatus != 'Running'")] == []

    assert live["ok"]
    assert set(ready["checks"]) == {
        *(
            "event-loop",
            "workers",
            "state",
            "lease",
            "polls",
            "control-round-trip",
            "watch-round-trip",
            "read-round-trip",
            "processes",
        )
    }
    assert "this worker did work" in ready["checks"]["control-round-trip"]["text"]
    assert (await watched.get("/")) == (404, {"ok": False, "why": "there is nothing here"})
    assert await watched.end() == 0
    await until(nothing_is_left)


async def test_a_loop_that_hangs_is_seen(watched: Watched) -> None:
    """While it hangs /live says so, and says that it is over."""
    await watched.until("/ready", 200)
    assert watched.process is not None
    watched.process.send_signal(signal.SIGUSR1)
    hung = await watched.until("/live", 503)
    after = await watched.until("/live", 200)

    assert "the event loop turned" in hung["why"]
    assert after["why"] == ""


async def test_a_suspended_worker_answers_nothing(watched: Watched) -> None:
    """Which is what a probe's own timeout is for."""
    await watched.until("/live", 200)
    assert watched.process is not None
    watched.process.send_signal(signal.SIGSTOP)
    await until(lambda: _is_silent(watched))
    watched.process.send_signal(signal.SIGCONT)

    assert (await watched.until("/live", 200))["ok"]


async def _is_silent(watched: Watched) -> bool:
    return await watched.get("/live") is None


async def test_a_server_that_is_gone_makes_it_unready_and_no_more(place: Scene, watched: Watched) -> None:
    """A restart of the worker would mend nothing, so /live stays green; when the server is back, so is /ready."""
    await watched.until("/ready", 200)
    await place.kill_server()
    away = await watched.until("/ready", 503, "lease")
    live = await watched.until("/live", 200)
    await place.bring_server_back()
    back = await watched.until("/ready", 200)

    assert not away["checks"]["lease"]["ok"]
    assert live["ok"]
    assert back["ok"]


async def test_a_worker_without_a_server_lives_and_is_not_ready(place: Scene) -> None:
    """From its first second on, and it ends politely."""
    port, _ = free_ports()
    watched = Watched(place, TEMPORAL_ADDRESS=f"127.0.0.1:{port}")
    await watched.start()
    waiting = await watched.until("/ready", 503)
    live = await watched.until("/live", 200)

    assert await watched.end() == 0
    assert "connecting" in waiting["why"]
    assert live["ok"]


async def test_a_full_pool_of_slots_is_seen(place: Scene) -> None:
    """With room for one session, and that one in a turn, no other would be followed."""
    watched = Watched(place, DURABLE_CLAUDE_MAX_SESSIONS="1")
    await watched.start()
    await watched.until("/ready", 200)
    place.api.script["held"] = [Text("I begin."), Hold(), Text("Done.")]
    session = await place.open()
    await place.begin(session, "held")
    full = await watched.until("/ready", 503, "-watch was not done")
    place.api.release("held")
    await place.end(session, "held")
    free = await watched.until("/ready", 200)
    await place.stop(session)

    assert await watched.end() == 0
    assert "are all its slots taken?" in full["checks"]["watch-round-trip"]["text"]
    assert free["ok"]


async def test_processes_that_cannot_be_started_are_seen(place: Scene, watched: Watched) -> None:
    """Without the shim's program no session starts, whatever else is well."""
    await watched.until("/ready", 200)
    programs = place.stage.host.state / "shim"
    hidden = programs.with_name("shim-hidden")
    programs.rename(hidden)
    programs.touch()
    unable = await watched.until("/ready", 503, "process")
    programs.unlink()
    hidden.rename(programs)
    able = await watched.until("/ready", 200)

    assert not unable["checks"]["processes"]["ok"]
    assert able["checks"]["processes"]["ok"]


async def test_an_address_that_is_taken_ends_the_worker_in_words(place: Scene, watched: Watched) -> None:
    """It does not work unseen where it was to be seen."""
    await watched.until("/live", 200)
    second = Watched(place, DURABLE_CLAUDE_HEALTH_ADDRESS=f"127.0.0.1:{watched.port}")
    await second.start()
    assert second.process is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        code = await second.process.wait()
    said = (place.stage.logs / f"watched-{second.port}.log").read_text()

    assert code == 1
    assert f"nobody can listen at 127.0.0.1:{watched.port}" in said


async def test_a_worker_that_ended_alone_is_seen() -> None:
    """A Worker that failed while the process lives makes /live red; one that drains does not."""
    health, draining = Health(), Health()

    async def fail() -> None:
        raise RuntimeError("poll failed")

    draining.state = "draining"
    for seen in (health, draining):
        job = asyncio.create_task(fail())
        seen.watch("claude-sessions", job)
        await asyncio.wait([job])
        await asyncio.sleep(0)
    ended = health.answer("/live")

    assert ended is not None
    assert (ended[0], "poll failed" in ended[1]["why"]) == (False, True)
    assert draining.live()["workers"].ok


async def test_a_self_check_that_stopped_is_seen(place: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found long ago counts for nothing, and neither does what was never looked at."""
    health = Health()
    health.state = "working"
    health.keeper = LeaseKeeper(place.client, place.stage.host.lease, 600.0)
    health.expected = ("polls",)
    unchecked = health.ready()["polls"]
    health.say("polls", Verdict(ok=True, text="fine"))
    fresh = health.ready()["polls"]
    monkeypatch.setattr(health_module, "STALE_SECONDS", -1.0)
    stale = health.ready()["polls"]

    assert (unchecked.ok, fresh.ok, stale.ok) == (False, True, False)
