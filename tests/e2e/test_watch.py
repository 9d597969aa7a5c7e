"""`ls` and `watch` over a dozen sessions: what is shown is what is so. Their claudes are scripted, all else is real."""

import asyncio
import json
import re
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from temporalio.client import WorkflowExecutionDescription

from bench.crowd import light_claude
from tests.e2e.command_line import PROGRAM, CommandLine, finish
from tests.e2e.scene import Scene, playing, until
from tests.e2e.terminal import CTRL_C, Terminal, terminal
from workflows import lookout
from workflows.client import Sessions
from workflows.line import Line
from workflows.messages import Message, SessionOptions, SessionReport, workflow_id

SESSIONS = [f"s{number:02}" for number in range(12)]
ASKING, BUSY, RESTARTED, ASLEEP = "s05", "s08", "s03", "s11"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """A dozen sessions that do different things, and the command line."""

    scene: Scene
    run: CommandLine

    async def report(self, session_id: str) -> SessionReport:
        return await self.scene.sessions.status(session_id)

    async def reaches(self, session_id: str, status: str) -> None:
        async def look() -> bool:
            return (await self.report(session_id)).status == status

        await until(look)

    async def begin(self, session_id: str, text: str) -> str:
        """Send a message and return its turn's id."""
        turn_id = f"{text}-{session_id}"
        await self.scene.sessions.send(session_id, Message(turn_id=turn_id, text=text))
        return turn_id

    async def history_lengths(self) -> list[int]:
        handles = [self.scene.client.get_workflow_handle(workflow_id(name)) for name in SESSIONS]
        return [(await handle.describe()).history_length for handle in handles]

    def terminal(
        self, *arguments: str, columns: int = 120, **environment: str
    ) -> AbstractAsyncContextManager[Terminal]:
        """A command in a terminal."""
        program = (*PROGRAM, *arguments)
        return terminal(program, {**self.run.environment, **environment}, self.run.directory, columns=columns)


@pytest.fixture(scope="module")
async def crowd() -> AsyncIterator[Crowd]:
    with tempfile.TemporaryDirectory(prefix="dc-light-") as directory:
        async with playing(DURABLE_CLAUDE_EXECUTABLE=str(light_claude(Path(directory)))) as scene:
            await scene.new_worker()
            crowd = Crowd(scene=scene, run=CommandLine(scene.stage))
            await asyncio.gather(*(open_one(crowd, name) for name in SESSIONS))
            await crowd.reaches(ASLEEP, "hibernated")
            yield crowd


async def open_one(crowd: Crowd, name: str) -> None:
    project = crowd.scene.stage.project / name
    project.mkdir()
    options = SessionOptions(idle_seconds=0.5 if name == ASLEEP else 0.0)
    await Sessions(crowd.scene.client, options).open(str(project), session_id=name)
    await crowd.scene.sessions.wait_ready(name)
    turn_id = await crowd.begin(name, "hello")
    await crowd.scene.sessions.wait_turn(name, turn_id)
    if name == RESTARTED:
        await crowd.scene.kill_claude(await crowd.report(name))
    if name in (ASKING, BUSY):
        await crowd.begin(name, "ask" if name == ASKING else "hold")
        await crowd.reaches(name, "awaiting_approval" if name == ASKING else "busy")


