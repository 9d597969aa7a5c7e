"""The embedded server, with the real binary: started, joined, outliving its starter, never a stranger's end."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client

from runtime.dev_server import DevServer, DevServerError, DevServerPlan, start
from runtime.port import is_listening
from runtime.server_record import ServerRecord, read_record, write_record
from runtime.temporal import connect_once

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def process_of(server: DevServer) -> psutil.Process:
    assert server.record is not None
    process = server.record.process
    assert process is not None
    return process


@pytest.fixture
async def plan(tmp_path: Path) -> AsyncIterator[DevServerPlan]:
    """A plan on free ports; whatever server its state directory has is ended afterwards."""
    plan = DevServerPlan(
        state_directory=tmp_path / "state",
        port=free_port(),
        ui_port=free_port(),
        search_attributes={"SessionStatus": "Keyword"},
    )
    yield plan
    if record := read_record(plan.record):
        await asyncio.to_thread(record.end)


async def client_of(plan: DevServerPlan) -> Client:
    return await connect_once(environ=plan.connection)


async def test_a_new_server_answers_and_stops(plan: DevServerPlan) -> None:
    """The server answers on loopback with its search attributes and Web UI; after stop neither process nor port is left."""
    server = await start(plan)

    process = process_of(server)
    client = await client_of(plan)
    attributes = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace="default"))
    page = await asyncio.to_thread(urllib.request.urlopen, str(server.ui_address), timeout=30)
    with page:
        assert page.status == 200
    assert attributes.custom_attributes["SessionStatus"] == IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    assert {connection.laddr[0] for connection in process.net_connections("tcp")} == {"127.0.0.1"}
    assert not server.was_running

    await server.stop()
    await server.stop()

    assert not server.is_running
    assert not psutil.pid_exists(process.pid)
    assert not await is_listening("127.0.0.1", plan.port)


async def test_a_running_server_is_joined(plan: DevServerPlan) -> None:
    """A second start finds the server of the state directory and can stop it as well as the first."""
    first = await start(plan)

    second = await start(plan)

    assert second.was_running
    assert process_of(second) == process_of(first)
    await second.stop()
    assert not first.is_running


async def test_two_starts_at_once_end_with_one_server(plan: DevServerPlan) -> None:
    """Whoever comes second waits for the first and joins."""
    servers = await asyncio.gather(start(plan), start(plan), start(plan))

    assert len({process_of(server).pid for server in servers}) == 1
    assert sorted(server.was_running for server in servers) == [False, True, True]


async def test_state_survives_the_servers_death(plan: DevServerPlan) -> None:
    """A workflow that was started is still there after SIGKILL and a new start."""
    server = await start(plan)
    await (await client_of(plan)).start_workflow("Nobody", id="session-a", task_queue="nobody")
    process_of(server).kill()

    again = await start(plan)

    description = await (await client_of(plan)).get_workflow_handle("session-a").describe()
    assert not again.was_running
    assert description.id == "session-a"


async def test_the_server_outlives_its_starter(plan: DevServerPlan) -> None:
    """Ctrl-C for and SIGKILL of the process that started it do not reach the server, and the next start joins it."""
    program = (
        "import asyncio, sys, signal; from pathlib import Path; from runtime.dev_server import *\n"
        "plan = DevServerPlan(state_directory=Path(sys.argv[1]), port=int(sys.argv[2]), ui_port=int(sys.argv[3]))\n"
        "server = asyncio.run(start(plan)); signal.signal(signal.SIGINT, lambda *_: print('interrupted', flush=True))\n"
        "print(server.record.pid, flush=True)\n"
        "while True: signal.pause()\n"
    )
    command = [sys.executable, "-c", program, str(plan.state_directory), str(plan.port), str(plan.ui_port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as starter:
        assert starter.stdout is not None
        pid = int(await asyncio.to_thread(starter.stdout.readline))
        os.killpg(starter.pid, signal.SIGINT)
        assert await asyncio.to_thread(starter.stdout.readline) == "interrupted\n"
        starter.kill()

    server = await start(plan)

    assert server.was_running
    assert process_of(server).pid == pid


async def test_a_stranger_on_the_port_is_named(plan: DevServerPlan) -> None:
    """When something that is not Temporal has the port, the error names the process, and nothing is started."""
    stranger = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", plan.port)

    with pytest.raises(DevServerError, match=rf"port {plan.port}.*\(pid {os.getpid()}\).*another port"):
        await start(plan)

    stranger.close()
    await stranger.wait_closed()
    assert read_record(plan.record) is None


async def test_a_stranger_on_the_port_of_the_web_ui_is_named(plan: DevServerPlan) -> None:
    """A taken Web UI port is told apart from a taken Temporal port."""
    stranger = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", plan.ui_port)

    with pytest.raises(DevServerError, match=f"port {plan.ui_port}, wanted for the Web UI"):
        await start(plan)

    stranger.close()
    await stranger.wait_closed()
    assert read_record(plan.record) is None


async def test_somebody_elses_temporal_is_joined_and_never_stopped(plan: DevServerPlan, tmp_path: Path) -> None:
    """A Temporal of another state directory on the same port is used, and stop() leaves it alone."""
    theirs = await start(plan)

    ours = await start(DevServerPlan(state_directory=tmp_path / "ours", port=plan.port, ui_port=free_port()))
    await ours.stop()

    assert ours.was_running
    assert ours.ui_address is None
    assert theirs.is_running


async def test_one_state_directory_has_one_server(plan: DevServerPlan) -> None:
    """A second server on the same database would corrupt it: another port is refused while the first one runs."""
    server = await start(plan)

    elsewhere = DevServerPlan(state_directory=plan.state_directory, port=free_port(), ui_port=free_port())
    with pytest.raises(DevServerError, match=f"runs on port {plan.port} already"):
        await start(elsewhere)

    assert server.is_running


async def test_a_missing_binary_says_what_to_install(tmp_path: Path) -> None:
    """Without the temporal program the error names the extra that brings it."""
    with pytest.raises(DevServerError, match=r"durable-claude\[embedded\]"):
        await start(DevServerPlan(state_directory=tmp_path, port=free_port(), ui_port=free_port(), binary=None))


async def test_a_server_that_ends_while_starting_shows_its_log(tmp_path: Path) -> None:
    """What the server said last is in the error."""
    binary = tmp_path / "temporal"
    binary.write_text("#!/bin/sh\necho cannot open database >&2\nexit 3\n")
    binary.chmod(0o755)

    with pytest.raises(DevServerError, match=r"ended while starting(?s:.)*cannot open database"):
        await start(DevServerPlan(state_directory=tmp_path, port=free_port(), ui_port=free_port(), binary=binary))


@pytest.mark.parametrize("wrong", ["born", "database"])
async def test_a_process_that_only_has_the_pid_is_never_touched(tmp_path: Path, wrong: str) -> None:
    """A record whose pid belongs to somebody else now finds no process, and stop() ends nobody."""
    with subprocess.Popen(["sleep", "3481"]) as bystander:
        born = psutil.Process(bystander.pid).create_time()
        record = ServerRecord(
            pid=bystander.pid,
            born=born - 60 if wrong == "born" else born,
            database="3481" if wrong == "born" else str(tmp_path / "temporal.db"),
            port=1,
            ui_port=2,
        )
        server = DevServer(plan=DevServerPlan(state_directory=tmp_path), record=record, was_running=True)

        await server.stop()

        assert not server.is_running
        assert bystander.poll() is None
        bystander.kill()


async def test_the_right_record_does_find_its_process(tmp_path: Path) -> None:
    """The counterpart: birth and command line both right, the process is found, ended and reaped."""
    with subprocess.Popen(["sleep", "3482"]) as process:
        born = psutil.Process(process.pid).create_time()
        record = ServerRecord(pid=process.pid, born=born, database="3482", port=1, ui_port=2)

        await asyncio.to_thread(record.end)

        assert record.process is None


def test_a_damaged_record_counts_as_none(tmp_path: Path) -> None:
    """Half a file, or one of another version, names no server; a good one comes back as it was written."""
    path = tmp_path / "server.json"
    good = ServerRecord(pid=1, born=2.5, database="/d", port=3, ui_port=4)

    for text in ("", "{", "[]", '{"pid": 1}', '{"pid": 1, "colour": "red"}'):
        path.write_text(text)
        assert read_record(path) is None
    write_record(path, good)

    assert read_record(path) == good
