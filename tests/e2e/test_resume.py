"""`resume`, and names by directory: what a person types for a session whose id they do not know or that rests."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from demo.messages_api import Text
from tests.e2e.command_line import CommandLine
from tests.e2e.scene import Scene, playing, until


@dataclass(frozen=True, kw_only=True)
class World:
    """A server with a worker, and the command line."""

    scene: Scene
    run: CommandLine

    def project(self, name: str) -> Path:
        path = self.scene.stage.project / name
        path.mkdir(exist_ok=True)
        return path

    async def reaches(self, session_id: str, status: str) -> None:
        async def look() -> bool:
            return (await self.scene.sessions.status(session_id)).status == status

        await until(look)


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with playing() as scene:
        scene.api.script["greet"] = [Text("Hello there.")]
        await scene.new_worker()
        yield World(scene=scene, run=CommandLine(scene.stage))


async def test_a_session_that_sleeps_is_woken(world: World) -> None:
    """It has a claude again without a message; resumed again, it says that there is nothing to do."""
    await world.run("start", str(world.project("sleeper")), "--name", "sleeper", "--idle-minutes", "0.02")
    await world.reaches("sleeper", "hibernated")
    woken = await world.run("resume", "sleeper", "--json")
    pids = [process.pid for process in psutil.process_iter() if process.pid == woken.json["report"]["pid"]]
    await world.run("stop", "sleeper")

    assert woken.code == 0
    assert (woken.json["was"], woken.json["is"]) == ("hibernated", "ready")
    assert pids == [woken.json["report"]["pid"]]


async def test_a_session_that_failed_goes_on_with_its_conversation(world: World) -> None:
    """It is open again under its own name, where and as it was, and claude knows what was said before."""
    project = world.project("broken")
    started = await world.run("start", str(project), "--name", "broken", "--budget-usd", "7")
    assert started.code == 0, started.stderr
    await world.run("send", "broken", "remember the harbour")
    pid = (await world.scene.sessions.status("broken")).pid
    shutil.rmtree(project)
    psutil.Process(pid).kill()
    await world.reaches("broken", "failed")
    told = await world.run("send", "broken", "greet")
    project.mkdir()
    resumed = await world.run("resume", "broken")
    again = await world.run("resume", "broken")
    sent = await world.run("send", "broken", "greet")
    limits = (await world.scene.sessions._line.opened("broken")).options
    await world.run("stop", "broken")

    assert (told.code, told.is_one_sentence) == (2, True)
    assert (resumed.code, resumed.stdout) == (0, "broken is open again and goes on with its conversation\n")
    assert (again.code, again.stdout) == (0, "broken is ready already: there is nothing to resume\n")
    assert (sent.code, sent.stdout) == (0, "Hello there.\n")
    assert "remember the harbour" in str(world.scene.api.requests[-1]["messages"])
    assert limits.cost_budget_usd == 7


async def test_a_session_that_was_stopped_stays_stopped(world: World) -> None:
    """It says which commands go on with its conversation, and they do."""
    project = world.project("over")
    await world.run("start", str(project), "--name", "over", "--message", "remember the lighthouse")
    await world.run("stop", "over")
    refused = await world.run("resume", "over")
    shown = await world.run("status", "over", "--json")
    forked = await world.run("fork", "over", "--name", "over-again")
    sent = await world.run("send", "over-again", "greet")
    await world.run("stop", "over-again")

    assert (refused.code, refused.is_one_sentence) == (2, True)
    assert "`durable-claude fork over`" in refused.stderr
    assert f"`durable-claude start {project} --resume UUID`" in refused.stderr
    assert shown.json["conversation_id"]
    assert (forked.code, sent.stdout) == (0, "Hello there.\n")
    assert "remember the lighthouse" in str(world.scene.api.requests[-1]["messages"])


async def test_a_directory_names_its_session(world: World) -> None:
    """By any path to it; two sessions in it are listed; when none lives there the newest that did can be looked at."""
    project = world.project("named")
    link = world.scene.stage.project / "link"
    link.symlink_to(project)
    await world.run("start", str(link), "--name", "first-here")
    by_path = [await world.run("status", name, "--json") for name in (str(project), "./link", "link", "named/../named")]
    await world.run("start", str(project), "--name", "second-here", "--no-wait")
    several = await world.run("send", str(project), "greet")
    for name in ("first-here", "second-here"):
        await world.run("stop", name, "--timeout", "0")
    over = await world.run("status", str(link), "--json")
    dead = await world.run("send", str(link), "greet")
    nowhere = await world.run("send", "./nowhere", "greet")

    assert [ran.json["session_id"] for ran in by_path] == ["first-here"] * 4
    assert (several.code, several.is_one_sentence) == (2, True)
    assert "first-here" in several.stderr
    assert "second-here" in several.stderr
    assert (over.code, over.json["session_id"]) == (0, "second-here")
    assert (dead.code, dead.is_one_sentence) == (2, True)
    assert "no session lives in" in dead.stderr
    assert (nowhere.code, nowhere.is_one_sentence) == (3, True)


async def test_an_id_goes_before_a_directory_of_the_same_name(world: World) -> None:
    """`twin` is the session of that id, `./twin` the one that works in the directory."""
    inside = world.project("twin")
    await world.run("start", str(world.project("elsewhere")), "--name", "twin")
    await world.run("start", str(inside), "--name", "in-twin")
    by_id, by_path = await world.run("status", "twin", "--json"), await world.run("status", "./twin", "--json")
    for name in ("twin", "in-twin"):
        await world.run("stop", name, "--timeout", "0")

    assert by_id.json["session_id"] == "twin"
    assert by_path.json["session_id"] == "in-twin"
