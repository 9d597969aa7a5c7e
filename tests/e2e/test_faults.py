"""Everything real, and everything killed in turn: worker, claude, shim, server. The turn ends once, nothing stays."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import psutil
import pytest
from temporalio.client import Client

from demo.messages_api import Hold, MessagesApi, Text, Tool
from demo.stage import Stage, Workers, claudes_environment, directories, free_ports, workers
from demo.trace import Trace
from runtime import dev_server
from runtime.dev_server import DevServer, DevServerPlan
from runtime.settings import Settings
from runtime.temporal import connect_once
from shim.client import read_exit
from workflows.client import Sessions
from workflows.life import NOBODY_TO_ASK
from workflows.messages import Message, SessionOptions, SessionReport, TurnReport, workflow_id

PATIENCE_SECONDS = 60.0
# So long that no test passes by a heartbeat that ran out: what ends is seen to have ended.
OPTIONS = SessionOptions(heartbeat_timeout_seconds=600.0, host_away_seconds=60.0)


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """The condition's value, once it is true."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (value := await condition()):
            await asyncio.sleep(0.05)
    return value


@dataclass(kw_only=True)
class Scene:
    """One host with one worker, its server, and the model that claude talks to."""

    stage: Stage
    plan: DevServerPlan
    server: DevServer
    client: Client
    api: MessagesApi
    workers: Workers
    worker: asyncio.subprocess.Process | None = None

    @property
    def sessions(self) -> Sessions:
        return Sessions(self.client, OPTIONS)

    async def new_worker(self) -> None:
        self.worker = await self.workers.start()

    async def kill_worker(self) -> None:
        assert self.worker is not None
        await self.workers.kill(self.worker)

    async def open(self) -> SessionReport:
        session_id = f"fault-{uuid.uuid4().hex[:8]}"
        await self.sessions.open(str(self.stage.project), session_id=session_id)
        report = await self.sessions.wait_ready(session_id)
        assert report.status == "ready", report.note
        return report

    async def begin(self, session: SessionReport, prompt: str) -> None:
        """Send the prompt and return once the model has been asked for it."""
        await self.sessions.send(session.session_id, Message(turn_id=prompt, text=prompt))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.api.wait_asked(prompt)

    async def end(self, session: SessionReport, turn_id: str) -> TurnReport:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.sessions.wait_turn(session.session_id, turn_id)

    async def stop(self, session: SessionReport) -> SessionReport:
        report = await self.sessions.stop(session.session_id)
        assert self.trace(session).processes() == []
        return report

    def trace(self, session: SessionReport) -> Trace:
        return Trace(session_id=session.session_id, host=self.stage.host)


@pytest.fixture(scope="module")
async def place() -> AsyncIterator[Scene]:
    """A server, the model and the directories, shared by all tests of this file."""
    with directories() as stage:
        port, ui_port = free_ports()
        plan = DevServerPlan(state_directory=stage.host.state, port=port, ui_port=ui_port)
        async with MessagesApi() as api:
            server = await dev_server.start(plan)
            environment = stage.environment(plan.address, claudes_environment(stage, Settings.from_env({}), api.url))
            async with workers(stage, environment) as cast:
                client = await connect_once(environ=plan.connection)
                scene = Scene(stage=stage, plan=plan, server=server, client=client, api=api, workers=cast)
                try:
                    yield scene
                finally:
                    await cast.end()
                    await scene.server.stop()


@pytest.fixture
async def scene(place: Scene) -> AsyncIterator[Scene]:
    """The shared place with a worker that runs at the start of the test."""
    if place.worker is None or place.worker.returncode is not None:
        await place.new_worker()
    yield place
    async for row in place.sessions.list():
        with contextlib.suppress(Exception):
            await place.sessions.stop(row.session_id, timeout_seconds=0)


def held(prompt: str) -> list[Hold | Text | Tool]:
    """A turn that begins, waits for the test, and ends."""
    return [Text("I begin."), Tool("Bash", {"command": "echo one"}), Hold(), Text("Done.")]