def by_id(sessions: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {session["session_id"]: session for session in sessions}


async def test_a_dozen_sessions_are_listed_as_they_are(crowd: Crowd) -> None:
    """Status, turns and cost of each, in one list."""
    listed = by_id((await crowd.run("ls", "--json")).json)
    table = await crowd.run("ls")

    assert sorted(listed) == SESSIONS
    odd = {name: row["status"] for name, row in listed.items() if row["status"] != "ready"}
    assert odd == {ASKING: "awaiting_approval", BUSY: "busy", ASLEEP: "hibernated"}
    assert {(row["turns"], row["cost_usd"]) for row in listed.values()} == {(1, 0.01)}
    cells = [line.split("\t") for line in table.stdout.splitlines()]
    assert {cell[0]: cell[1] for cell in cells} == {name: row["status"] for name, row in listed.items()}
    assert {len(cell) for cell in cells} == {7}


async def test_a_look_shows_who_needs_a_person_first(crowd: Crowd) -> None:
    """The question leads and stands there; each process is the one that lives; nobody's history grows by looking."""
    lengths = await crowd.history_lengths()

    async def has_heartbeats() -> Any:
        seen = (await crowd.run("watch", "--once", "--json")).json
        return seen if by_id(seen["sessions"])[BUSY]["doing"] == "Bash: hold on" else None

    seen = await until(has_heartbeats)
    sessions = by_id(seen["sessions"])

    assert seen["counts"] == {"awaiting_approval": 1, "busy": 1, "ready": 9, "hibernated": 1}
    assert [session["session_id"] for session in seen["sessions"]][:2] == [ASKING, BUSY]
    assert seen["sessions"][-1]["session_id"] == ASLEEP
    assert (sessions[ASKING]["questions"], sessions[ASKING]["doing"]) == (1, "Bash: ask on")
    assert (sessions[BUSY]["turn_id"], sessions[BUSY]["turn_seconds"] > 0) == (f"hold-{BUSY}", True)
    assert (sessions[RESTARTED]["generation"], sessions[RESTARTED]["restarts"]) == (2, 1)
    assert sessions[ASLEEP]["pid"] is None
    for name in SESSIONS[:3]:
        assert sessions[name]["pid"] == (await crowd.report(name)).pid
        assert 1 < sessions[name]["rss_mb"] < 100
        assert psutil.pid_exists(sessions[name]["pid"])
    assert await crowd.history_lengths() == lengths


async def test_chosen_sessions_are_watched_in_a_pipe(crowd: Crowd) -> None:
    """No control codes, one table after the other, until it is interrupted; one that ends stays in it."""
    watching = await crowd.run.begin("watch", "s00", "./s01")
    assert watching.stdout is not None
    first = [(await watching.stdout.readline()).decode() for _ in range(4)]
    second = [(await watching.stdout.readline()).decode() for _ in range(4)]
    watching.send_signal(signal.SIGINT)
    left = await finish(watching)

    assert "2 sessions · 2 ready · 0.02 USD" in first[0]
    assert first[1].startswith("SESSION")
    assert [line.split()[:2] for line in second[2:]] == [["s01", "ready"], ["s00", "ready"]] or [
        line.split()[:2] for line in second[2:]
    ] == [["s00", "ready"], ["s01", "ready"]]
    assert "\x1b" not in "".join(first + second)
    assert (left.code, left.stderr) == (0, "")


async def test_a_person_sees_what_happens_while_it_happens(crowd: Crowd) -> None:
    """A turn that begins, a question that is answered elsewhere; a narrow window loses columns, no session; `q` leaves."""
    async with crowd.terminal("watch") as seen:
        whole = await seen.shows(lambda screen: all(name in screen for name in SESSIONS))
        await crowd.begin("s07", "ask")
        asked = await seen.shows("2 awaiting_approval")
        async with crowd.terminal("approve", "s07") as answering:
            answered = await answering.shows("is allowed")
            code = await answering.ended()
        await seen.shows(lambda screen: "1 awaiting_approval" in screen and "s07" in screen)
        seen.resize(40, 12)
        narrow = await seen.shows(lambda screen: "more" in screen and "TURN" not in screen)
        seen.type("q")
        left = await seen.ended()

    assert whole.splitlines()[2].split()[0] == "SESSION"
    assert asked.splitlines()[3].split()[1:3] == ["awaiting_approval", "1"]
    assert (code, answered) == (0, "a1 is allowed: Bash: ask on")
    assert ASKING in narrow
    assert max(len(line) for line in narrow.splitlines()) <= 40
    assert left == 0


@pytest.mark.parametrize("by", [CTRL_C, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
async def test_ctrl_c_leaves_and_the_terminal_is_as_before(crowd: Crowd, by: str | signal.Signals) -> None:
    """Nothing of it stays on the screen, keys are echoed again, and the exit code says that all is well."""
    async with crowd.terminal("watch") as seen:
        await seen.shows("12 sessions")
        while_watching = seen.is_restored
        if isinstance(by, str):
            seen.type(by)
        else:
            assert seen.process is not None
            seen.process.send_signal(by)
        code = await seen.ended()
        after = seen.is_restored

    assert (code, while_watching, after) == (0, False, True)
    assert b"\x1b[?1049l" in seen.written


async def test_no_color_means_none(crowd: Crowd) -> None:
    """With NO_COLOR the terminal gets no colour; without it the session that asks stands out."""
    async with crowd.terminal("watch", "--once", NO_COLOR="1") as plain, crowd.terminal("watch", "--once") as painted:
        codes = (await plain.ended(), await painted.ended())

    assert codes == (0, 0)
    assert set(COLOUR.findall(plain.written.decode())) <= {"\x1b[0m", "\x1b[1m", "\x1b[2m"}
    assert "\x1b[1;33m" in painted.written.decode()


async def test_a_host_is_asked_once_and_not_each_of_its_sessions(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only who asks a person something is looked at by itself; what was asked of the host is forgotten."""
    looked_at: list[str] = []
    describe = Line.describe

    async def told(line: Line, session_id: str) -> WorkflowExecutionDescription:
        looked_at.append(session_id)
        return await describe(line, session_id)

    async def seen() -> bool:
        return all(sight.load.get("pid") for sight in await eyes.look() if sight.row.session_id != ASLEEP)

    eyes = crowd.scene.sessions.lookout()
    await until(seen)
    monkeypatch.setattr(Line, "describe", told)
    sights = {sight.row.session_id: sight for sight in await eyes.look()}
    await eyes.close()

    async def is_forgotten() -> bool:
        return not [each async for each in crowd.scene.client.list_activities("ActivityType = 'view_host'")]

    await until(is_forgotten)
    assert looked_at == [ASKING]
    assert all(sight.load.get("pid") for name, sight in sights.items() if name != ASLEEP)
    assert sights[BUSY].turn_since is not None
    assert sights[ASKING].questions == 1


async def test_a_server_that_goes_away_is_told_and_waited_for(crowd: Crowd) -> None:
    """What was seen last stays, with the reason and the time; when the server is back, the next look is a new one."""
    watching = await crowd.run.begin("watch", "--json")
    assert watching.stdout is not None

    async def until_line(*, trouble: bool) -> dict[str, Any]:
        while line := await watching.stdout.readline():  # type: ignore[union-attr]
            if bool((seen := json.loads(line))["trouble"]) == trouble:
                return dict(seen)
        raise AssertionError("watch ended")

    async with asyncio.timeout(120):
        before = await until_line(trouble=False)
        await crowd.scene.kill_server()
        away = await until_line(trouble=True)
        await crowd.scene.bring_server_back()
        back = await until_line(trouble=False)
    watching.send_signal(signal.SIGINT)
    left = await finish(watching)

    assert "durable-claude up" in away["trouble"]
    assert len(before["sessions"]) == len(away["sessions"]) == len(back["sessions"]) == len(SESSIONS)
    assert back["at"] > away["at"]
    assert left.code == 0


async def test_without_a_worker_all_is_shown_as_it_was(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions that do not answer keep nobody from being looked at, again and again; their last status is known."""
    monkeypatch.setattr(lookout, "AT_ONCE", 2)
    await crowd.scene.kill_worker()
    eyes = crowd.scene.sessions.lookout()
    looks = []
    for _ in range(3):
        async with asyncio.timeout(10):
            looks.append(await eyes.look((), patience=0.2))
    await eyes.close()

    for seen in looks:
        assert {sight.row.session_id for sight in seen} == set(SESSIONS)
        assert {sight.row.session_id for sight in seen if sight.questions} >= {ASKING}
        assert all(sight.load.get("pid") for sight in seen if sight.row.session_id != ASLEEP)
