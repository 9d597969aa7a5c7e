"""The command line against a real server, a real worker and the real claude; only the model is scripted."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from demo.messages_api import Hold, MessagesApi, Step, Text, Tool
from demo.stage import Stage, directories, free_ports, server
from tests.e2e.command_line import PATIENCE_SECONDS, CommandLine, Ran, finish, line_with
from tests.e2e.scene import playing

# Twice the processors of a small machine; each command takes some 80 MB.
AT_A_TIME = 4

SCRIPT: dict[str, Sequence[Step]] = {
    "count": [Tool("Bash", {"command": "echo counted; sleep 2"}), Text("It is one.")],
    "greet": [Text("Hello there.")],
    "linger": [Tool("Bash", {"command": "echo lingers"}), Hold(), Text("Done.")],
    "paint": [Text("\x1b[31mred\x1b[0m\x07")],
    "once": [Text("Done once.")],
    "later": [Text("I begin."), Tool("Bash", {"command": "echo begun; sleep 2"}), Hold(), Text("Much later.")],
}


@dataclass(frozen=True, kw_only=True)
class World:
    """What the commands of this module find: a server, a worker, and one session that is open already."""

    stage: Stage
    api: MessagesApi
    run: CommandLine

    def sessions_with_processes(self) -> set[str]:
        """Every session of which a process lives, by the mark in its environment."""
        return {name for process in psutil.process_iter() if (name := self._marked(process))}

    def project(self, name: str) -> str:
        path = self.stage.project / name
        path.mkdir(exist_ok=True)
        return str(path)

    def _marked(self, process: psutil.Process) -> str | None:
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            return None
        is_ours = environment.get("HOME") == str(self.stage.root / "home")
        return environment.get("DURABLE_CLAUDE_SESSION") if is_ours else None


@pytest.fixture(scope="module")
async def world(forsaken: object) -> AsyncIterator[World]:
    async with playing() as scene:
        scene.api.script.update(SCRIPT)
        await scene.new_worker()
        world = World(stage=scene.stage, api=scene.api, run=CommandLine(scene.stage))
        opened = await world.run("start", world.project("open"), "--name", "open-one")
        assert opened.code == 0, opened.stderr
        yield world


@dataclass(frozen=True, kw_only=True)
class Forsaken:
    """A session that was opened where no worker is, how it is listed, and what came of calls on it."""

    opened: Ran
    listed: Ran
    calls: list[Ran]


@pytest.fixture(scope="module")
async def forsaken() -> AsyncIterator[asyncio.Task[Forsaken]]:
    """Begun with the module's first test: each call waits for a worker until its patience ends."""
    task = asyncio.create_task(call_without_a_worker())
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def call_without_a_worker() -> Forsaken:
    with directories() as stage:
        async with server(stage):
            run = CommandLine(stage)
            opened = await run("start", ".", "--name", "waiting", "--no-wait")
            listed = await run("ls", "--json")
            needy = (("status", "waiting"), ("send", "waiting", "greet"), ("stop", "waiting"))
            calls = await asyncio.gather(*(run(*command) for command in needy))
            return Forsaken(opened=opened, listed=listed, calls=calls)


async def test_a_session_from_its_start_to_its_stop(world: World) -> None:
    """start prints the id, ls and status know it, send prints the answer, and stop leaves no process."""
    started = await world.run("start", world.project("My App"))
    session_id = started.stdout.strip()
    assert started.code == 0
    assert session_id.startswith("my-app-")
    assert session_id in world.sessions_with_processes()

    sent = await world.run("send", session_id, "greet")
    assert (sent.code, sent.stdout) == (0, "Hello there.\n")
    listed, looked = await asyncio.gather(world.run("ls", "--json"), world.run("status", session_id, "--json"))
    assert [row["status"] for row in listed.json if row["session_id"] == session_id] == ["ready"]
    assert (looked.json["turns_done"], looked.json["generation"]) == (1, 1)

    stopped = await world.run("stop", session_id)
    assert (stopped.code, stopped.stdout) == (0, f"{session_id} is stopped; no process of it is left\n")
    assert session_id not in world.sessions_with_processes()
    again, after, living, every, refused = await asyncio.gather(
        world.run("stop", session_id),
        world.run("status", session_id, "--json"),
        world.run("ls"),
        world.run("ls", "--all"),
        world.run("send", session_id, "greet"),
    )
    assert (again.code, after.json["status"]) == (0, "stopped")
    assert session_id not in living.stdout
    assert session_id in every.stdout
    assert (refused.code, refused.is_one_sentence) == (2, True)


