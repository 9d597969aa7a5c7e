"""`doctor` as a person runs it: on a healthy machine, without a server, without a namespace."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from demo.stage import claudes_environment
from doctor.clock import measured
from doctor.queues import FRESH_SECONDS, polled
from doctor.server import registered
from runtime.settings import Settings
from tests.e2e.command_line import CommandLine, Ran
from tests.e2e.scene import Scene, until

# What a machine may lack for good without a session being in danger.
MAY_BE_YELLOW = {
    "cgroup",
    "pid-1",
    "service-manager",
    "linger",
    "memory",
    "processes",
    "open-files",
    "state-filesystem",
}


@pytest.fixture
async def command(scene: Scene) -> CommandLine:
    """The command line beside the scene's server and worker, with what claude gets."""
    return CommandLine(scene.stage, claudes_environment(scene.stage, Settings.from_env({}), scene.api.url))


def levels(ran: Ran) -> dict[str, str]:
    return {finding["name"]: finding["level"] for finding in ran.json["findings"]}


def files(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if "temporal" not in path.name}


async def test_a_healthy_machine(scene: Scene, command: CommandLine) -> None:
    """Nothing is red, only what this machine lacks is yellow, and no file stays."""

    settings = Settings.from_env({"DURABLE_CLAUDE_STATE_DIRECTORY": str(scene.stage.host.state)})

    async def worker_is_seen() -> bool:
        # The program of its launcher is the last thing that it writes.
        has_launcher = scene.worker is not None and psutil.Process(scene.worker.pid).children()
        return bool(has_launcher) and (await polled(scene.client, settings)).level == "green"

    await until(worker_is_seen)
    before = files(scene.stage.root)

    async def attributes_are_seen() -> bool:
        return (await registered(scene.client)).level == "green"

    await until(attributes_are_seen)
    ran = await command("doctor", "--json")
    told = await command("doctor")

    assert (ran.code, told.code) == (0, 0)
    assert {name for name, level in levels(ran).items() if level != "green"} <= MAY_BE_YELLOW
    assert "red" not in levels(ran).values()
    assert "ANTHROPIC_API_KEY" in ran.stdout
    assert "scripted" not in ran.stdout + told.stdout
    assert files(scene.stage.root) == before
    assert told.stdout.count("\n") >= len(levels(ran))


async def test_the_clock_of_the_server_is_read(scene: Scene) -> None:
    """On one machine there is one clock, and nothing is left of the measurement."""
    found = await measured(scene.client)

    assert found.level == "green", found.text
    assert [execution async for execution in scene.client.list_workflows("")] == []
    assert FRESH_SECONDS > 60


async def test_without_a_server(command: CommandLine) -> None:
    """Everything else is still looked at."""
    ran = await command("doctor", "--json", TEMPORAL_ADDRESS="127.0.0.1:9")

    assert ran.code == 1
    assert (levels(ran)["temporal"], levels(ran)["clock"], levels(ran)["subreaper"]) == ("red", "yellow", "green")


async def test_without_the_namespace(scene: Scene, command: CommandLine) -> None:
    """The namespace is named."""
    ran = await command(
        "doctor", "--json", TEMPORAL_ADDRESS=scene.plan.address, TEMPORAL_NAMESPACE="nowhere", DURABLE_CLAUDE_ROOTS="x"
    )
    by_name = {finding["name"]: finding for finding in ran.json["findings"]}

    assert ran.code == 1
    assert (by_name["temporal"]["level"], "'nowhere'" in by_name["temporal"]["text"]) == ("red", True)
    assert (by_name["settings"]["level"], "DURABLE_CLAUDE_ROOTS" in by_name["settings"]["text"]) == ("red", True)


async def test_a_worker_that_was_never_started_is_missed(command: CommandLine, short_path: Path) -> None:
    """With a state directory of its own, a machine is told that nobody works for it; nothing is made for that."""
    ran = await command("doctor", "--json", DURABLE_CLAUDE_STATE_DIRECTORY=str(short_path / "none"))

    assert ran.json["level"] == "red"
    assert not (short_path / "none").exists()
