"""Commands on sessions in every state that is not `ready`: each gets one clear sentence and the documented exit code."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bench.crowd import light_claude
from tests.e2e.command_line import CommandLine, Ran, finish, line_with
from tests.e2e.scene import Scene, playing, until
from workflows.client import Sessions
from workflows.messages import Message, SessionOptions, SessionReport

AT_A_TIME = 4
# A host that falls silent is given up at once, and a claude that dies is started again for as long as the tests last.
OPTIONS = SessionOptions(host_away_seconds=1.0, heartbeat_timeout_seconds=2.0, restart_limit=100)


@dataclass(frozen=True, kw_only=True)
class States:
    """A server where a session is in each state, under the state's name, and the command line."""

    scene: Scene
    run: CommandLine

    async def open(self, name: str, options: SessionOptions = OPTIONS) -> None:
        await Sessions(self.scene.client, options).open(str(self.scene.stage.project), session_id=name)
        await self.scene.sessions.wait_ready(name)

    async def reaches(self, name: str, condition: str) -> SessionReport:
        async def look() -> SessionReport | None:
            report = await self.scene.sessions.status(name)
            return report if report.status == condition else None

        report: SessionReport = await until(look)
        return report


@pytest.fixture(scope="module")
async def states() -> AsyncIterator[States]:
    with tempfile.TemporaryDirectory(prefix="dc-light-") as directory:
        async with playing(DURABLE_CLAUDE_EXECUTABLE=str(light_claude(Path(directory)))) as scene:
            await scene.new_worker()
            states = States(scene=scene, run=CommandLine(scene.stage))
            await leave_a_host(states)
            await asyncio.gather(*(prepare(states) for prepare in (asleep, failed, stopped, starting, twins)))
            await states.reaches("lost", "host_lost")
            await restarting(states)
            yield states
            # The lost one ends with the stage; nobody else would end those of the other host.
            living = [row.session_id async for row in scene.sessions.list() if row.session_id != "lost"]
            await asyncio.gather(*(scene.sessions.stop(name, 0) for name in living))


async def leave_a_host(states: States) -> None:
    """A session on a host that is gone; another host takes all the others."""
    await states.open("lost")
    await states.scene.kill_worker()
    elsewhere = states.scene.stage.root / "elsewhere"
    states.scene.workers._environment = {
        **states.scene.workers._environment,
        "DURABLE_CLAUDE_STATE_DIRECTORY": str(elsewhere / "state"),
        "DURABLE_CLAUDE_RUN_DIRECTORY": str(elsewhere / "run"),
    }
    await states.scene.new_worker()


async def asleep(states: States) -> None:
    await states.open("asleep", replace(OPTIONS, idle_seconds=0.2))
    await states.reaches("asleep", "hibernated")


async def failed(states: States) -> None:
    await states.scene.sessions.open("/", session_id="failed")
    await states.reaches("failed", "failed")


async def stopped(states: States) -> None:
    await states.open("stopped")
    await states.scene.sessions.stop("stopped", 0)


async def starting(states: States) -> None:
    opened = states.scene.sessions._opening.opened(str(states.scene.stage.project), "starting")
    await states.scene.sessions._opening.start(replace(opened, host_id="nowhere", options=OPTIONS))


async def restarting(states: States) -> None:
    """After some deaths the pauses are long."""
    await states.open("dying")
    await states.scene.sessions.send("dying", Message(turn_id="die", text="die"))

    async def rests() -> bool:
        report = await states.scene.sessions.status("dying")
        return report.status == "restarting" and report.restarts >= 4

    await until(rests)


async def twins(states: States) -> None:
    for name in ("twin-a", "twin-b"):
        await states.open(name)


