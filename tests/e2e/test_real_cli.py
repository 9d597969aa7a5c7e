"""The real CLI under ClaudeProcess, with real tools, against a scripted model."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import psutil
import pytest

from claude import protocol
from claude.command import has_transcript
from claude.events import Event, MessageEchoed, PermissionAsked, TextSaid, TurnResult
from claude.identity import conversation_id, message_id
from claude.process import ClaudeProcess, ConversationTaken, ConversationUnknown
from claude.turn import TurnReader
from demo.messages_api import Hold, Text, Tool
from tests.e2e.conftest import LEASE_SECONDS, RealClaude, name_of

# A cold start of the CLI takes seconds on a busy machine; what takes this long hangs.
PATIENCE_SECONDS = 60.0

FREE_BASH = ["--allowedTools", "Bash"]

# The CLI refuses a bare `sleep`, so a shell of its own runs them: one in the background, one in another session.
SLEEPS = "bash -c 'sleep 303 & setsid sleep 302 & sleep 301'"

# A daemon has left the tree by the time anybody looks, so it tells where it is.
DAEMON = "(setsid sh -c 'echo $$ > daemon.tmp; mv daemon.tmp daemon.pid; exec sleep 304' &)"


async def started(process: ClaudeProcess) -> ClaudeProcess:
    await process.start()
    await process.ready(PATIENCE_SECONDS)
    return process


async def send(process: ClaudeProcess, text: str, *, turn_id: str = "1") -> TurnReader:
    """Deliver the message of a turn; the reader that comes back knows nothing yet."""
    reader = TurnReader(message_id("one", turn_id))
    await process.send(reader.message_uuid, protocol.user_message(reader.message_uuid, text))
    return reader


async def outcome(process: ClaudeProcess, reader: TurnReader) -> TurnResult | PermissionAsked:
    """Follow the turn from the start of the journal to its end or to a question."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for _, event in process.events():
            if found := reader.feed(event):
                return found
    raise AssertionError("claude ended before the turn did: " + process.stderr_tail())


async def turn(process: ClaudeProcess, text: str, *, turn_id: str = "1") -> TurnResult:
    result = await outcome(process, await send(process, text, turn_id=turn_id))
    assert isinstance(result, TurnResult)
    return result


async def seen(process: ClaudeProcess, kind: type[Event]) -> None:
    """Wait for the first event of a kind."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for _, event in process.events():
            if isinstance(event, kind):
                return
    raise AssertionError(f"claude ended without {kind.__name__}: {process.stderr_tail()}")


async def kill(process: ClaudeProcess) -> None:
    """kill -9, and wait until the shim has put it on record."""
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    await process.exited()


async def sleeping(real: RealClaude, pid: int) -> list[psutil.Process]:
    """Wait until the three sleeps run below this process, and the daemon wherever it is; return all that runs."""
    pid_file = real.project / "daemon.pid"
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            tree = psutil.Process(pid).children(recursive=True)
            if sum(name_of(process) == "sleep" for process in tree) >= 3 and pid_file.exists():
                return [*tree, psutil.Process(int(pid_file.read_text()))]
            await asyncio.sleep(0.02)


async def test_it_is_ready_after_the_handshake(real_claude: RealClaude) -> None:
    """The CLI answers before any message, and tells its version and mode."""
    process = real_claude.process()
    await process.start()

    ready = await process.ready(PATIENCE_SECONDS)

    assert ready.cli_version
    assert ready.permission_mode == "default"
    assert ready.api_key_source == "ANTHROPIC_API_KEY"
    assert "compact" in ready.commands
    assert ready.models
    assert real_claude.api.requests == []


async def test_a_turn_ends_with_the_model_s_text(real_claude: RealClaude) -> None:
    """One message, one answer, one result that names the message."""
    real_claude.api.script["hello"] = [Text("Hi there, friend")]
    process = await started(real_claude.process())

    result = await turn(process, "hello")

    assert (result.text, result.is_error, result.subtype) == ("Hi there, friend", False, "success")
    assert result.message_ids == (message_id("one", "1"),)
    assert result.cost_usd > 0
    assert real_claude.api.answered["hello"] == 1


async def test_a_text_of_any_characters_arrives_unchanged(real_claude: RealClaude) -> None:
    """Newlines, quotes, separators and emoji reach the model as they were sent."""
    text = 'two\nlines "quoted" \u2028 \\n {"type":"user"} 🤖 --flag $(id)'
    process = await started(real_claude.process())

    await turn(process, text)

    assert real_claude.api.asked[text] == 1


async def test_a_turn_runs_a_real_tool_in_the_project(real_claude: RealClaude) -> None:
    """Bash runs in the project's directory, and the reader tells what was done."""
    real_claude.api.script["where"] = [
        Text("Let me look."),
        Tool("Bash", {"command": "pwd > where.txt", "description": "write down where"}),
        Text("Done."),
    ]
    process = await started(real_claude.process(extra=FREE_BASH))
    reader = await send(process, "where")

    result = await outcome(process, reader)

    assert isinstance(result, TurnResult)
    assert result.text == "Done."
    assert (real_claude.project / "where.txt").read_text().strip() == str(real_claude.project.resolve())
    assert [text for _, text in reader.actions] == ["writes: Let me look.", "Bash: pwd > where.txt", "writes: Done."]
    assert reader.tool_calls == 1


