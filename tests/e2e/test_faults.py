"""Everything real, and everything killed in turn: worker, claude, shim, server. The turn ends once, nothing stays."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence

import psutil
import pytest
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from demo.messages_api import Hold, Text, Tool
from shim.client import read_exit
from tests.e2e.scene import Scene, playing, until
from tests.shim.stage import Known, known
from tests.shim.stage import until as comes_true
from workflows.messages import Message, SessionOptions, SessionReport, workflow_id
from workflows.session import SessionWorkflow


def held(prompt: str) -> list[Hold | Text | Tool]:
    """A turn that begins, waits for the test, and ends."""
    return [Text("I begin."), Tool("Bash", {"command": "echo one"}), Hold(), Text("Done.")]


async def test_a_worker_killed_in_mid_turn_is_replaced_and_the_turn_ends_once(scene: Scene) -> None:
    """SIGKILL for the worker: the same claude, one result, nothing asked of the model twice."""
    prompt = "worker dies"
    scene.api.script[prompt] = held(prompt)
    session = await scene.open()
    await scene.begin(session, prompt)
    await scene.kill_worker()
    await scene.new_worker()
    scene.api.release(prompt)
    turn = await scene.end(session, prompt)
    status = await scene.sessions.status(session.session_id)

    assert turn.ended is not None
    assert turn.ended.text == "Done."
    assert (status.pid, status.generation, status.restarts) == (session.pid, 1, 0)
    assert scene.trace(session).results() == 1
    assert scene.api.asked[prompt] == 2
    assert (await scene.stop(session)).status == "stopped"


async def test_a_turn_that_ends_while_no_worker_is_up_is_found(scene: Scene) -> None:
    """The result is in the journal before anybody looks; the next worker reads it there."""
    prompt = "nobody looks"
    scene.api.script[prompt] = held(prompt)
    session = await scene.open()
    await scene.begin(session, prompt)
    await scene.kill_worker()
    scene.api.release(prompt)
    await scene.until_result(session)
    await scene.new_worker()
    turn = await scene.end(session, prompt)

    assert turn.ended is not None
    assert turn.ended.text == "Done."
    assert scene.api.asked[prompt] == 2
    await scene.stop(session)


@pytest.mark.parametrize("how", ["killed", "drained"])
async def test_a_message_that_follows_a_takeover_leaves_a_history_that_can_be_replayed(scene: Scene, how: str) -> None:
    """Somebody waits for the turn, by queries, and writes on at once: the worker after the next can read it all."""
    prompt = f"followed up, {how}"
    scene.api.script[prompt] = held(prompt)
    scene.api.script["and on"] = [Text("And on.")]
    session = await scene.open()
    await scene.begin(session, prompt)
    await (scene.kill_worker() if how == "killed" else scene.drain_worker())
    scene.api.release(prompt)
    await scene.until_result(session)
    await scene.new_worker()
    await scene.end(session, prompt)
    await scene.sessions.send(session.session_id, Message(turn_id="and on", text="and on"))
    await scene.end(session, "and on")
    history = await scene.client.get_workflow_handle(workflow_id(session.session_id)).fetch_history()
    replayer = Replayer(workflows=[SessionWorkflow], workflow_runner=UnsandboxedWorkflowRunner())
    await scene.stop(session)

    await replayer.replay_workflow(history)
    # Nothing waited for the worker that is gone.
    assert not [event for event in history.events if event.HasField("workflow_task_timed_out_event_attributes")]


async def test_a_turn_that_ended_before_claude_died_unseen_is_found(scene: Scene) -> None:
    """Worker and then claude die, the turn had ended between: its result counts and is not run again."""
    prompt = "ended unseen"
    scene.api.script[prompt] = held(prompt)
    session = await scene.open()
    await scene.begin(session, prompt)
    await scene.kill_worker()
    scene.api.release(prompt)
    await scene.until_result(session)
    os.kill(session.pid, signal.SIGKILL)
    await scene.new_worker()
    turn = await scene.end(session, prompt)

    assert turn.ended is not None
    assert turn.ended.text == "Done."
    assert scene.api.asked[prompt] == 2
    assert scene.trace(session).results() == 1
    await scene.stop(session)


async def test_a_result_outlives_a_host_that_was_away_for_long(scene: Scene) -> None:
    """The turn ended, then claude and the host were gone until the session gave the host up: the result still counts."""
    prompt = "away for long"
    scene.api.script[prompt] = held(prompt)
    scene.options = SessionOptions(heartbeat_timeout_seconds=1.0, host_away_seconds=1.0)
    session = await scene.open()
    await scene.begin(session, prompt)
    await scene.kill_worker()
    scene.api.release(prompt)
    await scene.until_result(session)
    os.kill(session.pid, signal.SIGKILL)
    handle = scene.client.get_workflow_handle(workflow_id(session.session_id))

    async def host_was_given_up() -> bool:
        kinds = [event.WhichOneof("attributes") for event in (await handle.fetch_history()).events]
        return kinds.count("activity_task_timed_out_event_attributes") == 2

    await until(host_was_given_up)
    await scene.new_worker()
    turn = await scene.end(session, prompt)
    status = await scene.sessions.status(session.session_id)

    assert turn.ended is not None
    assert turn.ended.text == "Done."
    assert scene.api.asked[prompt] == 2
    assert scene.trace(session).results() == 1
    assert status.generation == 2
    await scene.stop(session)


async def test_a_drained_worker_hands_over_and_claude_goes_on(scene: Scene) -> None:
    """SIGTERM ends the worker with 0, not claude; the next worker goes on with the turn."""
    prompt = "worker drains"
    scene.api.script[prompt] = held(prompt)
    session = await scene.open()
    await scene.begin(session, prompt)
    code = await scene.drain_worker()
    lives = psutil.pid_exists(session.pid)
    await scene.new_worker()
    scene.api.release(prompt)
    turn = await scene.end(session, prompt)

    assert code == 0
    assert lives
    assert turn.state == "done"
    assert (await scene.sessions.status(session.session_id)).pid == session.pid
    await scene.stop(session)


@pytest.mark.parametrize("victim", ["claude", "shim"])
async def test_a_killed_process_is_replaced_and_the_turn_goes_on(scene: Scene, victim: str) -> None:
    """SIGKILL for claude or its shim in mid-turn: the next generation resumes, and the turn has one result."""
    prompt = f"{victim} dies"
    scene.api.script[prompt] = held(prompt)
    session = await scene.open()
    await scene.begin(session, prompt)
    shim = psutil.Process(session.pid).parent()
    assert shim is not None
    os.kill(session.pid if victim == "claude" else shim.pid, signal.SIGKILL)
    scene.api.release(prompt)
    turn = await scene.end(session, prompt)
    status = await scene.sessions.status(session.session_id)
    record = read_exit(scene.stage.host.session(session.session_id), 1)

    assert turn.state == "done"
    assert (status.generation, status.restarts, status.turns_done) == (2, 1, 1)
    assert status.pid != session.pid
    assert scene.trace(session).results() == 1
    assert record is not None
    assert (record.signal, record.why) == ((signal.SIGKILL, "exited") if victim == "claude" else (None, "lost"))
    await scene.stop(session)


async def test_a_claude_that_dies_while_idle_is_there_for_the_next_turn(scene: Scene) -> None:
    """The conversation goes on in a new process."""
    session = await scene.open()
    await scene.begin(session, "before")
    await scene.end(session, "before")
    os.kill(session.pid, signal.SIGKILL)
    await scene.begin(session, "after")
    turn = await scene.end(session, "after")

    assert turn.state == "done"
    # The request of the second turn carries the first one: it is the same conversation.
    assert "before" in str(scene.api.requests[-1]["messages"])
    await scene.stop(session)


async def test_a_server_killed_in_mid_turn_loses_nothing(scene: Scene) -> None:
    """SIGKILL for Temporal: claude works on, and the turn's result arrives when the server is back."""
    prompt = "server dies"
    scene.api.script[prompt] = held(prompt)
    session = await scene.open()
    await scene.begin(session, prompt)
    await scene.kill_server()
    scene.api.release(prompt)
    await scene.until_result(session)
    await scene.bring_server_back()
    turn = await scene.end(session, prompt)

    assert turn.ended is not None
    assert turn.ended.text == "Done."
    assert (await scene.sessions.status(session.session_id)).pid == session.pid
    assert scene.api.asked[prompt] == 2
    await scene.stop(session)


