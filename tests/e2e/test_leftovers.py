"""What was asked of a host and is over: gone from Temporal, and never deleted before its end is listed."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker

from activities.leftovers import Leftovers
from demo.stage import free_ports
from runtime import dev_server
from runtime.dev_server import DevServerPlan
from runtime.temporal import connect_once
from tests.e2e.scene import until

QUEUE = "leftovers"


@activity.defn
async def answer() -> str:
    return "answer"


@activity.defn
async def wait() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """A Temporal with one worker, for the tests of this file."""
    port, ui_port = free_ports()
    plan = DevServerPlan(state_directory=tmp_path_factory.mktemp("server"), port=port, ui_port=ui_port)
    server = await dev_server.start(plan)
    try:
        client = await connect_once(environ=plan.connection)
        async with Worker(client, task_queue=QUEUE, activities=[answer, wait]):
            yield client
    finally:
        await server.stop()


async def begin(client: Client, name: str) -> str:
    """The id of one that was begun."""
    handle = await client.start_activity(
        name,
        id=f"{name}-{uuid.uuid4().hex}",
        task_queue=QUEUE,
        schedule_to_close_timeout=timedelta(minutes=1),
        heartbeat_timeout=timedelta(seconds=5),
    )
    return handle.id


async def done(client: Client) -> str:
    """The id of one that has ended."""
    activity_id = await begin(client, "answer")
    await client.get_activity_handle(activity_id).result()
    return activity_id


async def is_listed(client: Client, activity_id: str) -> bool:
    return [found async for found in client.list_activities(f"ActivityId = '{activity_id}'")] != []


async def are_gone(client: Client, *names: str) -> bool:
    return not any([await is_listed(client, name) for name in names])


async def test_one_that_is_over_is_gone(client: Client) -> None:
    """Soon by itself, and at once for whoever waits."""
    by_itself, at_once = Leftovers(client), Leftovers(client)
    names = [await done(client), await done(client)]
    by_itself.add(names[0], is_over=True)
    at_once.add(names[1], is_over=True)
    await at_once.settle(30)

    assert await until(lambda: are_gone(client, *names))
    for name in names:
        with pytest.raises(RPCError, match="not found"):
            await client.get_activity_handle(name).describe()


async def test_one_that_runs_is_ended_and_gone(client: Client) -> None:
    """Nobody waits for its answer any more."""
    leftovers = Leftovers(client)
    name = await begin(client, "wait")
    leftovers.add(name, is_over=False)
    await leftovers.settle(30)

    assert await until(lambda: are_gone(client, name))


async def test_nothing_is_deleted_before_its_end_is_listed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """An end that is listed after the deletion would stay in the list for good."""
    leftovers = Leftovers(client)
    looks: list[str] = []
    deleted_after: list[int] = []
    ended, delete = leftovers._ended, leftovers._delete

    async def late(names: list[str]) -> list[str]:
        looks.append("look")
        return await ended(names) if len(looks) > 5 else []

    async def counted(activity_id: str) -> None:
        deleted_after.append(len(looks))
        await delete(activity_id)

    monkeypatch.setattr(leftovers, "_ended", late)
    monkeypatch.setattr(leftovers, "_delete", counted)
    leftovers.add(await done(client), is_over=True)
    await leftovers.settle(30)

    assert len(deleted_after) == 1
    assert deleted_after[0] > 5


async def test_one_that_never_began_is_not_waited_for(client: Client) -> None:
    """Longer than was said."""
    leftovers = Leftovers(client)
    leftovers.add("never-began", is_over=False)
    async with asyncio.timeout(10):
        await leftovers.settle(0.2)

    assert not await is_listed(client, "never-began")


async def test_a_server_that_does_not_answer_is_not_waited_for(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever leaves while it is away, or is too old for such activities, leaves at once."""
    leftovers = Leftovers(client)
    looks: list[list[str]] = []

    async def away(names: list[str]) -> list[str]:
        looks.append(names)
        raise RPCError("away", RPCStatusCode.UNAVAILABLE, b"")

    monkeypatch.setattr(leftovers, "_ended", away)
    leftovers.add("unknown", is_over=True)
    async with asyncio.timeout(10):
        await leftovers.settle(30)

    assert looks == [["unknown"]]


async def test_one_that_somebody_else_deleted_is_done_with(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one is whose deletion was answered and the answer lost."""
    leftovers = Leftovers(client)
    name = await done(client)

    async def listed(_names: list[str]) -> list[str]:
        return [name]

    other = Leftovers(client)
    other.add(name, is_over=True)
    await other.settle(30)
    monkeypatch.setattr(leftovers, "_ended", listed)
    leftovers.add(name, is_over=True)
    async with asyncio.timeout(10):
        await leftovers.settle(30)

    assert await until(lambda: are_gone(client, name))
