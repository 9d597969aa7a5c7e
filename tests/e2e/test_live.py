"""What claude does reaches a reader anywhere through Temporal, and leaves nothing there."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from demo.messages_api import Hold, Text, Tool, Tools
from tests.e2e.command_line import CommandLine
from tests.e2e.scene import PATIENCE_SECONDS, Scene, until
from workflows.messages import SessionOptions, SessionReport, workflow_id
from workflows.reading import Written

# What a turn may write into history while somebody follows it, however much claude does in it.
EVENTS_FOLLOWED = 40
TOOL_CALLS = 500
CALLS_AT_ONCE = 125


async def read(scene: Scene, session: SessionReport, **place: Any) -> list[Written]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return [line async for line in scene.sessions.journal(session.session_id, **place)]


def texts(lines: list[Written], generation: int) -> list[str]:
    return [line.text for line in lines if line.generation == generation]


def on_disk(scene: Scene, session: SessionReport, generation: int = 1) -> list[str]:
    journal = scene.stage.host.session(session.session_id).journal(generation)
    return journal.read_text().splitlines()


async def history_length(scene: Scene, session: SessionReport) -> int:
    return (await scene.client.get_workflow_handle(workflow_id(session.session_id)).describe()).history_length


async def reads_known(scene: Scene) -> int:
    """How many readings Temporal knows of, ended or not; listing them needs no worker."""
    return len([one async for one in scene.client.list_activities("ActivityType = 'read_journal'")])


async def test_a_follower_sees_every_line_through_deaths_and_to_the_end(scene: Scene) -> None:
    """Every line of every process once and in order, until the session is over; Temporal keeps none of it."""
    session = await scene.open()
    following = asyncio.create_task(read(scene, session, generation=1, follow=True))
    await scene.begin(session, "one")
    await scene.end(session, "one")
    await scene.kill_claude(session)
    await scene.begin(session, "two")
    await scene.end(session, "two")
    await scene.stop(session)
    lines = await following
    again = await read(scene, session, generation=1)

    assert sorted({line.generation for line in lines}) == [1, 2]
    assert texts(lines, 1) == on_disk(scene, session, 1)
    assert texts(lines, 2) == on_disk(scene, session, 2)
    assert again == lines

    async def is_forgotten() -> bool:
        return await reads_known(scene) == 0

    await until(is_forgotten)


async def test_a_line_is_there_while_the_turn_goes_on(scene: Scene) -> None:
    """What claude has said is read before the turn has ended, at once."""
    scene.api.script["half"] = [Tool("Bash", {"command": "echo begun"}), Hold(), Text("The other half.")]
    session = await scene.open()
    seen: list[tuple[float, Written]] = []

    async def follow() -> None:
        async for line in scene.sessions.journal(session.session_id, follow=True):
            seen.append((time.time(), line))

    following = asyncio.create_task(follow())
    # Claude's answer to the handshake is there from the start: whoever has it is in place.
    await until(lambda: is_seen(lambda: bool(seen)))
    await scene.begin(session, "half")
    await until(lambda: is_seen(lambda: any("tool_result" in line.text for _, line in seen)))
    state = (await scene.sessions.wait_turn(session.session_id, "half", 0)).state
    journal = scene.stage.host.session(session.session_id).journal(1)
    late = min(at for at, line in seen if "tool_result" in line.text) - journal.stat().st_mtime
    scene.api.release("half")
    await scene.end(session, "half")
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)

    assert state == "running"
    # A busy machine is slow; one that waited for a heartbeat or a poll would be slower still.
    assert late < 0.5


async def is_seen(condition: Callable[[], bool]) -> bool:
    return condition()


async def test_a_follower_outlasts_its_worker(scene: Scene) -> None:
    """While no worker answers it waits; the next one goes on where the last one was."""
    scene.api.script["long"] = [Text("I begin."), Hold(), Text("I end.")]
    session = await scene.open()
    following = asyncio.create_task(read(scene, session, follow=True))
    await scene.begin(session, "long")
    await scene.kill_worker()
    scene.api.release("long")
    await scene.until_result(session)
    await scene.new_worker()
    await scene.end(session, "long")
    await scene.stop(session)
    lines = await following

    assert texts(lines, 1) == on_disk(scene, session)


async def test_a_session_that_sleeps_is_read_and_followed_when_it_wakes(scene: Scene) -> None:
    """No process is needed to read; who follows a sleeping session sees the next process by itself."""
    scene.options = SessionOptions(idle_seconds=0.3)
    session = await scene.open()
    await scene.begin(session, "one")
    await scene.end(session, "one")

    async def sleeps() -> bool:
        return (await scene.sessions.status(session.session_id)).status == "hibernated"

    await until(sleeps)
    asleep = await read(scene, session)
    # Without a generation it would begin with whichever process is the latest by the time it asks.
    following = asyncio.create_task(read(scene, session, generation=1, follow=True))
    await scene.begin(session, "two")
    await scene.end(session, "two")
    await scene.stop(session)
    lines = await following

    assert [line.text for line in asleep] == on_disk(scene, session, 1)
    assert texts(lines, 1) == on_disk(scene, session, 1)
    assert texts(lines, 2) == on_disk(scene, session, 2)


async def test_a_tool_result_of_megabytes_wedges_nobody(scene: Scene) -> None:
    """It comes shortened, and what follows comes whole; the journal keeps all of it."""
    session = await scene.open()
    journal = scene.stage.host.session(session.session_id).journal(1)
    await scene.begin(session, "one")
    await scene.end(session, "one")
    big = json.dumps({"type": "user", "message": {"content": [{"type": "tool_result", "content": "x" * 10_000_000}]}})
    following = asyncio.create_task(read(scene, session, follow=True))
    with journal.open("a") as file:
        file.write(big + "\n")
    await scene.begin(session, "two")
    await scene.end(session, "two")
    await scene.stop(session)
    lines = await following

    written = on_disk(scene, session)
    [cut] = [line for line in lines if line.cut_bytes]
    assert written[lines.index(cut)] == big
    assert cut.cut_bytes == len(big)
    assert len(cut.text) < 300_000
    assert [line.text for line in lines if line is not cut] == [line for line in written if line != big]


@pytest.mark.parametrize("is_followed", [True, False], ids=["followed", "unfollowed"])
async def test_a_turn_of_many_tool_calls_is_short_in_history(scene: Scene, *, is_followed: bool) -> None:
    """500 tool calls, each shown by `send` and read by `logs -f`, add as few events as any turn."""
    prompt = f"read all, {is_followed}"
    note = scene.stage.project / "note.txt"
    note.write_text("a note")
    calls = [Tool("Read", {"file_path": str(note)})] * CALLS_AT_ONCE
    scene.api.script[prompt] = [*[Tools(calls)] * (TOOL_CALLS // CALLS_AT_ONCE), Text("All read.")]
    session = await scene.open()
    run = CommandLine(scene.stage)
    before = await history_length(scene, session)
    following = asyncio.create_task(run("logs", session.session_id, "-f")) if is_followed else None
    sent = await run("send", session.session_id, prompt, *(() if is_followed else ("--no-wait",)))
    if not is_followed:
        await scene.end(session, sent.stdout.strip())
    added = await history_length(scene, session) - before
    await scene.stop(session)

    assert added <= EVENTS_FOLLOWED
    if following is not None:
        logged = await following
        assert sent.stderr.count("Read: ") == TOOL_CALLS
        assert logged.stdout.count("Read: ") == TOOL_CALLS
        assert (logged.code, sent.stdout) == (0, "All read.\n")


async def test_a_reader_that_is_killed_holds_no_place_for_long(scene: Scene) -> None:
    """What it asked for ends by its own bound, and the worker goes on serving others."""
    session = await scene.open()
    run = CommandLine(scene.stage)
    readers = [await run.begin("logs", session.session_id, "-f") for _ in range(3)]

    async def all_read() -> bool:
        return await reads_known(scene) >= len(readers)

    await until(all_read)
    for reader in readers:
        psutil.Process(reader.pid).kill()
        await reader.communicate()

    async def none_runs() -> bool:
        query = "ActivityType = 'read_journal' AND ExecutionStatus = 'Running'"
        return not [one async for one in scene.client.list_activities(query)]

    await until(none_runs)
    assert len(await read(scene, session)) == len(on_disk(scene, session))
