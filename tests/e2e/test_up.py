"""`durable-claude up`: one command brings up everything, and its death costs nothing."""

import asyncio
import contextlib
import json
import signal
import socket
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from demo.messages_api import MessagesApi, Text
from demo.stage import Stage, claudes_environment, directories, end_sessions, free_ports, server
from runtime.dev_server import DevServerPlan
from runtime.server_record import read_record
from runtime.settings import Settings
from tests.e2e.command_line import CommandLine, Ran, finish, line_with


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A state directory of its own, two free ports, and the command line."""

    stage: Stage
    port: int
    ui_port: int
    run: CommandLine
    begun: list[Process]

    async def up(self) -> tuple[Process, dict[str, Any]]:
        """Begin `up`; returns when it says that it is up."""
        process = await self.run.begin("up", "--port", str(self.port), "--ui-port", str(self.ui_port), "--json")
        self.begun.append(process)
        assert process.stdout is not None
        return process, json.loads(await line_with(process.stdout, "address"))

    async def up_refused(self) -> Ran:
        return await self.run("up", "--port", str(self.port), "--ui-port", str(self.ui_port))

    def server(self) -> psutil.Process | None:
        record = read_record(DevServerPlan(state_directory=self.stage.host.state).record)
        return record.process if record else None


@pytest.fixture
async def ground(strangers: object) -> AsyncIterator[Ground]:
    async with new_ground() as ground:
        yield ground


@contextlib.asynccontextmanager
async def new_ground() -> AsyncIterator[Ground]:
    async with AsyncExitStack() as stack:
        stage = stack.enter_context(directories())
        api = await stack.enter_async_context(MessagesApi({"greet": [Text("Hello there.")]}))
        port, ui_port = free_ports()
        environment = stage.environment("", claudes_environment(stage, Settings.from_env({}), api.url))
        del environment["TEMPORAL_ADDRESS"], environment["TEMPORAL_CONFIG_FILE"]
        ground = Ground(stage=stage, port=port, ui_port=ui_port, run=CommandLine(stage, environment), begun=[])
        try:
            yield ground
        finally:
            await clear(ground)


async def clear(ground: Ground) -> None:
    """End what a failed test leaves."""
    for process in ground.begun:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if record := read_record(DevServerPlan(state_directory=ground.stage.host.state).record):
        record.end()
    await end_sessions(ground.stage)


@dataclass(frozen=True, kw_only=True)
class Met:
    """What `up` said of a port that a stranger had, and the server it started all the same."""

    port: int
    refused: Ran
    server: psutil.Process | None


@pytest.fixture(scope="module")
async def strangers() -> AsyncIterator[dict[str, asyncio.Task[Met]]]:
    """Begun with the module's first test: `up` gives a silent stranger some seconds to turn out to be Temporal."""
    meeting = {name: asyncio.create_task(meet_a_stranger(name)) for name in ("port", "ui_port")}
    yield meeting
    for task in meeting.values():
        task.cancel()
    await asyncio.gather(*meeting.values(), return_exceptions=True)


async def meet_a_stranger(name: str) -> Met:
    async with new_ground() as ground:
        port: int = getattr(ground, name)
        with socket.socket() as stranger:
            stranger.bind(("127.0.0.1", port))
            stranger.listen()
            refused = await ground.up_refused()
        return Met(port=port, refused=refused, server=ground.server())


async def test_up_killed_and_started_again_has_its_sessions(ground: Ground) -> None:
    """After kill -9 the server and claude live on, and the next `up` joins the one and takes the other over."""
    first, said = await ground.up()
    assert said["joined"] is False
    assert said["sessions"] == []
    before = (await ground.run("start", ".", "--name", "lasting", "--json")).json

    first.kill()
    await first.wait()
    assert ground.server() is not None
    assert psutil.pid_exists(before["pid"])

    second, said = await ground.up()
    sent = await ground.run("send", "lasting", "greet")
    after = (await ground.run("status", "lasting", "--json")).json
    assert (said["joined"], said["sessions"]) == (True, ["lasting"])
    assert (sent.code, sent.stdout) == (0, "Hello there.\n")
    assert (after["pid"], after["restarts"]) == (before["pid"], 0)
    assert (await ground.run("stop", "lasting")).code == 0
    second.send_signal(signal.SIGINT)
    assert (await finish(second)).code == 0


