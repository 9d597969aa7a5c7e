"""`setup` as a person runs it, on a server that knows nothing of sessions yet."""

from collections.abc import AsyncIterator, Iterator

import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest

from demo.stage import directories, free_ports
from runtime import dev_server
from runtime.dev_server import DevServerPlan
from runtime.search_attributes import register
from runtime.temporal import connect_once
from tests.e2e.command_line import CommandLine, Ran
from tests.runtime.test_search_attributes import namespace
from workflows.attributes import KINDS

START = ("start", ".", "--name", "app", "--no-wait")


@pytest.fixture(scope="module")
async def plan() -> AsyncIterator[DevServerPlan]:
    """A server as somebody else would run it."""
    with directories() as stage:
        port, ui_port = free_ports()
        plan = DevServerPlan(state_directory=stage.host.state, port=port, ui_port=ui_port)
        server = await dev_server.start(plan)
        yield plan
        await server.stop()


@pytest.fixture
def run(plan: DevServerPlan) -> Iterator[CommandLine]:
    """Commands that find that server."""
    with directories() as stage:
        yield CommandLine(stage, plan.connection)


async def test_a_session_needs_a_server_that_is_set_up(run: CommandLine, plan: DevServerPlan) -> None:
    """Before `setup` nothing can be opened, and the sentence says what to do; after it, everything can."""
    before = await run(*START)
    first = await run("setup")
    again = await run("setup", "--json")
    after = await run(*START)

    assert (before.code, before.is_one_sentence) == (2, True)
    assert "run `durable-claude setup` once" in before.stderr
    assert first.code == 0, first.stderr
    assert "namespace          default (it was there)" in first.stdout
    assert [line for line in first.stdout.splitlines() if "(added)" in line] == [
        f"search attribute   {name} (added)" for name in KINDS
    ]
    assert again.json == {
        "address": plan.address,
        "namespace": "default",
        "namespace_created": False,
        "added": [],
        "present": list(KINDS),
    }
    assert (after.code, after.stdout) == (0, "app\n")


async def test_a_namespace_is_created_only_if_asked_for(run: CommandLine, plan: DevServerPlan) -> None:
    """A missing namespace is refused; with the option it is made, kept for as long as was said, and ready for sessions."""

    async def command(*arguments: str) -> Ran:
        return await run(*arguments, TEMPORAL_NAMESPACE="lab")

    refused = await command("setup")
    created = await command("setup", "--create-namespace", "--retention-days", "3", "--json")
    again = await command("setup", "--create-namespace")
    opened = await command(*START)

    assert (refused.code, refused.is_one_sentence) == (4, True)
    assert "has no namespace 'lab'" in refused.stderr
    assert "durable-claude setup --create-namespace" in refused.stderr
    assert created.code == 0, created.stderr
    assert (created.json["namespace_created"], created.json["added"]) == (True, list(KINDS))
    assert "lab (it was there)" in again.stdout
    assert opened.code == 0, opened.stderr
    client = await connect_once(environ=plan.connection)
    described = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="lab"))
    assert described.config.workflow_execution_retention_ttl.seconds == 3 * 86400


async def test_what_keeps_it_from_being_set_up_is_a_sentence(run: CommandLine, plan: DevServerPlan) -> None:
    """A name that means something else there, a server that is away and a retention of nothing: words, and a code."""
    await register(await namespace(plan, "theirs"), {"ClaudeTurns": "Keyword"})
    port, _ = free_ports()

    refused = await run("setup", TEMPORAL_NAMESPACE="theirs")
    opened = await run(*START, TEMPORAL_NAMESPACE="theirs")
    away = await run("setup", TEMPORAL_ADDRESS=f"127.0.0.1:{port}")
    wrong = await run("setup", "--retention-days", "0")

    assert (refused.code, refused.is_one_sentence) == (2, True)
    assert "ClaudeTurns as Keyword (wanted: Int)" in refused.stderr
    assert (opened.code, opened.is_one_sentence) == (2, True)
    assert "durable-claude setup" in opened.stderr
    assert (away.code, away.is_one_sentence) == (4, True)
    assert (wrong.code, "--retention-days" in wrong.stderr) == (2, True)