async def test_a_host_cut_off_stops_its_processes_and_goes_on_later() -> None:
    """Without Temporal the lease runs out and the shim ends claude; with Temporal again the turn is taken up."""
    prompt = "cut off"
    async with playing(DURABLE_CLAUDE_LEASE_TTL_SECONDS="4") as scene:
        scene.api.script[prompt] = held(prompt)
        await scene.new_worker()
        session = await scene.open()
        await scene.begin(session, prompt)
        await scene.kill_server()

        async def nothing_left() -> bool:
            return not scene.trace(session).processes()

        await until(nothing_left)
        record = read_exit(scene.stage.host.session(session.session_id), 1)
        await scene.bring_server_back()
        scene.api.release(prompt)
        turn = await scene.end(session, prompt)
        status = await scene.sessions.status(session.session_id)
        await scene.stop(session)

    assert record is not None
    assert record.why == "lease"
    assert turn.state == "done"
    assert (status.generation, status.restarts) == (2, 0)


async def test_a_terminated_workflow_leaves_no_process(scene: Scene) -> None:
    """Terminate in the Web UI asks nobody; the host notices and ends what belongs to no session any more."""
    session = await scene.open()
    await scene.client.get_workflow_handle(workflow_id(session.session_id)).terminate("by hand")

    async def nothing_left() -> bool:
        return not scene.trace(session).processes()

    await until(nothing_left)
    again = await open_again(scene, session)

    assert again.status == "ready"
    assert again.pid != session.pid
    await scene.stop(session)


