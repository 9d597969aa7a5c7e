"""Questions, interrupts and stops on the command line, as in two terminals: one follows a turn, the other one answers."""

import asyncio
import shlex
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.messages_api import Hold, Step, Text, Tool, Tools
from tests.e2e.command_line import PATIENCE_SECONDS, CommandLine, Ran, finish, line_with
from tests.e2e.scene import Scene, playing, until
from workflows.errors import Refused
from workflows.messages import Message


@dataclass(frozen=True, kw_only=True)
class World:
    """A server with a worker, and the command line."""

    scene: Scene
    run: CommandLine

    async def open(self) -> str:
        return (await self.scene.open()).session_id

    def touches(self, name: str) -> Path:
        """The file that claude makes when it is asked to by this prompt."""
        path = self.scene.stage.project / name
        self.scene.api.script[name] = [Tool("Bash", {"command": f"touch {path}"}), Text(f"{name} is over.")]
        return path


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with playing() as scene:
        await scene.new_worker()
        yield World(scene=scene, run=CommandLine(scene.stage))


async def test_a_question_is_shown_at_once_and_answered_in_another_terminal(world: World) -> None:
    """The follower of the turn prints the question with the command that answers it; nothing runs before that."""
    made = world.touches("first")
    session_id = await world.open()
    sending = await world.run.begin("send", session_id, "first")
    assert sending.stderr is not None
    asked = await line_with(sending.stderr, "claude asks for leave")
    command = await line_with(sending.stderr, "durable-claude approve")
    listed, looked = await asyncio.gather(world.run("ls"), world.run("status", session_id))
    existed = made.exists()
    approved = await world.run(*shlex.split(command)[1:])
    sent = await finish(sending)

    assert f"(a1): Bash: touch {made}" in asked
    assert f"waits for an answer: durable-claude status {session_id}" in listed.stdout
    assert f"command: touch {made}" in looked.stdout
    assert f"durable-claude deny {session_id} a1" in looked.stdout
    assert not existed
    assert (approved.code, approved.stdout) == (0, f"a1 is allowed: Bash: touch {made}\n")
    assert (sent.code, sent.stdout) == (0, "first is over.\n")
    assert made.exists()


async def test_a_denial_reaches_claude_with_its_reason(world: World) -> None:
    """With --json the question is an event; a denial without its id is for the only question that waits."""
    made = world.touches("second")
    session_id = await world.open()
    sending = await world.run.begin("send", session_id, "second", "--json")
    assert sending.stdout is not None
    question = Ran(code=0, stdout=await line_with(sending.stdout, '"question"'), stderr="").json
    denied = await world.run("deny", session_id, "--message", "use a test file", "--json")
    sent = await finish(sending)
    late = await world.run("approve", session_id, question["approval_id"])
    none = await world.run("approve", session_id)

    assert (question["session_id"], question["tool"]) == (session_id, "Bash")
    assert (denied.json["approval_id"], denied.json["decision"]) == (question["approval_id"], "deny")
    assert sent.events[-1]["ended"]["text"] == "second is over."
    assert "use a test file" in str(world.scene.api.requests[-1]["messages"])
    assert not made.exists()
    assert (late.code, late.is_one_sentence) == (2, True)
    assert "needs no answer any more" in late.stderr
    assert (none.code, none.stderr) == (2, f"nothing waits for an answer: session '{session_id}' is ready\n")


