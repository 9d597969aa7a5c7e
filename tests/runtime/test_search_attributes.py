"""Search attributes on the real server: registered once, and every refusal in words."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from runtime import dev_server
from runtime.dev_server import DevServerError, DevServerPlan
from runtime.namespace import create_namespace
from runtime.search_attributes import AttributesRefused, Registered, register
from runtime.temporal import TemporalRefused, connect_once
from tests.runtime.test_dev_server import free_port
from workflows.attributes import KINDS


@pytest.fixture(scope="module")
async def plan(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DevServerPlan]:
    """A server without any search attributes of ours."""
    directory: Path = tmp_path_factory.mktemp("server")
    plan = DevServerPlan(state_directory=directory, port=free_port(), ui_port=free_port())
    server = await dev_server.start(plan)
    yield plan
    await server.stop()


async def namespace(plan: DevServerPlan, name: str) -> Client:
    """A namespace of the test's own, on the shared server."""
    environ = {**plan.connection, "TEMPORAL_NAMESPACE": name}
    assert await create_namespace(environ, 1)
    async with asyncio.timeout(30):
        while True:
            try:
                return await connect_once(environ=environ)
            except TemporalRefused:
                await asyncio.sleep(0.1)


async def test_what_is_missing_is_added_and_what_is_there_stays(plan: DevServerPlan) -> None:
    """A second time nothing is added, and a namespace that has some gets the others."""
    client = await namespace(plan, "some")
    some, others = dict(list(KINDS.items())[:2]), list(KINDS)[2:]

    registered = [await register(client, wanted) for wanted in (some, KINDS, KINDS)]

    assert registered == [
        Registered(added=list(some), present=[]),
        Registered(added=others, present=list(some)),
        Registered(added=[], present=list(KINDS)),
    ]


async def test_an_attribute_of_another_type_is_named(plan: DevServerPlan) -> None:
    """The server would say nothing and keep its type; the error says which one differs, and nothing is added."""
    client = await namespace(plan, "other-type")
    await register(client, {"ClaudeTurns": "Keyword"})

    with pytest.raises(AttributesRefused, match=r"ClaudeTurns as Keyword \(wanted: Int\).*remove --name ClaudeTurns"):
        await register(client, KINDS)

    assert await register(client, {"ClaudeStatus": "Keyword"}) == Registered(added=["ClaudeStatus"], present=[])


async def test_a_full_namespace_says_so(plan: DevServerPlan) -> None:
    """SQL visibility has ten Keywords in a namespace."""
    client = await namespace(plan, "full")
    await register(client, {f"Theirs{number}": "Keyword" for number in range(8)})

    with pytest.raises(AttributesRefused, match=r"'full' has no room.*more than 10.*Keyword"):
        await register(client, KINDS)


@pytest.mark.parametrize("status", [RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED])
async def test_who_may_not_register_learns_what_to_ask_for(
    plan: DevServerPlan, monkeypatch: pytest.MonkeyPatch, status: RPCStatusCode
) -> None:
    """The sentence names every attribute with its type, for whoever may."""
    client = await connect_once(environ=plan.connection)

    async def refuse(*_: object, **__: object) -> None:
        raise RPCError("Request unauthorized.", status, b"")

    monkeypatch.setattr(client.operator_service, "add_search_attributes", refuse)

    with pytest.raises(AttributesRefused, match=r"ask who runs it.*ClaudeStatus \(Keyword\).*ClaudeCostUsd \(Double\)"):
        await register(client, KINDS)


async def test_a_namespace_is_created_once(plan: DevServerPlan) -> None:
    """Whoever asks again learns that it was there."""
    await namespace(plan, "once")

    assert not await create_namespace({**plan.connection, "TEMPORAL_NAMESPACE": "once"}, 1)


async def test_a_namespace_that_cannot_be_is_refused_in_words(plan: DevServerPlan) -> None:
    """The server's own reason is in the sentence."""
    with pytest.raises(TemporalRefused, match=r"does not create namespace .*\(.+\): ask who runs it"):
        await create_namespace({**plan.connection, "TEMPORAL_NAMESPACE": "x" * 2000}, 1)


@pytest.mark.parametrize("what", ["a database from before", "a running server", "somebody else's server"])
async def test_an_embedded_server_from_before_gets_them(tmp_path: Path, what: str) -> None:
    """A server whose database is older than the attributes has them after the next start, however that comes about."""
    before = DevServerPlan(state_directory=tmp_path / "state", port=free_port(), ui_port=free_port())
    plan = replace(before, search_attributes=KINDS)
    old = await dev_server.start(before)
    if what == "a database from before":
        await old.stop()
    if what == "somebody else's server":
        plan = replace(plan, state_directory=tmp_path / "ours", ui_port=free_port())
    new = await dev_server.start(plan)

    assert await register(await connect_once(environ=plan.connection), KINDS) == Registered(
        added=[], present=list(KINDS)
    )
    await new.stop()
    await old.stop()


async def test_an_embedded_server_that_cannot_have_them_is_not_left_running(tmp_path: Path) -> None:
    """Its start fails with the sentence, and no process stays."""
    plan = DevServerPlan(state_directory=tmp_path, port=free_port(), ui_port=free_port())
    wrong: Mapping[str, str] = {f"Number{number}": "Int" for number in range(4)}

    with pytest.raises(DevServerError, match=r"cannot hold sessions: .*no room"):
        await dev_server.start(replace(plan, search_attributes=wrong))

    again = await dev_server.start(plan)
    assert not again.was_running
    await again.stop()