async def test_a_start_with_a_message_shows_what_claude_does(world: World) -> None:
    """The answer alone goes to stdout; what claude does on the way goes to stderr, without colour in a pipe."""
    ran = await world.run("start", world.project("counting"), "--message", "count", "--name", "counting")
    await world.run("stop", "counting")

    assert (ran.code, ran.stdout) == (0, "It is one.\n")
    assert "Bash: echo counted" in ran.stderr
    assert "\x1b" not in ran.stderr


async def test_json_follows_a_turn_line_by_line(world: World) -> None:
    """With --json each line is an event: the session, what claude does, and at the end the turn."""
    ran = await world.run("start", "counting", "--message", "count", "--name", "counting-json", "--json")
    await world.run("stop", "counting-json")

    assert ran.code == 0
    events = ran.events
    assert [event["event"] for event in events] == ["session", "action", "turn"]
    assert events[0]["session_id"] == "counting-json"
    assert events[1]["text"].startswith("Bash: echo counted")
    assert (events[2]["state"], events[2]["ended"]["text"]) == ("done", "It is one.")


async def test_a_turn_sent_twice_runs_once(world: World) -> None:
    """The same turn id is answered again with the same answer, and the model is not asked again."""
    first = await world.run("send", "open-one", "once", "--turn-id", "t-1")
    again = await world.run("send", "open-one", "-", "--turn-id", "t-1", stdin=b"once")

    assert (first.stdout, again.stdout) == ("Done once.\n", "Done once.\n")
    assert world.api.asked["once"] == 1


async def test_ctrl_c_leaves_the_turn_running(world: World) -> None:
    """An interrupted command says that the turn goes on, and `wait` shows its answer later."""
    following = await world.run.begin("send", "open-one", "later", "--turn-id", "t-later")
    assert following.stderr is not None
    await line_with(following.stderr, "Bash: echo begun")
    following.send_signal(signal.SIGINT)
    left = await finish(following)
    world.api.release("later")
    waited = await world.run("wait", "open-one", "t-later")

    assert left.code == 130
    assert "The turn goes on: `durable-claude wait open-one t-later`" in left.stderr
    assert (waited.code, waited.stdout) == (0, "Much later.\n")


async def test_heartbeats_name_their_turn(world: World) -> None:
    """What the running turn does carries its id, so that nobody takes it for another turn's."""
    left = await world.run("send", "open-one", "linger", "--no-wait")
    turn_id = left.stdout.strip()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (doing := (await world.run("status", "open-one", "--json")).json["doing"]):
            await asyncio.sleep(0.05)
    world.api.release("linger")
    await world.run("wait", "open-one", turn_id)

    assert doing["turn_id"] == turn_id


async def test_a_message_may_be_left_behind(world: World) -> None:
    """--no-wait prints the turn's id, by which the answer is had later."""
    left = await world.run("send", "open-one", "greet", "--no-wait")
    waited = await world.run("wait", "open-one", left.stdout.strip())

    assert (left.code, waited.stdout) == (0, "Hello there.\n")


