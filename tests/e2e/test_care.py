"""What a worker does beside its sessions: renew the lease, take over from the dead, end what belongs to nobody."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, create_subprocess_exec
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from temporalio.client import Client

from activities.host import Host
from activities.lease import LeaseKeeper, boot_clock, boot_id
from activities.orphans import OrphanWatch
from activities.retention import Retention
from activities.takeover import dead_workers, identity
from claude.process import ClaudeProcess
from demo.stage import free_ports
from runtime import dev_server
from runtime.dev_server import DevServer, DevServerPlan
from runtime.temporal import connect_once
from shim.paths import HostDirectory
from tests.e2e.scene import Scene


@pytest.fixture
async def server(short_path: Path) -> AsyncIterator[DevServer]:
    """A Temporal of the test's own."""
    port, ui_port = free_ports()
    plan = DevServerPlan(state_directory=short_path / "server", port=port, ui_port=ui_port)
    server = await dev_server.start(plan)
    yield server
    await server.stop()


@pytest.fixture
async def client(server: DevServer) -> Client:
    return await connect_once(environ=server.plan.connection)


@pytest.fixture
def home(host: HostDirectory) -> Host:
    """The host as activities know it."""
    return Host(host_id="here", directory=host, executable=None, roots=(), environment={})


def stats_of(pid: int) -> list[Path]:
    """The state of each thread of a process."""
    return list(Path(f"/proc/{pid}/task").glob("*/stat"))


async def test_the_lease_is_renewed_only_by_an_answer(server: DevServer, client: Client, home: Host) -> None:
    """An answer renews from when it was asked; a server that hangs, or is gone, does not renew."""
    keeper = LeaseKeeper(client, home.directory.lease, 600.0)
    before = boot_clock()
    renewed = await keeper.renew()
    lease = json.loads(home.directory.lease.read_text())
    assert server.record is not None
    process = psutil.Process(server.record.pid)
    process.suspend()
    async with asyncio.timeout(30):
        # The signal reaches the threads of a busy server one after the other.
        while not all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in stats_of(process.pid)):
            await asyncio.sleep(0.01)
    hung = await keeper.renew()
    process.resume()
    # A server that hung for seconds answers again when it has caught up.
    async with asyncio.timeout(60):
        while not (back := await keeper.renew()):
            await asyncio.sleep(0.1)
    again = json.loads(home.directory.lease.read_text())
    await server.stop()
    gone = await keeper.renew()

    assert (renewed, hung, back, gone) == (True, False, True, False)
    assert lease["boot_id"] == boot_id()
    assert before <= lease["renewed_at"] < again["renewed_at"] <= boot_clock()
    assert json.loads(home.directory.lease.read_text()) == again


async def test_a_lease_that_cannot_be_written_is_not_renewed(client: Client, home: Host) -> None:
    """Trouble with the disk keeps the worker going and the lease ageing."""
    keeper = LeaseKeeper(client, home.directory.lease.parent / "missing" / "lease.json", 600.0)

    assert await keeper.renew() is False


async def test_only_a_dead_worker_is_taken_for_dead(home: Host) -> None:
    """A worker's lock goes with its process, however it ends; a living worker is never among the dead."""
    home.directory.state.joinpath("workers").mkdir()
    program = (
        "import sys, signal; from pathlib import Path; from activities.host import Host; "
        "from activities.takeover import identity; from shim.paths import HostDirectory\n"
        "state, run = map(Path, sys.argv[1:])\n"
        "host = Host(host_id='here', directory=HostDirectory(state=state, run=run), executable=None, roots=(), environment={})\n"
        "with identity(host) as name:\n    print(name, flush=True); signal.pause()\n"
    )
    arguments = [sys.executable, "-c", program, str(home.directory.state), str(home.directory.run)]
    other = await create_subprocess_exec(*arguments, stdout=PIPE, cwd=Path(__file__).parents[2])
    assert other.stdout is not None
    name = (await other.stdout.readline()).decode().strip()
    with identity(home) as own:
        while_alive = list(dead_workers(home))
        os.kill(other.pid, signal.SIGKILL)
        await other.wait()
        after = list(dead_workers(home))

    assert while_alive == []
    assert after == [name]
    assert own.startswith(f"here.{os.getpid()}.")
    assert own not in [path.name for path in home.directory.state.joinpath("workers").iterdir()]


async def test_a_session_that_temporal_does_not_know_is_left_alone(
    client: Client, home: Host, short_path: Path
) -> None:
    """A worker that talks to the wrong server must not end the sessions of the right one."""
    process = ClaudeProcess(
        "stranger",
        short_path,
        host=home.directory,
        command=["/bin/sleep", "300"],
        environment={"PATH": os.defpath},
        lease_ttl_seconds=3600,
    )
    await process.start()
    stopped = await OrphanWatch(client, replace(home)).look()
    lives = process.is_running
    await process.stop(0)

    assert stopped == []
    assert lives


DAY = 86_400


async def left_by(home: Host, session_id: str, argv: list[str]) -> ClaudeProcess:
    """A process of this session, whose files look forty days old."""
    process = ClaudeProcess(
        session_id,
        home.directory.state,
        host=home.directory,
        command=argv,
        environment={"PATH": os.defpath},
        lease_ttl_seconds=3600,
    )
    await process.start()
    if argv == ["/bin/true"]:
        await process.exited()
    age(home, session_id, 40 * DAY)
    return process


def age(home: Host, session_id: str, seconds: float) -> None:
    directory = home.directory.session(session_id).path
    for path in (*directory.iterdir(), directory):
        os.utime(path, (time.time() - seconds,) * 2)


async def test_only_what_is_old_and_over_is_removed(server: DevServer, client: Client, home: Host) -> None:
    """A session that lives, sleeps or ended lately keeps its files; so does everything while Temporal knows nothing."""
    for session_id in ("forgotten", "young", "asleep", "closed"):
        await left_by(home, session_id, ["/bin/true"])
    lives = await left_by(home, "lives", ["/bin/sleep", "300"])
    killed = await left_by(home, "killed", ["/bin/sleep", "300"])
    shim = psutil.Process(killed.pid).parent()
    assert shim is not None
    shim.kill()
    await killed.exited()
    age(home, "young", DAY)
    month, moment = Retention(client, home, 30), Retention(client, home, 0.001 / DAY)
    by_a_stranger = await month.look()
    for session_id in ("asleep", "closed"):
        await client.start_workflow("SessionWorkflow", id=f"session-{session_id}", task_queue="nobody")
    await client.get_workflow_handle("session-closed").terminate()
    for_ever = await Retention(client, home, 0).look()
    after_a_month = await month.look()
    after_a_moment = await moment.look()
    await server.stop()
    without_temporal = await moment.look()
    is_running, kept = lives.is_running, home.directory.sessions()
    await lives.stop(0)

    assert (by_a_stranger, for_ever, without_temporal) == ([], [], [])
    assert after_a_month == ["forgotten", "killed"]
    assert after_a_moment == ["closed", "young"]
    assert is_running
    assert kept == ["asleep", "lives"]


async def test_a_worker_removes_what_is_left_when_it_starts(scene: Scene) -> None:
    """The hourly look begins with the worker, and a session that is open is none of its business."""
    session = await scene.open()
    left = scene.stage.host.session("forgotten").path
    left.mkdir()
    os.utime(left, (0, 0))
    await scene.kill_worker()
    await scene.new_worker()
    async with asyncio.timeout(60):
        while left.exists():
            await asyncio.sleep(0.05)

    assert (await scene.sessions.status(session.session_id)).pid == session.pid
    assert scene.stage.host.sessions() == [session.session_id]
