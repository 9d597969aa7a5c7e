"""`logs`, and what is shown where a journal cannot be followed: the command line against everything real."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from demo.messages_api import Hold, Text, Tool
from tests.e2e.command_line import CommandLine, Ran, finish, line_with
from tests.e2e.scene import Scene, playing
from tests.e2e.terminal import CTRL_C, CTRL_D, ENTER, typed

NO_STANDALONE_ACTIVITIES = "--dynamic-config-value activity.enableStandalone=false"


@dataclass(frozen=True, kw_only=True)
class World:
    """A server with a worker, the command line on its host, and the command line of another machine."""

    scene: Scene
    here: CommandLine
    elsewhere: CommandLine


def world_of(scene: Scene) -> World:
    other = scene.stage.root / "other-machine"
    away = {
        "TEMPORAL_ADDRESS": scene.plan.address,
        "DURABLE_CLAUDE_STATE_DIRECTORY": str(other / "state"),
        "DURABLE_CLAUDE_RUN_DIRECTORY": str(other / "run"),
    }
    return World(scene=scene, here=CommandLine(scene.stage), elsewhere=CommandLine(scene.stage, away))


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with playing() as scene:
        await scene.new_worker()
        five = scene.stage.project / "five.txt"
        five.write_text("".join(f"line {number}\n" for number in range(1, 6)))
        scene.api.script["count"] = [
            Text("I count."),
            Tool("Bash", {"command": f"cat {five}"}),
            Text("Five \x1b[31mlines\x07."),
        ]
        yield world_of(scene)


async def test_the_journal_is_told_on_another_machine(world: World) -> None:
    """What was asked, said, done and given back, and the restart between two processes; no control character gets through."""
    session = await world.scene.open()
    name = session.session_id
    await world.scene.begin(session, "count")
    await world.scene.end(session, "count")
    await world.scene.kill_claude(session)
    await world.scene.begin(session, "thanks")
    await world.scene.end(session, "thanks")
    told, last, since, second, none, unknown = await asyncio.gather(
        world.elsewhere("logs", name),
        world.elsewhere("logs", name, "--lines", "2"),
        world.elsewhere("logs", name, "--since-turn", "thanks"),
        world.elsewhere("logs", name, "--generation", "2", "--json"),
        world.elsewhere("logs", name, "--generation", "3"),
        world.elsewhere("logs", name, "--since-turn", "never"),
    )
    lines = told.stdout.splitlines()

    assert told.code == 0
    assert lines[:6] == ["› count", "I count.", lines[2], "    line 1", "    line 2", "    line 3"]
    assert lines[2].startswith("  Bash: cat ")
    assert lines[6:8] == ["    … (2 more lines)", "Five \N{REPLACEMENT CHARACTER}[31mlines\N{REPLACEMENT CHARACTER}."]
    assert lines[9] == "── claude was started again (process 2) ──"
    assert lines[10:12] == ["› thanks", "ok"]
    assert last.stdout.splitlines() == lines[-2:]
    assert since.stdout.splitlines() == lines[10:]
    assert [event["event"] for event in second.events] == ["asked", "said", "result"]
    assert (none.code, none.is_one_sentence) == (2, True)
    assert (unknown.code, unknown.is_one_sentence) == (2, True)


async def test_raw_lines_are_the_journal(world: World) -> None:
    """--raw prints what claude wrote, byte for byte, also the part that no person reads."""
    session = await world.scene.open()
    await world.scene.begin(session, "count")
    await world.scene.end(session, "count")
    raw = await world.elsewhere("logs", session.session_id, "--raw")
    journal = world.scene.stage.host.session(session.session_id).journal(1)

    assert raw.stdout == journal.read_text()
    assert json.loads(raw.stdout.splitlines()[-1])["type"]


async def test_a_follower_ends_with_the_session_with_ctrl_c_and_with_its_reader(world: World) -> None:
    """The first shows all and exits 0, the second is interrupted, the third ends soon after `| head` has gone."""
    session = await world.scene.open()
    name = session.session_id
    whole, interrupted, headed = [await world.elsewhere.begin("logs", name, "-f") for _ in range(3)]
    await world.scene.begin(session, "count")
    for process in (whole, interrupted, headed):
        assert process.stdout is not None
        await line_with(process.stdout, "I count.")
    interrupted.send_signal(signal.SIGINT)
    headed.stdout._transport.close()  # type: ignore[union-attr]
    async with asyncio.timeout(30):
        codes = [await interrupted.wait(), await headed.wait()]
    await world.scene.end(session, "count")
    await world.scene.stop(session)
    ended = await finish(whole)

    assert codes == [130, 0]
    assert (ended.code, ended.stderr) == (0, "")
    assert "Five" in ended.stdout
    for process in (interrupted, headed):
        assert process.stderr is not None
        assert b"Traceback" not in await process.stderr.read()


async def test_the_host_itself_reads_its_files_when_no_worker_does(world: World) -> None:
    """Without a worker another machine gets a sentence; on the host the journal is read as it lies there."""
    session = await world.scene.open()
    await world.scene.begin(session, "count")
    await world.scene.end(session, "count")
    await world.scene.kill_worker()
    here, elsewhere = await asyncio.gather(
        world.here("logs", session.session_id), world.elsewhere("logs", session.session_id)
    )
    await world.scene.new_worker()

    assert (here.code, here.stderr) == (0, "")
    assert "› count" in here.stdout
    assert (elsewhere.code, elsewhere.is_one_sentence) == (4, True)
    assert session.host_id in elsewhere.stderr


async def test_a_server_without_standalone_activities_still_shows_what_claude_does() -> None:
    """`logs` says what is missing, or reads the files on the host; `send` shows heartbeats; `chat` shows the answer."""
    async with playing(NO_STANDALONE_ACTIVITIES) as scene:
        await scene.new_worker()
        world = world_of(scene)
        scene.api.script["slow"] = [Tool("Bash", {"command": "echo begun; sleep 2"}), Text("It is done.")]
        session = await scene.open()
        sent: Ran = await world.elsewhere("send", session.session_id, "slow")
        logged, here = await asyncio.gather(
            world.elsewhere("logs", session.session_id), world.here("logs", session.session_id)
        )
        arguments = ("chat", session.session_id)
        async with typed(world.elsewhere.environment, scene.stage.project, *arguments) as screen:
            await screen.prompts()
            screen.type("hello" + ENTER)
            await screen.said("USD")
            await screen.prompts()
            screen.type(CTRL_D)
            await screen.ended()

    assert (sent.code, sent.stdout) == (0, "It is done.\n")
    assert "Bash: echo begun" in sent.stderr
    assert (logged.code, logged.is_one_sentence) == (1, True)
    assert "standalone activities" in logged.stderr
    assert "› slow" in here.stdout
    assert "ok" in screen.scroll
    assert "answers are shown when they are there" in "\n".join(screen.scroll)


async def test_a_terminal_shows_the_log_and_ctrl_c_ends_it(world: World) -> None:
    """On a terminal too nothing of claude's is obeyed, and raw lines are only printed."""
    world.scene.api.script["hold"] = [Text("\x1b]0;owned\x07"), Tool("Bash", {"command": "echo begun"}), Hold()]
    session = await world.scene.open()
    async with typed(
        world.elsewhere.environment, world.scene.stage.project, "logs", session.session_id, "-f"
    ) as screen:
        await world.scene.begin(session, "hold")
        await screen.said("begun", 2)
        screen.type(CTRL_C)
        code = await screen.ended()

    assert code == 130
    assert "\N{REPLACEMENT CHARACTER}]0;owned" in "\n".join(screen.scroll)
    assert b"\x1b]0;owned" not in screen.written