async def test_of_several_questions_one_has_to_be_named(world: World) -> None:
    """With two open, an answer without an id is refused and lists both; then each can be answered by its id."""
    files = [world.scene.stage.root / name for name in ("open to all", "secret")]
    for path in files:
        path.write_text(f"the text of {path.name}")
    # What only reads is asked for at the same time, once it lies outside the project.
    world.scene.api.script["read"] = [Tools([Tool("Read", {"file_path": str(path)}) for path in files]), Text("Read.")]
    session = await world.scene.open()
    await world.scene.begin(session, "read")
    await world.scene.asked(session, count=2)
    unclear = await world.run("approve", session.session_id)
    denied = await world.run("deny", session.session_id, "a2")
    approved = await world.run("approve", session.session_id)
    waited = await world.run("wait", session.session_id, "read")

    assert (unclear.code, unclear.is_one_sentence) == (2, True)
    assert f"2 questions wait, say which one is meant: a1 Read: {files[0]}; a2 Read: {files[1]}" in unclear.stderr
    assert (denied.code, approved.code) == (0, 0)
    assert (waited.code, waited.stdout) == (0, "Read.\n")
    assert "the text of open to all" in str(world.scene.api.requests[-1]["messages"])
    assert "the text of secret" not in str(world.scene.api.requests[-1]["messages"])


async def test_leave_for_the_whole_turn_is_asked_once(world: World) -> None:
    """--turn answers what the turn has asked and will ask."""
    one, two = (world.scene.stage.project / name for name in ("one", "two"))
    steps: list[Step] = [Tool("Bash", {"command": f"touch {path}"}) for path in (one, two)]
    world.scene.api.script["both"] = [*steps, Text("Both are there.")]
    session_id = await world.open()
    sending = await world.run.begin("send", session_id, "both")
    assert sending.stderr is not None
    await line_with(sending.stderr, "durable-claude approve")
    approved = await world.run("approve", session_id, "a1", "--turn")
    sent = await finish(sending)

    assert approved.code == 0
    assert (sent.code, sent.stdout) == (0, "Both are there.\n")
    assert one.exists()
    assert two.exists()


async def test_an_interrupted_turn_leaves_the_session_ready(world: World) -> None:
    """The interrupted command says so and fails; the session takes the next message with the same claude."""
    world.scene.api.script["endless"] = [Text("I begin."), Hold()]
    world.scene.api.script["short"] = [Text("Short.")]
    session = await world.scene.open()
    await world.scene.begin(session, "endless")
    waiting = await world.run.begin("wait", session.session_id, "endless")
    interrupted = await world.run("interrupt", session.session_id)
    waited = await finish(waiting)
    again = await world.run("interrupt", session.session_id)
    sent = await world.run("send", session.session_id, "short")

    assert interrupted.code == 0
    assert (waited.code, waited.stdout) == (1, "")
    assert "turn 'endless' was interrupted" in waited.stderr
    assert (again.code, again.stderr) == (2, "no turn is running: the session is ready\n")
    assert (sent.code, sent.stdout) == (0, "Short.\n")
    assert (await world.scene.sessions.status(session.session_id)).pid == session.pid


async def test_a_queued_turn_is_taken_back_and_a_stop_lets_the_running_one_end(world: World) -> None:
    """`cancel` takes a turn back that has not begun, and only that; `stop --after-turn` waits for the one that has."""
    world.scene.api.script["running"] = [Hold(), Text("It ran to its end.")]
    session = await world.scene.open()
    await world.scene.begin(session, "running")
    await world.scene.sessions.send(session.session_id, Message(turn_id="queued", text="never seen"))
    cancelled = await world.run("cancel", session.session_id, "queued", "--json")
    running = await world.run("cancel", session.session_id, "running")
    stopping = await world.run.begin("stop", session.session_id, "--after-turn")
    await until(lambda: takes_no_more(world, session.session_id))
    world.scene.api.release("running")
    stopped = await finish(stopping)
    waited = await world.run("wait", session.session_id, "running")

    assert (cancelled.code, cancelled.json["state"]) == (0, "cancelled")
    assert (running.code, running.is_one_sentence) == (2, True)
    assert "interrupt it" in running.stderr
    assert (stopped.code, stopped.stdout) == (0, f"{session.session_id} is stopped; no process of it is left\n")
    assert (waited.code, waited.stdout) == (0, "It ran to its end.\n")
    assert world.scene.api.asked["never seen"] == 0