async def test_a_session_is_named_by_the_beginning_of_its_id(world: World) -> None:
    """A beginning that fits one session names it; one that fits several is refused with their names."""
    twins, project = ("twin-a", "twin-b"), world.project("twins")
    await asyncio.gather(*(world.run("start", project, "--name", name, "--no-wait") for name in twins))
    named, unclear, short = await asyncio.gather(
        world.run("status", "twin-a", "--json"), world.run("status", "twin"), world.run("status", "open", "--json")
    )
    stopped = await asyncio.gather(*(world.run("stop", name, "--timeout", "0", "--json") for name in twins))
    assert [ran.json["status"] for ran in stopped] == ["stopped", "stopped"]

    assert named.json["session_id"] == "twin-a"
    assert (unclear.code, unclear.is_one_sentence) == (2, True)
    assert "twin-a" in unclear.stderr
    assert short.json["session_id"] == "open-one"


async def test_what_claude_says_cannot_drive_the_terminal(world: World) -> None:
    """Escape sequences in an answer are shown as what they are: not printable."""
    ran = await world.run("send", "open-one", "paint")

    assert (ran.code, ran.stdout) == (
        0,
        "\N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}[0m\N{REPLACEMENT CHARACTER}\n",
    )


BAD_SENDS = {
    "an empty message": (("send", "open-one", "  "), b"", 2, "the message is empty"),
    "a message of 2 MB": (("send", "open-one", "-"), b"x" * 2_000_000, 2, "at most 262144 are taken"),
    "a message that is no text": (("send", "open-one", "-"), b"\xff\xfe", 2, "not valid UTF-8"),
    "an unknown session": (("send", "nobody", "greet"), b"", 3, "no session 'nobody' is known"),
    "a session id with a colon": (("send", "a:b", "greet"), b"", 2, "'a:b'"),
    "a directory without a session": (("send", "a/b", "greet"), b"", 3, "project/a/b'"),
    "a session id of 500 characters": (("status", "x" * 500), b"", 2, "64"),
    "an unknown turn": (("wait", "open-one", "never-sent"), b"", 2, "no turn 'never-sent' is known"),
    "a session to stop that is unknown": (("stop", "nobody"), b"", 3, "no session 'nobody' is known"),
    "an unknown option": (("ls", "--colour"), b"", 2, "--colour"),
    "an unknown command": (("lst",), b"", 2, "'lst'"),
    "a missing argument": (("send", "open-one"), b"", 2, "TEXT"),
}


@dataclass(frozen=True, kw_only=True)
class Refusals:
    """What came of commands that cannot be meant, and the sessions that had processes before and after all of them."""

    ran: dict[str, Ran]
    before: set[str]
    after: set[str]


async def refused(world: World, commands: Mapping[str, tuple[tuple[str, ...], bytes]], **environment: str) -> Refusals:
    """Run the commands, some at a time: each is a process that mostly imports."""
    before, room = world.sessions_with_processes(), asyncio.Semaphore(AT_A_TIME)

    async def run(arguments: tuple[str, ...], stdin: bytes) -> Ran:
        async with room:
            return await world.run(*arguments, stdin=stdin, **environment)

    ran = await asyncio.gather(*(run(*command) for command in commands.values()))
    return Refusals(ran=dict(zip(commands, ran, strict=True)), before=before, after=world.sessions_with_processes())


@pytest.fixture(scope="module")
async def bad_sends(world: World) -> Refusals:
    return await refused(world, {what: (arguments, stdin) for what, (arguments, stdin, _, _) in BAD_SENDS.items()})


@pytest.mark.parametrize("what", BAD_SENDS)
async def test_bad_input_is_one_sentence(bad_sends: Refusals, what: str) -> None:
    """Input that cannot be meant gets its exit code and one sentence, and starts nothing."""
    _, _, code, said = BAD_SENDS[what]
    ran = bad_sends.ran[what]

    assert (ran.code, ran.is_one_sentence) == (code, True), ran
    assert said in ran.stderr
    assert bad_sends.before == bad_sends.after