async def test_a_worker_killed_in_mid_turn_is_replaced_and_the_turn_ends_once(scene: Scene) -> None:
    """SIGKILL for the worker: the same claude, one result, nothing asked of the model twice."""
    prompt = "worker dies"
    scene.api.script[prompt] = held(prompt)
    session = await scene.open()
    await scene.begin(session, prompt)
    await scene.kill_worker()
    await scene.new_worker()
    scene.api.release(prompt)
    turn = await scene.end(session, prompt)
    status = await scene.sessions.status(session.session_id)

    assert turn.ended is not None
    assert turn.ended.text == "Done."
    assert (status.pid, status.generation, status.restarts) == (session.pid, 1, 0)
    assert scene.trace(session).results() == 1
    assert scene.api.asked[prompt] == 2
    assert (await scene.stop(session)).status == "stopped"


async def test_a_turn_that_ends_while_no_worker_is_up_is_found(scene: Scene) -> None:
    """The result is in the journal before anybody looks; the next worker reads it there."""
    prompt = "nobody looks"
    scene.api.script[prompt] = held(prompt)
    session = await scene.open()
    await scene.begin(session, prompt)
    await scene.kill_worker()
    scene.api.release(prompt)

    async def has_result() -> bool:
        return scene.trace(session).results() == 1

    await until(has_result)
    await scene.new_worker()
    turn = await scene.end(session, prompt)

    assert turn.ended is not None
    assert turn.ended.text == "Done."
    assert scene.api.asked[prompt] == 2
    await scene.stop(session)


async def test_a_turn_that_ended_before_claude_died_unseen_is_found(scene: Scene) -> None:
    """Worker and then claude die, the turn had ended between: its result counts and is not run again."""
    prompt = "ended unseen"
    scene.api.script[prompt] = held(prompt)
    session = await scene.open()
    await scene.begin(session, prompt)
    await scene.kill_worker()
    scene.api.release(prompt)

    async def has_result() -> bool:
        return scene.trace(session).results() == 1

    await until(has_result)
    os.kill(session.pid, signal.SIGKILL)
    await scene.new_worker()
    turn = await scene.end(session, prompt)

    assert turn.ended is not None
    assert turn.ended.text == "Done."
    assert scene.api.asked[prompt] == 2
    assert scene.trace(session).results() == 1
    await scene.stop(session)


async def test_a_drained_worker_hands_over_and_claude_goes_on(scene: Scene) -> None:
    """SIGTERM ends the worker with 0, not claude; the next worker goes on with the turn."""
    prompt = "worker drains"
    scene.api.script[prompt] = held(prompt)
    session = await scene.open()
    await scene.begin(session, prompt)
    assert scene.worker is not None
    scene.worker.send_signal(signal.SIGTERM)
    async with asyncio.timeout(PATIENCE_SECONDS):
        code = await scene.worker.wait()
    lives = psutil.pid_exists(session.pid)
    await scene.new_worker()
    scene.api.release(prompt)
    turn = await scene.end(session, prompt)

    assert code == 0
    assert lives
    assert turn.state == "done"
    assert (await scene.sessions.status(session.session_id)).pid == session.pid
    await scene.stop(session)


@pytest.mark.parametrize("victim", ["claude", "shim"])
async def test_a_killed_process_is_replaced_and_the_turn_goes_on(scene: Scene, victim: str) -> None:
    """SIGKILL for claude or its shim in mid-turn: the next generation resumes, and the turn has one result."""
    prompt = f"{victim} dies"
    scene.api.script[prompt] = held(prompt)
    session = await scene.open()
    await scene.begin(session, prompt)
    shim = psutil.Process(session.pid).parent()
    assert shim is not None
    os.kill(session.pid if victim == "claude" else shim.pid, signal.SIGKILL)
    scene.api.release(prompt)
    turn = await scene.end(session, prompt)
    status = await scene.sessions.status(session.session_id)
    record = read_exit(scene.stage.host.session(session.session_id), 1)

    assert turn.state == "done"
    assert (status.generation, status.restarts, status.turns_done) == (2, 1, 1)
    assert status.pid != session.pid
    assert scene.trace(session).results() == 1
    assert record is not None
    assert (record.signal, record.why) == ((signal.SIGKILL, "exited") if victim == "claude" else (None, "lost"))
    await scene.stop(session)