async def takes_no_more(world: World, session_id: str) -> bool:
    """Whether the stop has arrived; what is queued before it is not run."""
    try:
        await world.scene.sessions.send(session_id, Message(turn_id=uuid.uuid4().hex, text="too late"))
    except Refused as refused:
        return "takes no more messages" in str(refused)
    return False


async def test_a_session_without_work_sleeps_and_is_woken_by_a_message(world: World) -> None:
    """--idle-minutes sets when the process ends; the status says so, and the next message is answered as before."""
    world.scene.api.script["wake"] = [Text("I am awake.")]
    started = await world.run("start", ".", "--name", "sleepy", "--idle-minutes", "0.01")

    async def sleeps() -> bool:
        return (await world.scene.sessions.status("sleepy")).status == "hibernated"

    await until(sleeps)
    looked = await world.run("status", "sleepy")
    sent = await world.run("send", "sleepy", "wake")

    assert started.code == 0
    assert "asleep: the next message wakes it" in looked.stdout
    assert (sent.code, sent.stdout) == (0, "I am awake.\n")


async def test_a_fork_knows_what_was_said_before(world: World) -> None:
    """`fork` prints the id of a second session that has the conversation; the first one lives on."""
    world.scene.api.script.update({"remember 42": [Text("I will.")], "which number?": [Text("It was 42.")]})
    session_id = await world.open()
    await world.run("send", session_id, "remember 42")
    forked = await world.run("fork", session_id, "--name", "other-way")
    sent = await world.run("send", "other-way", "which number?")

    assert (forked.code, forked.stdout) == (0, "other-way\n")
    assert (sent.code, sent.stdout) == (0, "It was 42.\n")
    assert "remember 42" in str(world.scene.api.requests[-1]["messages"])
    assert (await world.scene.sessions.status(session_id)).turns_done == 1


async def test_what_claude_asks_by_itself_is_answered_with_a_choice(world: World) -> None:
    """The command that is shown answers with what claude offers first; a half answer is refused, and lists the rest."""
    options = [{"label": name, "description": name} for name in ("Red", "Blue")]
    asks = [
        {"question": f"Which {what}?", "header": what, "options": options, "multiSelect": False}
        for what in ("colour", "roof")
    ]
    world.scene.api.script["choose"] = [Tool("AskUserQuestion", {"questions": asks}), Text("Thanks.")]
    session_id = await world.open()
    sending = await world.run.begin("send", session_id, "choose")
    assert sending.stderr is not None
    asked = await line_with(sending.stderr, "claude asks you")
    command = shlex.split(await line_with(sending.stderr, "durable-claude answer"))
    half = await world.run("answer", session_id, "a1", "roof=Blue")
    answered = await world.run(*command[1:-1], "roof=Thatched")
    sent = await finish(sending)

    assert "(a1): Which colour? (Red | Blue); Which roof? (Red | Blue)" in asked
    assert (half.code, half.stderr) == (2, "no answer is given to: Which colour? (Red | Blue)\n")
    assert (answered.code, answered.stdout) == (0, "Which colour? Red\nWhich roof? Thatched\n")
    assert (sent.code, sent.stdout) == (0, "Thanks.\n")
    assert "Thatched" in str(world.scene.api.requests[-1]["messages"])


async def test_files_are_sent_along(world: World) -> None:
    """--attach takes names as they are where the command runs; a file that cannot be sent is named, and nothing is."""
    notes = world.scene.stage.project / "notes.txt"
    notes.write_text("to be read")
    world.scene.api.script[f"look\n\nAttached files:\n{notes}"] = [Text("I see.")]
    session_id = await world.open()
    sent = await world.run("send", session_id, "look", "--attach", "notes.txt")
    asked = world.scene.api.asked.total()
    refused = await world.run("send", session_id, "look again", "--attach", "nothing.txt")

    assert (sent.code, sent.stdout) == (0, "I see.\n")
    assert (refused.code, refused.stdout) == (1, "")
    assert "nothing.txt' does not exist" in refused.stderr
    assert world.scene.api.asked.total() == asked


