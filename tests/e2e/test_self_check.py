"""What a worker finds out about itself: polls that ended, tasks that fail at once, work that another one took."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker

from activities import self_check
from activities.health import Health, Verdict
from activities.host import Host
from activities.self_check import SelfCheck
from demo.stage import free_ports
from runtime import dev_server
from runtime.dev_server import DevServerPlan
from runtime.temporal import connect_once
from shim.paths import HostDirectory

SHARED = "shared"


@workflow.defn(sandboxed=False)
class Idle:
    @workflow.run
    async def run(self) -> None:
        """Nothing; it stands for the workflows of a session."""


@activity.defn(name="self_check")
async def failing() -> str:
    raise OSError("no room")


@pytest.fixture(scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """A Temporal for the tests of this file."""
    port, ui_port = free_ports()
    plan = DevServerPlan(state_directory=tmp_path_factory.mktemp("server"), port=port, ui_port=ui_port)
    server = await dev_server.start(plan)
    yield await connect_once(environ=plan.connection)
    await server.stop()


@pytest.fixture
def home(host: HostDirectory) -> Host:
    return Host(host_id=host.state.parent.name, directory=host, executable=None, roots=(), environment={})


def checker(client: Client, home: Host, name: str = "me") -> SelfCheck:
    # Queues are of the test's own, since the server remembers who asked.
    return SelfCheck(client, home, f"{SHARED}-{home.host_id}", name, Health())


def shared(client: Client, home: Host, name: str = "me") -> Worker:
    queue = f"{SHARED}-{home.host_id}"
    return Worker(client, task_queue=queue, workflows=[Idle], activities=[failing], identity=name)


@contextlib.asynccontextmanager
async def own(client: Client, home: Host, check: SelfCheck, name: str = "me") -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for queue in (home.queue, home.watch_queue, home.read_queue):
            await stack.enter_async_context(Worker(client, task_queue=queue, activities=[check.echo], identity=name))
        yield


async def seen(check: SelfCheck) -> Verdict:
    """What is found once the server has heard all Workers."""
    async with asyncio.timeout(30):
        while not (verdict := await check.polls()).ok:
            await asyncio.sleep(0.05)
    return verdict


async def test_polls_that_ended_are_seen(client: Client, home: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Worker that asks for no more work is named by its queue, although its process lives and others ask on."""
    check = checker(client, home)
    never = await check.polls()
    async with own(client, home, check):
        async with shared(client, home):
            all_ask = await seen(check)
        monkeypatch.setattr(self_check, "POLL_SECONDS", 2.0)
        async with asyncio.timeout(30):
            while (after := await check.polls()).ok:
                # Work is what makes an idle queue ask again.
                queues = (home.queue, home.watch_queue, home.read_queue)
                await asyncio.gather(*(check.round_trip(queue) for queue in queues))

    assert (never.ok, all_ask.ok, after.ok) == (False, True, False)
    assert after.text == f"nobody here asks for work on {SHARED}-{home.host_id}"
    assert home.queue in never.text


async def test_somebody_else_s_polls_are_not_ours(client: Client, home: Host) -> None:
    """Another worker on the same queues does not hide that this one is silent."""
    other = checker(client, home, "other")
    async with own(client, home, other, "other"), shared(client, home, "other"):
        theirs, ours = await seen(other), await checker(client, home).polls()

    assert (theirs.ok, ours.ok) == (True, False)


async def test_tasks_that_fail_at_once_are_seen(client: Client, home: Host) -> None:
    """A worker that takes everything up and fails it looks busy; what failed is told."""
    check = checker(client, home)
    async with Worker(client, task_queue=home.queue, activities=[failing], identity="me"):
        verdict = await check.round_trip(home.queue)

    assert (verdict.ok, "no room" in verdict.text) == (False, True)


async def test_work_that_nobody_takes_up_is_seen(client: Client, home: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up, and nothing of it waits for the next worker."""
    monkeypatch.setattr(self_check, "ROUND_TRIP", timedelta(seconds=1))
    verdict = await checker(client, home).round_trip(home.queue)

    async def nothing_is_left() -> bool:
        return [found async for found in client.list_activities(f"TaskQueue = '{home.queue}'")] == []

    async with asyncio.timeout(30):
        while not await nothing_is_left():
            await asyncio.sleep(0.1)
    assert not verdict.ok


async def test_a_worker_that_ends_leaves_none_of_its_checks_behind(client: Client, home: Host) -> None:
    """Whoever ends the check waits until what it gave is gone."""
    check = checker(client, home)
    queues = (home.queue, home.watch_queue, home.read_queue)

    async def given() -> int:
        listed = ", ".join(f"'{queue}'" for queue in queues)
        return len([found async for found in client.list_activities(f"TaskQueue IN ({listed})")])

    before = asyncio.all_tasks()
    checking = asyncio.create_task(check.keep())
    async with asyncio.timeout(30):
        while await given() < len(queues):
            await asyncio.sleep(0.01)
    checking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await checking
    still_busy = asyncio.all_tasks() - before
    async with asyncio.timeout(30):
        while await given():
            await asyncio.sleep(0.05)

    assert still_busy == set()


async def test_the_work_of_another_worker_of_the_host_is_told_apart(client: Client, home: Host) -> None:
    """It proves the queue and not this worker, and says so."""
    async with own(client, home, checker(client, home, "other"), "other"):
        verdict = await checker(client, home).round_trip(home.queue)

    assert (verdict.ok, "another worker of this host (other)" in verdict.text) == (True, True)


async def test_a_look_that_fails_ends_nothing(client: Client, home: Host) -> None:
    """A bug of one check is told as that; a server that does not answer leaves what was known, one that cannot is let off."""
    health = Health()
    check = SelfCheck(client, home, SHARED, "me", health)

    async def bug() -> Verdict:
        raise KeyError("gone")

    async def away() -> Verdict:
        raise RPCError("no answer", RPCStatusCode.UNAVAILABLE, b"")

    async def old() -> Verdict:
        raise RPCError("unknown method", RPCStatusCode.UNIMPLEMENTED, b"")

    health.say("known", Verdict(ok=True, text="fine"))
    outcomes = [await check._tell("bug", bug), await check._tell("known", away), await check._tell("old", old)]
    found = health.ready()

    assert outcomes == [False, False, True]
    assert (found["bug"].ok, found["known"].ok, found["old"].ok) == (False, True, True)
    assert "KeyError" in found["bug"].text