async def test_a_claude_that_dies_while_idle_is_there_for_the_next_turn(scene: Scene) -> None:
    """The conversation goes on in a new process."""
    session = await scene.open()
    await scene.begin(session, "before")
    await scene.end(session, "before")
    os.kill(session.pid, signal.SIGKILL)
    await scene.begin(session, "after")
    turn = await scene.end(session, "after")

    assert turn.state == "done"
    # The request of the second turn carries the first one: it is the same conversation.
    assert "before" in str(scene.api.requests[-1]["messages"])
    await scene.stop(session)


async def test_a_server_killed_in_mid_turn_loses_nothing(scene: Scene) -> None:
    """SIGKILL for Temporal: claude works on, and the turn's result arrives when the server is back."""
    prompt = "server dies"
    scene.api.script[prompt] = held(prompt)
    session = await scene.open()
    await scene.begin(session, prompt)
    assert scene.server.record is not None
    server = psutil.Process(scene.server.record.pid)
    server.kill()
    await asyncio.to_thread(psutil.wait_procs, [server], PATIENCE_SECONDS)
    scene.api.release(prompt)

    async def has_result() -> bool:
        return scene.trace(session).results() == 1

    await until(has_result)
    scene.server = await dev_server.start(scene.plan)
    turn = await scene.end(session, prompt)

    assert turn.ended is not None
    assert turn.ended.text == "Done."
    assert (await scene.sessions.status(session.session_id)).pid == session.pid
    assert scene.api.asked[prompt] == 2
    await scene.stop(session)


async def test_a_terminated_workflow_leaves_no_process(scene: Scene) -> None:
    """Terminate in the Web UI asks nobody; the host notices and ends what belongs to no session any more."""
    session = await scene.open()
    await scene.client.get_workflow_handle(workflow_id(session.session_id)).terminate("by hand")

    async def nothing_left() -> bool:
        return not scene.trace(session).processes()

    await until(nothing_left)
    again = await open_again(scene, session)

    assert again.status == "ready"
    assert again.pid != session.pid
    await scene.stop(session)


async def open_again(scene: Scene, session: SessionReport) -> SessionReport:
    """The same session id once more, after its workflow came to a bad end."""
    await scene.sessions.open(str(scene.stage.project), session_id=session.session_id)
    return await scene.sessions.wait_ready(session.session_id)


async def test_a_tool_that_needs_leave_is_denied_and_the_turn_ends(scene: Scene) -> None:
    """Nobody can be asked yet: claude gets a reason in place of the tool, and nothing is run."""
    target = scene.stage.project / "made-by-claude"
    scene.api.script["make it"] = [Tool("Bash", {"command": f"touch {target}"}), Text("I could not.")]
    session = await scene.open()
    await scene.begin(session, "make it")
    turn = await scene.end(session, "make it")

    assert turn.ended is not None
    assert (turn.ended.text, turn.ended.tool_calls) == ("I could not.", 1)
    assert not target.exists()
    assert NOBODY_TO_ASK in str(scene.api.requests[-1]["messages"])
    await scene.stop(session)


async def test_two_sessions_do_not_disturb_each_other(scene: Scene) -> None:
    """One of two sessions in one project is stopped in mid-turn; the other one ends its turn."""
    scene.api.script["left"] = held("left")
    scene.api.script["right"] = held("right")
    left, right = await scene.open(), await scene.open()
    await asyncio.gather(scene.begin(left, "left"), scene.begin(right, "right"))
    await scene.stop(left)
    scene.api.release("right")
    turn = await scene.end(right, "right")

    assert left.pid != right.pid
    assert turn.state == "done"
    assert (await scene.sessions.wait_turn(left.session_id, "left")).state == "stopped"
    await scene.stop(right)