# What is typed, the exit code, and a part of the one sentence on stderr. Nothing here changes a session.
SAID: dict[str, tuple[int, str]] = {
    # First, while it rests between two deaths.
    "approve dying": (2, "nothing waits for an answer: session 'dying' is restarting"),
    "interrupt dying": (2, "no turn is running: the session is restarting"),
    "approve asleep": (2, "nothing waits for an answer: session 'asleep' is hibernated"),
    "approve starting": (2, "nothing waits for an answer: session 'starting' is starting"),
    "approve lost": (2, "nothing waits for an answer: session 'lost' is host_lost"),
    "approve failed": (2, "nothing waits for an answer: session 'failed' is failed"),
    "approve stopped": (2, "nothing waits for an answer: session 'stopped' is stopped"),
    "approve nobody": (3, "no session 'nobody' is known"),
    "approve twin": (2, "fits 2 sessions (twin-"),
    "deny lost a1": (2, "there is no question 'a1'"),
    "answer asleep a1 x=y": (2, "there is no question 'a1'"),
    "interrupt asleep": (2, "no turn is running: the session is hibernated"),
    "interrupt starting": (2, "no turn is running: the session is starting"),
    "interrupt lost": (2, "no turn is running: the session is host_lost"),
    "interrupt failed": (2, "has ended: `durable-claude resume failed`"),
    "interrupt stopped": (2, "has ended: `durable-claude resume stopped`"),
    "interrupt nobody": (3, "no session 'nobody' is known"),
    "interrupt twin": (2, "fits 2 sessions (twin-"),
    "send failed hello": (2, "has ended: `durable-claude resume failed`"),
    "send stopped hello": (2, "has ended: `durable-claude resume stopped`"),
    "cancel stopped t": (2, "has ended: `durable-claude resume stopped`"),
    "cancel asleep t": (2, "'t' is not queued"),
    "wait stopped t": (2, "no turn 't' is known"),
    "resume starting": (4, "no worker has taken this session yet"),
    "resume lost": (4, "waits for its host"),
    "resume failed": (1, "outside the allowed roots"),
    "resume stopped": (2, "was stopped for good"),
    "resume nobody": (3, "no session 'nobody' is known"),
    "fork nobody": (3, "no session 'nobody' is known"),
    "watch nobody": (3, "no session 'nobody' is known"),
    "stop nobody": (3, "no session 'nobody' is known"),
    "stop twin": (2, "fits 2 sessions (twin-"),
    "status twin": (2, "fits 2 sessions (twin-"),
}


@pytest.fixture(scope="module")
async def said(states: States) -> dict[str, Ran]:
    room = asyncio.Semaphore(AT_A_TIME)

    async def run(typed: str) -> Ran:
        async with room:
            return await states.run(*typed.split())

    ran = await asyncio.gather(*(run(typed) for typed in SAID))
    return dict(zip(SAID, ran, strict=True))


@pytest.mark.parametrize("typed", SAID)
async def test_every_state_has_its_sentence_and_its_exit_code(said: dict[str, Ran], typed: str) -> None:
    """One sentence says what is the case or what to do, and the exit code is the documented one."""
    code, sentence = SAID[typed]
    ran = said[typed]

    assert sentence in ran.stderr
    # What was waited for on the way may be told before.
    assert (ran.code, len(ran.stderr.splitlines()), ran.stdout) == (code, 1, "")


async def test_a_stop_that_waits_for_its_host_says_so(said: dict[str, Ran], states: States) -> None:
    """At once, with the host's name; whoever does not wait for it is told that the stop goes on."""
    stopping = await states.run.begin("stop", "lost")
    assert stopping.stderr is not None
    waits = await line_with(stopping.stderr, "no worker of host")
    await states.reaches("lost", "stopping")
    stopping.send_signal(signal.SIGINT)
    left = await finish(stopping)

    assert "the stop is carried out when it is back" in waits
    assert (left.code, left.stdout) == (130, "")
    assert "The stop goes on: `durable-claude status lost`" in left.stderr


async def test_sessions_that_rest_or_have_ended_are_stopped(said: dict[str, Ran], states: States) -> None:
    """A stop ends what sleeps, dies or never started, and of what has ended it says so; twice is no error."""
    names = {"asleep": "stopped", "dying": "stopped", "starting": "stopped", "failed": "failed", "stopped": "stopped"}
    ran = {name: await states.run("stop", name, "--timeout", "0") for name in names}
    again = await states.run("stop", "asleep")

    assert {name: (stop.code, stop.stdout) for name, stop in ran.items()} == {
        name: (0, f"{name} is {status}; no process of it is left\n") for name, status in names.items()
    }
    assert again.code == 0