@pytest.mark.parametrize("answer", ["allow", "deny"])
async def test_a_tool_waits_for_leave(real_claude: RealClaude, answer: str) -> None:
    """Nothing is done before the answer; leave runs the tool, refusal does not, and the turn goes on either way."""
    target = real_claude.project / "new.txt"
    real_claude.api.script["write"] = [
        Tool("Write", {"file_path": str(target), "content": "hello"}),
        Text("As you wish."),
    ]
    process = await started(real_claude.process())
    reader = await send(process, "write")
    asked = await outcome(process, reader)
    assert isinstance(asked, PermissionAsked)
    assert (asked.tool, asked.input["file_path"]) == ("Write", str(target))
    assert not target.exists()

    allow = protocol.allow(asked.request_id, asked.input)
    deny = protocol.deny(asked.request_id, "not now")
    await process.send(f"answer-{asked.request_id}", allow if answer == "allow" else deny)

    result = await the_end(process, reader)
    assert result.text == "As you wish."
    assert target.exists() == (answer == "allow")
    assert reader.pending is None


async def the_end(process: ClaudeProcess, reader: TurnReader) -> TurnResult:
    """Follow a turn whose questions are answered to its end."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for _, event in process.events():
            if isinstance(found := reader.feed(event), TurnResult):
                return found
    raise AssertionError("claude ended before the turn did: " + process.stderr_tail())


async def test_an_interrupted_turn_ends_and_the_process_lives_on(real_claude: RealClaude) -> None:
    """The turn's own result says that it was cut short; the next turn runs as ever."""
    real_claude.api.script["long"] = [Text("One moment"), Hold(), Text("never said")]
    process = await started(real_claude.process())
    reader = await send(process, "long")
    await seen(process, TextSaid)

    await process.send("interrupt-1", protocol.interrupt("interrupt-1"))

    result = await outcome(process, reader)
    assert isinstance(result, TurnResult)
    assert (result.subtype, result.is_error) == ("error_during_execution", True)
    assert (await turn(process, "next", turn_id="2")).text == "ok"


async def test_stop_leaves_nothing_of_a_running_tool(real_claude: RealClaude) -> None:
    """A background child, one in another session and a daemon are gone when stop returns, and the shells too."""
    real_claude.api.script["sleep"] = [Tool("Bash", {"command": f"{DAEMON}; {SLEEPS}"}), Text("done")]
    process = await started(real_claude.process(extra=FREE_BASH))
    await send(process, "sleep")
    assert process.pid is not None
    tree = await sleeping(real_claude, process.pid)

    ended = await process.stop()

    assert ended is not None
    assert ended.tree == "empty"
    assert [each for each in tree if each.is_running()] == []


async def test_plain_sigterm_leaves_a_daemon_of_the_tool(real_claude: RealClaude, short_path: Path) -> None:
    """The CLI ends at best what it still finds below itself: what stop does more is needed."""
    real_claude.api.script["sleep"] = [Tool("Bash", {"command": f"{DAEMON}; {SLEEPS}"}), Text("done")]
    with (short_path / "out").open("wb") as out:
        bare = await asyncio.create_subprocess_exec(
            *real_claude.command("bare", "new", FREE_BASH),
            cwd=real_claude.project,
            env=real_claude.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=out,
        )
    assert bare.stdin is not None
    bare.stdin.write(protocol.user_message(message_id("bare", "1"), "sleep"))
    *tree, daemon = await sleeping(real_claude, bare.pid)

    bare.terminate()
    await bare.wait()

    is_left = daemon.is_running() and daemon.status() != psutil.STATUS_ZOMBIE
    for each in [*tree, daemon]:
        # psutil looks at the start time first: a reused pid is not hit.
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    assert is_left