async def test_ctrl_c_stops_the_server_and_leaves_claude_alone(ground: Ground) -> None:
    """Ctrl-C ends the server, says which sessions live on, and a new server has them from its file."""
    first, _ = await ground.up()
    before = (await ground.run("start", ".", "--name", "lasting", "--json")).json
    first.send_signal(signal.SIGINT)
    ended = await finish(first)

    assert ended.code == 0
    assert "1 session (lasting)" in ended.stderr
    assert ground.server() is None
    assert psutil.pid_exists(before["pid"])

    second, said = await ground.up()
    assert (said["joined"], said["sessions"]) == (False, ["lasting"])
    sent = await ground.run("send", "lasting", "greet")
    after = (await ground.run("status", "lasting", "--json")).json
    assert (sent.stdout, after["pid"]) == ("Hello there.\n", before["pid"])
    assert (await ground.run("stop", "lasting")).code == 0
    second.send_signal(signal.SIGTERM)
    assert (await finish(second)).code == 0
    assert ground.server() is None


async def test_a_server_that_dies_is_brought_back(ground: Ground) -> None:
    """`up` starts its server again when that is killed, and the session goes on."""
    process, _ = await ground.up()
    assert (await ground.run("start", ".", "--name", "lasting")).code == 0
    found = ground.server()
    assert found is not None
    found.kill()
    assert process.stderr is not None
    await line_with(process.stderr, "starting it again")

    await line_with(process.stderr, "the Temporal server is back")
    sent = await ground.run("send", "lasting", "greet")
    assert (sent.code, sent.stdout) == (0, "Hello there.\n")
    assert (await ground.run("stop", "lasting")).code == 0
    process.send_signal(signal.SIGTERM)
    assert (await finish(process)).code == 0


async def test_a_second_up_is_refused(ground: Ground) -> None:
    """The state directory has one `up` at a time: the first one to end would take the other's server away."""
    first, _ = await ground.up()
    second = await ground.up_refused()
    first.send_signal(signal.SIGTERM)

    assert (second.code, second.is_one_sentence) == (2, True), second
    assert "runs already" in second.stderr
    assert (await finish(first)).code == 0


@pytest.mark.parametrize("name", ["port", "ui_port"])
async def test_a_port_that_a_stranger_has_is_said(strangers: dict[str, asyncio.Task[Met]], name: str) -> None:
    """A taken port is named, with who has it and what to do; nothing is started."""
    met = await strangers[name]

    assert (met.refused.code, met.refused.is_one_sentence) == (4, True), met.refused
    assert f"port {met.port}" in met.refused.stderr
    assert met.server is None


async def test_up_says_when_its_metrics_cannot_be_served(ground: Ground) -> None:
    """A taken port is one sentence, before a server is started."""
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        address = f"127.0.0.1:{stranger.getsockname()[1]}"
        refused = await ground.run("up", "--port", str(ground.port), DURABLE_CLAUDE_METRICS_ADDRESS=address)

    assert (refused.code, refused.is_one_sentence) == (2, True), refused
    assert address in refused.stderr
    assert "DURABLE_CLAUDE_METRICS_ADDRESS" in refused.stderr
    assert ground.server() is None


async def test_a_server_of_somebody_else_is_joined_and_left_running(ground: Ground) -> None:
    """A Temporal that answers on the port is used, and still runs when `up` has ended."""
    with directories() as other:
        async with server(other) as running:
            process = await ground.run.begin("up", "--port", str(running.plan.port), "--json")
            ground.begun.append(process)
            assert process.stdout is not None
            said = json.loads(await line_with(process.stdout, "address"))
            process.send_signal(signal.SIGINT)
            ended = await finish(process)

            assert (said["joined"], said["ui_address"]) == (True, None)
            assert ended.code == 0
            assert running.is_running