async def open_again(scene: Scene, session: SessionReport) -> SessionReport:
    """The same session id once more, after its workflow came to a bad end."""
    await scene.sessions.open(str(scene.stage.project), session_id=session.session_id)
    return await scene.sessions.wait_ready(session.session_id)


async def test_a_tool_that_is_denied_does_not_run(scene: Scene) -> None:
    """claude gets the reason in place of the tool, the turn goes on, and nothing was run."""
    target = scene.stage.project / "made-by-claude"
    scene.api.script["make it"] = [Tool("Bash", {"command": f"touch {target}"}), Text("I could not.")]
    session = await scene.open()
    await scene.begin(session, "make it")
    approval = await scene.asked(session)
    await scene.answer(session, approval, "deny", message="not today")
    turn = await scene.end(session, "make it")

    assert turn.ended is not None
    assert (turn.ended.text, turn.ended.tool_calls) == ("I could not.", 1)
    assert not target.exists()
    assert "not today" in str(scene.api.requests[-1]["messages"])
    await scene.stop(session)


async def test_two_sessions_do_not_disturb_each_other(scene: Scene) -> None:
    """One of two sessions in one project is stopped in mid-turn; the other one ends its turn."""
    scene.api.script["left"] = held("left")
    scene.api.script["right"] = held("right")
    left, right = await scene.open(), await scene.open()
    await asyncio.gather(scene.begin(left, "left"), scene.begin(right, "right"))
    await scene.stop(left)
    scene.api.release("right")
    turn = await scene.end(right, "right")

    assert left.pid != right.pid
    assert turn.state == "done"
    assert (await scene.sessions.wait_turn(left.session_id, "left")).state == "stopped"
    await scene.stop(right)


async def test_every_start_finds_a_launcher_and_no_worker_leaves_one(scene: Scene) -> None:
    """A worker has one wait, makes another after the start that took it, and takes it along, drained or killed."""
    taken = [await launcher_of(scene)]
    for _ in range(2):
        await scene.stop(await scene.open())
        taken.append(await launcher_of(scene, besides=taken))
    assert await scene.drain_worker() == 0
    assert not taken[-1].lives
    await scene.new_worker()
    last = await launcher_of(scene)
    await scene.kill_worker()
    await comes_true(lambda: not last.lives, "its end")


async def launcher_of(scene: Scene, besides: Sequence[Known] = ()) -> Known:
    """The launcher that waits for the worker's next start, when those that it had before are gone."""
    assert scene.worker is not None
    worker = psutil.Process(scene.worker.pid)

    async def found() -> Known | None:
        children = [known(child.pid) for child in worker.children()]
        return children[0] if children and not set(children) & set(besides) else None

    child: Known = await until(found)
    return child