async def test_a_resend_in_the_same_process_runs_no_second_turn(real_claude: RealClaude) -> None:
    """The CLI itself knows a message by its uuid, also when it comes under a new id of ours."""
    process = await started(real_claude.process())
    reader = await send(process, "hello")
    first = await outcome(process, reader)

    await process.send("again", protocol.user_message(reader.message_uuid, "hello"))
    await turn(process, "next", turn_id="2")

    assert await outcome(process, TurnReader(reader.message_uuid)) == first
    assert real_claude.api.asked["hello"] == 1


async def test_a_turn_killed_while_the_model_answers_runs_once_after_a_resume(real_claude: RealClaude) -> None:
    """The same message to the next process runs the turn anew, and it ends once."""
    real_claude.api.script["long"] = [Text("One moment."), Hold(), Text("Here it is.")]
    first = await started(real_claude.process())
    await send(first, "long")
    await seen(first, TextSaid)
    await until_in_transcript(real_claude, '"content":"long"')
    await kill(first)

    second = await started(real_claude.process(start="resume", generation=2))
    reader = await send(second, "long")
    real_claude.api.release("long")
    result = await outcome(second, reader)

    assert isinstance(result, TurnResult)
    assert result.text == "Here it is."
    assert not reader.is_echo_only
    assert real_claude.api.answered["long"] == 1


async def test_a_turn_killed_in_a_tool_is_only_echoed_and_goes_on_with_a_new_message(real_claude: RealClaude) -> None:
    """Once the transcript holds an answer to it, the same message runs nothing; another one takes the turn up."""
    real_claude.api.script["sleep"] = [Tool("Bash", {"command": f"{DAEMON}; {SLEEPS}"}), Text("done")]
    real_claude.api.script["Continue."] = [Text("Where was I?")]
    first = await started(real_claude.process(extra=FREE_BASH))
    await send(first, "sleep")
    assert first.pid is not None
    await sleeping(real_claude, first.pid)
    await until_in_transcript(real_claude, '"tool_use"')
    await kill(first)

    second = await started(real_claude.process(start="resume", generation=2, extra=FREE_BASH))
    reader = await send(second, "sleep")
    await seen(second, MessageEchoed)
    result = await turn(second, "Continue.", turn_id="1-continued")

    async for _, event in second.events():
        assert reader.feed(event) is None
        if isinstance(event, TurnResult):
            break
    assert reader.is_echo_only
    assert result.text == "Where was I?"
    assert real_claude.api.asked == {"sleep": 1, "Continue.": 1}


async def until_in_transcript(real: RealClaude, text: str) -> None:
    """Wait until claude has written this to its transcript, which it does a little after saying it."""
    projects = Path(real.environment["CLAUDE_CONFIG_DIR"]) / "projects"
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not any(text in path.read_text() for path in projects.glob("*/*.jsonl")):
            await asyncio.sleep(0.02)


async def test_a_conversation_without_transcript_begins_anew(real_claude: RealClaude) -> None:
    """A process killed before its first message left nothing to resume, and the same conversation can begin."""
    await kill(await started(real_claude.process()))
    assert not has_transcript(real_claude.environment, conversation_id("one"))

    resuming = real_claude.process(start="resume", generation=2)
    await resuming.start()
    with pytest.raises(ConversationUnknown):
        await resuming.ready(PATIENCE_SECONDS)

    assert (await turn(await started(real_claude.process(generation=3)), "hello")).text == "ok"


async def test_without_a_claim_two_claudes_write_one_conversation(real_claude: RealClaude) -> None:
    """Nothing in the CLI keeps a second session from it, and neither hears what the other one is told."""
    first = await started(real_claude.process())
    await turn(first, "hello")
    second = ClaudeProcess(
        "two",
        real_claude.project,
        host=real_claude.host,
        command=real_claude.command("one", "resume"),
        environment=real_claude.environment,
        lease_ttl_seconds=LEASE_SECONDS,
    )
    real_claude.made.append(second)
    await started(second)
    await turn(second, "for the second", turn_id="2")
    await turn(first, "for the first", turn_id="3")

    assert first.is_running
    assert second.is_running
    assert "for the second" not in str(real_claude.api.requests[-1]["messages"])


async def test_a_conversation_with_transcript_cannot_begin_anew(real_claude: RealClaude) -> None:
    """It must be resumed, and then remembers what was said."""
    first = await started(real_claude.process())
    await turn(first, "hello")
    await first.stop()
    assert has_transcript(real_claude.environment, conversation_id("one"))

    beginning = real_claude.process(generation=2)
    await beginning.start()
    with pytest.raises(ConversationTaken):
        await beginning.ready(PATIENCE_SECONDS)

    await turn(await started(real_claude.process(start="resume", generation=3)), "next", turn_id="2")
    assert "hello" in str(real_claude.api.requests[-1]["messages"])