BAD_STARTS = {
    "a path outside the roots": ("{root}", (), 1, "outside"),
    "a file": ("{project}/a-file", (), 1, "a-file"),
    "a link out of the roots": ("{project}/a-link", (), 1, "outside"),
    "a path that is not there": ("{project}/nothing", (), 1, "nothing"),
    "an empty path": ("", (), 2, "path is empty"),
    "an empty message": ("{project}", ("--message", ""), 2, "the message is empty"),
    "a message of 2 MB": ("{project}", ("--message", "-"), 2, "at most 262144 are taken"),
    "a name with a slash": ("{project}", ("--name", "../up"), 2, "'../up'"),
    "a name of 500 characters": ("{project}", ("--name", "x" * 500), 2, "64"),
    "a name that is taken": ("{project}", ("--name", "open-one"), 2, "'open-one' exists already"),
}


@pytest.fixture(scope="module")
async def bad_starts(world: World) -> Refusals:
    project = world.stage.project
    prepare_bad_paths(project)
    commands = {
        what: (("start", path.format(root=world.stage.root, project=project), *more), b"x" * 2_000_000)
        for what, (path, more, _, _) in BAD_STARTS.items()
    }
    return await refused(world, commands)


@pytest.mark.parametrize("what", BAD_STARTS)
async def test_a_start_that_cannot_be_starts_nothing(bad_starts: Refusals, what: str) -> None:
    """A start with a bad path, message or name says so in one sentence; no process comes of it and none goes."""
    _, _, code, said = BAD_STARTS[what]
    ran = bad_starts.ran[what]

    assert (ran.code, ran.is_one_sentence) == (code, True), ran
    assert said in ran.stderr
    assert bad_starts.before == bad_starts.after


def prepare_bad_paths(project: Path) -> None:
    (project / "a-file").touch()
    if not (project / "a-link").is_symlink():
        (project / "a-link").symlink_to("/")


NEEDS_A_SERVER = [
    *(("ls",), ("watch",), ("start", "."), ("send", "open-one", "greet"), ("stop", "open-one")),
    *(("approve", "open-one"), ("resume", "."), ("status", "open-one", "--json")),
]


@pytest.fixture(scope="module")
async def unreachable(world: World) -> Refusals:
    port, _ = free_ports()
    commands = {" ".join(command): (command, b"") for command in NEEDS_A_SERVER}
    return await refused(world, commands, TEMPORAL_ADDRESS=f"127.0.0.1:{port}")


@pytest.mark.parametrize("command", NEEDS_A_SERVER, ids=" ".join)
async def test_a_server_that_is_away_is_one_sentence(unreachable: Refusals, command: tuple[str, ...]) -> None:
    """Without Temporal every command says how to start one, with an exit code of its own, and starts nothing."""
    ran = unreachable.ran[" ".join(command)]

    assert (ran.code, ran.is_one_sentence) == (4, True), ran
    assert "durable-claude up" in ran.stderr
    assert unreachable.before == unreachable.after


async def test_a_worker_that_is_away_is_one_sentence(forsaken: asyncio.Task[Forsaken]) -> None:
    """With Temporal but no worker a session can be opened and listed; what needs a worker says so after some seconds."""
    found = await forsaken

    assert (found.opened.code, [row["status"] for row in found.listed.json]) == (0, ["starting"])
    for ran in found.calls:
        assert (ran.code, ran.is_one_sentence) == (4, True), ran
        assert "durable-claude up" in ran.stderr


async def test_a_setting_that_cannot_be_meant_is_refused(world: World) -> None:
    """A misspelt setting ends every command before it does anything."""
    ran = await world.run("ls", DURABLE_CLAUDE_LOG_LEVLE="debug")

    assert ran.code == 2
    assert "did you mean DURABLE_CLAUDE_LOG_LEVEL?" in ran.stderr


async def test_a_session_is_undisturbed_by_all_that_was_refused(world: World) -> None:
    """The session that was open all the time runs the claude it was started with."""
    report = (await world.run("status", "open-one", "--json")).json

    assert (report["status"], report["generation"], report["restarts"]) == ("ready", 1, 0)
