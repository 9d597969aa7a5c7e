"""A conversation in a real terminal: what stands on the screen is what happened."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.messages_api import Hold, Step, Text, Tool, Tools
from tests.e2e.command_line import CommandLine
from tests.e2e.scene import Scene, playing, until
from tests.e2e.terminal import ALT_ENTER, CTRL_C, CTRL_D, ENTER, UP, Terminal, typed
from workflows.messages import Message, SessionReport


@dataclass(frozen=True, kw_only=True)
class World:
    """A server with a worker, the command line, and terminals."""

    scene: Scene
    run: CommandLine

    def chat(self, *arguments: str) -> AbstractAsyncContextManager[Terminal]:
        return typed(self.run.environment, self.scene.stage.project, "chat", *arguments)

    def touches(self, prompt: str, *names: str) -> list[Path]:
        """The files that claude makes, one after the other, when it is asked to by this prompt."""
        files = [self.scene.stage.project / name for name in names]
        steps: list[Step] = [Tool("Bash", {"command": f"touch {path}"}) for path in files]
        self.scene.api.script[prompt] = [*steps, Text(f"{prompt} is over.")]
        return files

    def said_to_claude(self) -> str:
        return str(self.scene.api.requests[-1]["messages"])

    async def report(self, session: SessionReport) -> SessionReport:
        return await self.scene.sessions.status(session.session_id)


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with playing() as scene:
        await scene.new_worker()
        yield World(scene=scene, run=CommandLine(scene.stage))


@pytest.fixture(autouse=True)
async def stop_sessions(world: World) -> AsyncIterator[None]:
    """Each test has the machine for itself."""
    if world.scene.worker is None or world.scene.worker.returncode is not None:
        await world.scene.new_worker()
    yield
    async for row in world.scene.sessions.list():
        await world.scene.sessions.stop(row.session_id, timeout_seconds=0)


async def say(screen: Terminal, text: str) -> None:
    await screen.prompts()
    screen.type(text + ENTER)


async def leave(screen: Terminal) -> int:
    """Press Ctrl-D at an empty line; the exit code."""
    await screen.prompts()
    screen.type(CTRL_D)
    return await screen.ended()


async def test_what_claude_does_and_says_stands_below_what_was_asked(world: World) -> None:
    """Message, text, tool call, its result, answer and figures, in this order and once; the session knows the turn."""
    world.scene.api.script["count"] = [Text("I count."), Tool("Bash", {"command": "echo counted"}), Text("It is one.")]
    session = await world.scene.open()
    async with world.chat(session.session_id) as screen:
        await say(screen, "count")
        await screen.said("USD")
        await say(screen, "thanks")
        await screen.said("USD", 2)
        code = await leave(screen)
    report = await world.report(session)
    [first, *between, last] = screen.scroll[2:-2]

    assert code == 0
    assert (first, last) == ("› count", "›")
    assert between[:4] == ["I count.", "  Bash: echo counted", "    counted", "It is one."]
    assert between[5:7] == ["› thanks", "ok"]
    assert between[4].endswith(" s · 0.0005 USD")
    assert (report.turns_done, report.status, report.pid) == (2, "ready", session.pid)
    assert world.scene.api.answered["count"] == world.scene.api.answered["thanks"] == 1
    assert f"durable-claude chat {session.session_id}" in "\n".join(screen.scroll)


@pytest.mark.parametrize(
    ("typed", "runs", "said"),
    [
        ("y", True, "a1 is allowed"),
        ("n", False, "a1 is denied"),
        ("use the other file", False, "a1 is denied: use the other file"),
    ],
)
async def test_a_question_is_answered_where_it_is_asked(world: World, *, typed: str, runs: bool, said: str) -> None:
    """The tool and its input are shown; y runs it, n does not, and anything else is told to claude."""
    [made] = world.touches(f"try {typed}", f"tried-{typed[0]}")
    session = await world.scene.open()
    async with world.chat(session.session_id) as screen:
        await say(screen, f"try {typed}")
        asked = await screen.said("allow?")
        existed = made.exists()
        screen.type("a" * 3 + "\x7f" * 3 + typed + ENTER)
        await screen.said(f"try {typed} is over.")
        await leave(screen)

    assert f"command: touch {made}" in asked
    assert said in "\n".join(screen.scroll)
    assert (existed, made.exists()) == (False, runs)
    assert ("use the other file" in world.said_to_claude().partition("tool_result")[2]) == (len(typed) > 1)


async def test_leave_for_the_turn_and_for_good(world: World) -> None:
    """t is asked once in the turn, a never again for the same; what cannot be meant is said, and asked again."""
    one, two = world.touches("both", "one", "two")
    [three] = world.touches("third", "three")
    world.touches("again", "three")
    session = await world.scene.open()
    async with world.chat(session.session_id) as screen:
        await say(screen, "both")
        await screen.said("allow?")
        screen.type(ENTER)
        await screen.said("say y yes, n no")
        await screen.said("allow?", 2)
        screen.type("t" + ENTER)
        await screen.said("both is over.")
        await say(screen, "third")
        await screen.said("allow?", 3)
        screen.type("a" + ENTER)
        await screen.said("third is over.")
        await say(screen, "again")
        await screen.said("again is over.")
        await leave(screen)

    assert one.exists()
    assert two.exists()
    assert three.exists()
    assert "\n".join(screen.scroll).count("allow?") == 3


async def test_several_questions_are_asked_one_after_the_other(world: World) -> None:
    """Each gets its own answer, and one that another terminal answers first is taken off the screen."""
    files = [world.scene.stage.root / name for name in ("public", "secret", "shared")]
    for path in files:
        path.write_text(f"the text of {path.name}")
    world.scene.api.script["read"] = [Tools([Tool("Read", {"file_path": str(path)}) for path in files]), Text("Read.")]
    session = await world.scene.open()
    async with world.chat(session.session_id) as screen:
        await say(screen, "read")
        try:
            await world.scene.asked(session, count=3)
        except AssertionError as error:
            raise AssertionError(f"{error}; on the screen: {screen.scroll}") from None
        await screen.said("allow?")
        screen.type("y" + ENTER)
        await screen.said("a2: may claude use Read?")
        screen.type("half of an answ")
        await screen.said("allow? half of an answ")
        denied = await world.run("deny", session.session_id, "a2")
        await screen.said("a2 needs no answer any more")
        await screen.said("a3: may claude use Read?")
        await screen.said("allow?", 2)
        screen.type("y" + ENTER)
        await screen.said("USD")
        await leave(screen)

    assert denied.code == 0
    assert "half of an answ" not in "\n".join(screen.scroll)
    assert all(f"the text of {name}" in world.said_to_claude() for name in ("public", "shared"))
    assert "the text of secret" not in world.said_to_claude()


async def test_what_claude_asks_by_itself_is_answered_by_number_or_in_own_words(world: World) -> None:
    """The choices are numbered; several where several may be taken."""

    def asks(what: str, *labels: str, several: bool = False) -> dict[str, Any]:
        options = [{"label": label, "description": label} for label in labels]
        return {"question": f"Which {what}?", "header": what, "options": options, "multiSelect": several}

    questions = [
        asks("colour", "Red", "Blue"),
        asks("rooms", "Kitchen", "Bath", "Attic", several=True),
        asks("roof", "Flat", "Steep"),
    ]
    world.scene.api.script["build"] = [Tool("AskUserQuestion", {"questions": questions}), Text("I build.")]
    session = await world.scene.open()
    async with world.chat(session.session_id) as screen:
        await say(screen, "build")
        for asked, answer in (("colour", "2"), ("rooms", "1, 3"), ("roof", "thatched")):
            await screen.said(f"Which {asked}?")
            await until(lambda: ends_with_colon(screen))
            screen.type(answer + ENTER)
        await screen.said("I build.")
        await leave(screen)

    told = world.said_to_claude()
    assert "    2 Blue" in screen.scroll
    assert "several with commas" in "\n".join(screen.scroll)
    assert '"Which colour?"="Blue"' in told
    assert '"Which rooms?"="Kitchen, Attic"' in told
    assert '"Which roof?"="thatched"' in told


async def ends_with_colon(screen: Terminal) -> bool:
    return screen.scroll[-1].endswith(":")


async def test_ctrl_c_interrupts_and_a_second_one_leaves(world: World) -> None:
    """First the turn ends and the conversation goes on; twice leaves a turn that does not end, and says how to return."""
    world.scene.api.script["endless"] = [Text("I begin."), Hold()]
    world.scene.api.script["next"] = [Text("As if nothing was.")]
    session = await world.scene.open()
    async with world.chat(session.session_id) as screen:
        await say(screen, "endless")
        await world.scene.api.wait_asked("endless")
        await screen.said("claude works")
        screen.type(CTRL_C)
        await screen.said("was interrupted")
        await say(screen, "next")
        await screen.said("As if nothing was.")
        await screen.prompts()
        screen.type("never sent" + CTRL_C)
        await say(screen, "endless")
        await world.scene.api.wait_asked("endless", 2)
        screen.type(CTRL_C)
        await screen.said("Ctrl-C again leaves", 2)
        screen.type(CTRL_C)
        code = await screen.ended()
    report = await world.report(session)

    assert code == 0
    assert report.pid == session.pid
    assert f"durable-claude chat {session.session_id}" in "\n".join(screen.scroll)
    assert world.scene.api.asked["never sent"] == 0


async def test_ctrl_c_takes_a_message_back_that_waits_for_somebody_elses_turn(world: World) -> None:
    """Their turn goes on to its end; the message is never begun, and the conversation goes on."""
    world.scene.api.script["theirs"] = [Text("I begin."), Hold(), Text("I end.")]
    session = await world.scene.open()
    async with world.chat(session.session_id) as screen:
        await screen.prompts()
        await world.scene.sessions.send(session.session_id, Message(turn_id="theirs", text="theirs"))
        await screen.said("I begin.")
        await say(screen, "mine")
        await screen.said("claude works")
        screen.type(CTRL_C)
        await screen.said("your message is taken back")
        running = (await world.report(session)).turn_id
        world.scene.api.release("theirs")
        await screen.said("I end.")
        await say(screen, "next")
        await screen.said("USD")
        await leave(screen)
    theirs = await world.scene.sessions.wait_turn(session.session_id, "theirs")

    assert running == "theirs"
    assert theirs.ended is not None
    assert theirs.ended.error_kind == ""
    assert (await world.report(session)).turns_done == 2
    assert world.scene.api.asked["mine"] == 0


async def test_a_conversation_is_rejoined_in_mid_turn(world: World) -> None:
    """The terminal goes away and the turn goes on; who comes back sees it from its beginning."""
    world.scene.api.script["long"] = [Tool("Bash", {"command": "echo begun"}), Hold(), Text("At last.")]
    session = await world.scene.open()
    async with world.chat(session.session_id) as screen:
        await say(screen, "long")
        await screen.said("    begun")
        assert screen.process is not None
        screen.process.kill()
        await screen.process.wait()
    async with world.chat(session.session_id) as again:
        await again.said("    begun")
        await again.prompts()
        world.scene.api.release("long")
        await again.said("At last.")
        await leave(again)

    assert "› long" in again.scroll
    assert (await world.report(session)).turns_done == 1


async def test_lines_are_edited_and_remembered(world: World) -> None:
    """Alt-Enter begins another line, the arrows bring back what was sent, also in the next conversation."""
    session = await world.scene.open()
    async with world.chat(session.session_id) as screen:
        await screen.prompts()
        screen.type("two" + ALT_ENTER + "lines" + ENTER)
        await screen.said("USD")
        await leave(screen)
    async with world.chat(session.session_id) as again:
        await again.prompts()
        again.type(UP)
        await again.said("two\n  lines")
        again.type(ENTER)
        await again.said("USD")
        await leave(again)
    history = world.scene.stage.host.state / "chat.history"

    assert world.scene.api.answered["two\nlines"] == 2
    assert history.stat().st_mode & 0o077 == 0


async def test_what_others_do_appears_above_the_line_that_is_typed(world: World) -> None:
    """A turn from elsewhere is shown, its question is asked here, and the half typed message is there afterwards."""
    [made] = world.touches("from elsewhere", "elsewhere")
    world.scene.api.script["half a message"] = [Text("Whole now.")]
    session = await world.scene.open()
    async with world.chat(session.session_id) as screen:
        await screen.prompts()
        screen.type("half a ")
        await screen.said("› half a")
        await world.scene.sessions.send(session.session_id, Message(turn_id="theirs", text="from elsewhere"))
        await screen.said("allow?")
        screen.type("y" + ENTER)
        await screen.said("from elsewhere is over.")
        await screen.said("› half a")
        screen.type("message" + ENTER)
        await screen.said("Whole now.")
        await leave(screen)

    assert "› from elsewhere" in screen.scroll
    assert "\n".join(screen.scroll).count("half a") == 1
    assert made.exists()
    assert world.scene.api.answered["half a message"] == 1


async def test_a_directory_has_one_conversation(world: World) -> None:
    """`chat PATH` opens a session for the directory, and comes back to it the next time."""
    async with world.chat(".") as screen:
        await say(screen, "remember 42")
        await screen.said("USD")
        await leave(screen)
    async with world.chat(str(world.scene.stage.project)) as again:
        await say(again, "which number?")
        await again.said("USD")
        await leave(again)
    rows = [row async for row in world.scene.sessions.list()]

    assert len(rows) == 1
    assert rows[0].session_id in "\n".join(screen.scroll)
    assert rows[0].session_id in "\n".join(again.scroll)
    assert "remember 42" in world.said_to_claude()


async def test_a_conversation_outlasts_its_worker(world: World) -> None:
    """The worker is killed in mid-turn; the next one brings the rest of the turn."""
    world.scene.api.script["patience"] = [
        Text("I begin."),
        Tool("Bash", {"command": "echo begun"}),
        Hold(),
        Text("I end."),
    ]
    session = await world.scene.open()
    async with world.chat(session.session_id) as screen:
        await say(screen, "patience")
        await screen.said("    begun")
        await world.scene.kill_worker()
        world.scene.api.release("patience")
        await world.scene.new_worker()
        await screen.said("I end.")
        await leave(screen)

    assert "\n".join(screen.scroll).count("I begin.") == "\n".join(screen.scroll).count("I end.") == 1
    assert (await world.report(session)).pid == session.pid


async def test_what_claude_says_cannot_drive_the_terminal(world: World) -> None:
    """Control characters of claude's, of a tool and of a question arrive as replacement characters."""
    evil = "\x1b]0;owned\x07\x1b[2J"
    world.scene.api.script["paint"] = [
        Text(f"red{evil}"),
        Tool("Write", {"file_path": str(world.scene.stage.project / "evil"), "content": evil}),
        Text("Painted."),
    ]
    session = await world.scene.open()
    async with world.chat(session.session_id) as screen:
        await say(screen, "paint")
        await screen.said("allow?")
        screen.type("n" + ENTER)
        await screen.said("Painted.")
        await leave(screen)
    shown = screen.written

    assert "red\N{REPLACEMENT CHARACTER}]0;owned" in "\n".join(screen.scroll)
    assert b"\x1b]0;owned" not in shown
    assert b"\x07" not in shown


async def test_a_session_that_ends_ends_the_conversation(world: World) -> None:
    """Stopped from elsewhere, it says so with an exit code that is not 0; another chat with it is refused."""
    session = await world.scene.open()
    async with world.chat(session.session_id) as screen:
        await screen.prompts()
        await world.scene.stop(session)
        code = await screen.ended()
    async with world.chat(session.session_id) as again:
        refused = await again.ended()
    piped, unknown = await asyncio.gather(
        world.run("chat", session.session_id), world.run("chat", "nobody", stdin=b"hello")
    )

    assert (code, refused) == (1, 1)
    assert f"session '{session.session_id}' is stopped" in "\n".join(screen.scroll)
    assert "stopped" in "\n".join(again.scroll)
    assert (piped.code, unknown.code) == (2, 2)
    assert piped.is_one_sentence
    assert "needs a terminal" in piped.stderr