REFUSED = {
    "a question of nobody": (("approve", "nobody"), 3, "no session 'nobody' is known"),
    "a file without a name": (("send", "{session}", "greet", "--attach", ""), 2, "attached file is empty"),
    "a fork of nobody": (("fork", "nobody"), 3, "no session 'nobody' is known"),
    "a fork that cannot be named so": (("fork", "{session}", "--name", "a/b"), 2, "'a/b'"),
    "an unknown question": (("deny", "{session}", "a9"), 2, "there is no question 'a9'; open are: none"),
    "an answer to nothing": (("answer", "{session}", "a9", "x=y"), 2, "there is no question 'a9'; open are: none"),
    "an unknown turn": (("cancel", "{session}", "never-sent"), 2, "'never-sent' is not queued"),
    "two kinds of leave": (("approve", "{session}", "--turn", "--always"), 2, "cannot go together"),
    "a stop of nothing": (("stop",), 2, "say --all"),
    "a stop of one and all": (("stop", "{session}", "--all"), 2, "not both"),
    "an age of nothing": (("start", ".", "--lifetime-hours", "0"), 2, "0 is not above 0"),
    "a budget that is no number": (("start", ".", "--budget-usd", "nan"), 2, "--budget-usd"),
    "an idle time before now": (("start", ".", "--idle-minutes", "-1"), 2, "--idle-minutes"),
    "a name that is no text": (("cancel", "{session}", "\udcff"), 2, "not valid UTF-8"),
}


async def test_what_cannot_be_meant_is_one_sentence(world: World) -> None:
    """Each gets its exit code and one sentence, and the session goes on."""
    session = await world.scene.open()
    async with asyncio.timeout(PATIENCE_SECONDS):
        given = [
            [part.format(session=session.session_id) for part in arguments] for arguments, _, _ in REFUSED.values()
        ]
        answers = await asyncio.gather(*(world.run(*arguments) for arguments in given))

    for what, ran in zip(REFUSED, answers, strict=True):
        _, code, said = REFUSED[what]
        assert (ran.code, ran.is_one_sentence) == (code, True), (what, ran)
        assert said in ran.stderr, what
    assert (await world.scene.sessions.status(session.session_id)).pid == session.pid


async def test_all_sessions_are_stopped_at_once(world: World) -> None:
    """`stop --all` names every session that it stopped; none of them lives and no process is left."""
    one, two = await asyncio.gather(world.scene.open(), world.scene.open())
    stopped = await world.run("stop", "--all", "--json", "--timeout", "0")
    listed = await world.run("ls", "--json")

    assert stopped.code == 0
    assert {one.session_id, two.session_id} <= {report["session_id"] for report in stopped.json}
    assert {report["status"] for report in stopped.json} == {"stopped"}
    assert listed.json == []
    assert world.scene.trace(one).processes() == world.scene.trace(two).processes() == []


async def test_a_conversation_of_claudes_own_is_gone_on_with(world: World) -> None:
    """What somebody said to claude before is known in the session; an unknown conversation is one sentence."""
    first = await world.run("start", "--message", "remember the harbour", "--json", str(world.scene.stage.project))
    session_id = next(event["session_id"] for event in first.events if "session_id" in event)
    conversation = (await world.run("status", session_id, "--json")).json["conversation_id"]
    await world.run("stop", session_id)
    adopted = await world.run(
        "start", "--resume", conversation, "--message", "where?", "--json", str(world.scene.stage.project)
    )
    unknown = await world.run("start", "--resume", str(uuid.uuid4()), str(world.scene.stage.project))
    nonsense = await world.run("start", "--resume", "not-an-id", str(world.scene.stage.project))

    assert adopted.code == 0
    assert "remember the harbour" in str(world.scene.api.requests[-1]["messages"])
    assert unknown.code == 1
    assert "conversation" in unknown.stderr.splitlines()[-1]
    assert nonsense.is_one_sentence
    assert nonsense.code == 2
