"""Leave for tools, asked by the real CLI and given by a person: whatever dies meanwhile, a tool runs when allowed, once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from activities.follower import CONTINUE
from demo.messages_api import Hold, Step, Text, Tool, Tools
from tests.e2e.scene import Scene, playing, the_claude, until
from workflows.approvals import Approval
from workflows.errors import Refused
from workflows.messages import SessionReport


@pytest.fixture(scope="module")
async def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """While this file exists, no claude of this scene starts."""
    return tmp_path_factory.mktemp("gate") / "closed"


@pytest.fixture(scope="module")
async def place(gate: Path) -> AsyncIterator[Scene]:
    """A server, the model and the directories, shared by all tests of this file."""
    async with playing(DURABLE_CLAUDE_EXECUTABLE=str(gated(gate))) as scene:
        yield scene


def gated(gate: Path) -> Path:
    """The real CLI behind a gate."""
    program = gate.with_name("claude")
    real = the_claude(os.environ.get("PATH", ""))
    program.write_text(f'#!/bin/sh\nwhile [ -e "{gate}" ]; do sleep 0.05; done\nexec "{real}" "$@"\n')
    program.chmod(0o700)
    return program


def append(path: Path) -> Tool:
    """A tool that needs leave, and shows how often it ran."""
    return Tool("Bash", {"command": f"echo ran >> {path}"})


def runs(path: Path) -> int:
    """How often it ran."""
    return len(path.read_text().splitlines()) if path.exists() else 0


def told(scene: Scene) -> str:
    """All that the model was sent last."""
    return str(scene.api.requests[-1]["messages"])


async def ask(scene: Scene, prompt: str, *steps: Step) -> tuple[SessionReport, Approval]:
    """A new session whose turn raises a question."""
    scene.api.script[prompt] = steps
    session = await scene.open()
    await scene.begin(session, prompt)
    return session, await scene.asked(session)


async def test_a_tool_that_is_allowed_runs_once(scene: Scene) -> None:
    """Nothing runs before the answer; then it runs once, and the next one is asked about again."""
    target = scene.stage.project / "allowed"
    session, approval = await ask(scene, "allowed", append(target), append(target), Text("Both done."))
    before = runs(target)
    await scene.answer(session, approval, "allow")
    second = await another(scene, session, approval.approval_id)
    between = runs(target)
    await scene.answer(session, second, "allow")
    turn = await scene.end(session, "allowed")

    assert (approval.tool, approval.input) == ("Bash", {"command": f"echo ran >> {target}"})
    assert (before, between, runs(target)) == (0, 1, 2)
    assert turn.ended is not None
    assert (turn.ended.text, turn.ended.tool_calls, turn.ended.error_kind) == ("Both done.", 2, "")
    await scene.stop(session)


async def another(scene: Scene, session: SessionReport, *known: str) -> Approval:
    """The newest question but these."""

    async def look() -> list[Approval]:
        waiting = (await scene.sessions.status(session.session_id)).approvals
        return [approval for approval in waiting if approval.approval_id not in known]

    waiting: list[Approval] = await until(look)
    return waiting[-1]


async def test_a_denial_without_words_gives_claude_a_reason(scene: Scene) -> None:
    """The API takes no failed tool without one."""
    target = scene.stage.project / "denied"
    session, approval = await ask(scene, "denied", append(target), Text("So be it."))
    await scene.answer(session, approval, "deny")
    turn = await scene.end(session, "denied")

    assert turn.state == "done"
    assert runs(target) == 0
    assert "denied this" in told(scene)
    await scene.stop(session)


async def test_leave_for_a_turn_is_asked_once(scene: Scene) -> None:
    """The second tool of the turn runs without a question, one of the next turn does not."""
    target = scene.stage.project / "for-a-turn"
    session, approval = await ask(scene, "for a turn", append(target), append(target), Text("Done."))
    await scene.answer(session, approval, "allow_turn")
    turn = await scene.end(session, "for a turn")
    ran = runs(target)
    scene.api.script["next turn"] = [append(target), Text("Done.")]
    await scene.begin(session, "next turn")
    next_one = await scene.asked(session)
    await scene.answer(session, next_one, "deny")
    await scene.end(session, "next turn")

    assert turn.ended is not None
    assert turn.ended.tool_calls == 2
    assert ran == 2
    assert runs(target) == 2
    await scene.stop(session)


async def test_leave_for_good_is_not_asked_again(scene: Scene) -> None:
    """claude's own rule is taken up: the same command runs in the next process too, another one asks."""
    target, other = scene.stage.project / "for-good", scene.stage.project / "other"
    session, approval = await ask(scene, "for good", Tool("Bash", {"command": f"mkdir -p {target}"}), Text("Done."))
    await scene.answer(session, approval, "allow_always")
    await scene.end(session, "for good")
    target.rmdir()
    await scene.kill_claude(session)
    scene.api.script["again"] = [Tool("Bash", {"command": f"mkdir -p {target}"}), append(other), Text("Done.")]
    await scene.begin(session, "again")
    asked = await scene.asked(session)
    made = target.is_dir()
    await scene.answer(session, asked, "deny")
    await scene.end(session, "again")

    assert approval.can_be_remembered
    assert made
    assert "echo ran" in asked.input["command"]
    assert runs(other) == 0
    await scene.stop(session)


async def test_several_tools_of_one_message_are_asked_about_and_run_as_answered(scene: Scene) -> None:
    """Each question has its own answer, in whatever order the answers come."""
    project = scene.stage.project
    several = Tools([append(project / "first"), append(project / "second"), append(project / "third")])
    scene.api.script["several"] = [several, Text("Two of three.")]
    session = await scene.open()
    await scene.begin(session, "several")
    decided = {"first": "allow", "second": "deny", "third": "allow"}
    answered: set[str] = set()
    while len(answered) < len(decided):
        approval = await another(scene, session, *answered)
        name = Path(approval.input["command"]).name
        await scene.answer(session, approval, "deny" if name == "second" else "allow")
        answered.add(approval.approval_id)
    turn = await scene.end(session, "several")

    assert turn.ended is not None
    assert (turn.ended.text, turn.ended.tool_calls) == ("Two of three.", 3)
    assert [runs(project / name) for name in decided] == [1, 0, 1]
    await scene.stop(session)


@pytest.mark.parametrize("given", ["when claude asks again", "while claude is not up"])
async def test_a_question_outlives_everything(scene: Scene, gate: Path, given: str) -> None:
    """Worker, shim, claude and server killed; all started again; the answer given: the tool runs exactly once."""
    target = scene.stage.project / given.replace(" ", "-")
    scene.api.script[CONTINUE] = [append(target), Text("Done.")]
    session, approval = await ask(scene, given, append(target), Text("Done."))
    await kill_everything(scene, session)
    if given == "while claude is not up":
        gate.touch()
    await scene.bring_server_back()
    await scene.new_worker()
    again = await (started_again if gate.exists() else asked_again)(scene, session)
    before = runs(target)
    await scene.answer(session, again, "allow")
    gate.unlink(missing_ok=True)
    turn = await scene.end(session, given)
    status = await scene.sessions.status(session.session_id)

    assert again.approval_id == approval.approval_id
    assert before == 0
    assert turn.ended is not None
    assert turn.ended.text == "Done."
    assert runs(target) == 1
    assert (status.generation, status.approvals, status.turns_done) == (2, [], 1)
    await scene.stop(session)


async def kill_everything(scene: Scene, session: SessionReport) -> None:
    """SIGKILL for all at once; only files are left."""
    shim = psutil.Process(session.pid).parent()
    assert shim is not None
    victims = [shim, psutil.Process(session.pid)]
    await asyncio.gather(scene.kill_server(), scene.kill_worker())
    for victim in victims:
        victim.send_signal(signal.SIGKILL)
    _, alive = await asyncio.to_thread(psutil.wait_procs, victims, 30)
    assert alive == []


async def started_again(scene: Scene, session: SessionReport) -> Approval:
    """The question, once the session knows that its claude is gone, and before there is a new one."""

    async def look() -> Approval | None:
        with contextlib.suppress(Exception):
            status = await scene.sessions.status(session.session_id)
            if status.status in ("starting", "restarting") and status.approvals:
                return status.approvals[0]
        return None

    found: Approval = await until(look)
    return found


async def asked_again(scene: Scene, session: SessionReport) -> Approval:
    """The question, once the new claude waits for its answer."""

    async def look() -> Approval | None:
        with contextlib.suppress(Exception):
            status = await scene.sessions.status(session.session_id)
            if status.generation == 2 and status.approvals and status.approvals[0].request_id:
                return status.approvals[0]
        return None

    found: Approval = await until(look)
    return found


async def test_questions_of_claude_are_answered(scene: Scene) -> None:
    """AskUserQuestion arrives like any tool, also in a turn whose tools are all allowed; the answers reach the model."""
    colours = [{"label": name, "description": name} for name in ("Red", "Blue")]
    question = {"question": "Which colour?", "header": "Colour", "options": colours, "multiSelect": False}
    asking = Tool("AskUserQuestion", {"questions": [question]})
    session, leave = await ask(scene, "choose", append(scene.stage.project / "chosen"), asking, Text("Thanks."))
    with pytest.raises(Refused, match="is about the tool Bash"):
        await scene.answer(session, leave, "allow", answers={"Which colour?": "Red"})
    await scene.answer(session, leave, "allow_turn")
    approval = await another(scene, session, leave.approval_id)
    await scene.answer(session, approval, "allow", answers={"Which colour?": "Blue"})
    turn = await scene.end(session, "choose")

    assert approval.tool == "AskUserQuestion"
    assert approval.input["questions"][0]["options"] == colours
    assert turn.ended is not None
    assert turn.ended.text == "Thanks."
    assert '"Which colour?"="Blue"' in told(scene)
    await scene.stop(session)


async def test_a_plan_is_approved_like_a_tool(scene: Scene) -> None:
    """The person sees the plan; claude leaves plan mode with the approval, and asks for tools as ever."""
    target, plan = scene.stage.project / "planned", {"file_path": "", "content": "1. Build it."}
    written: list[Step] = [Tool("EnterPlanMode", {}), Hold(), Tool("Write", plan), Tool("ExitPlanMode", {})]
    scene.api.script["plan it"] = [*written, append(target), Text("Built.")]
    session = await scene.open()
    await scene.begin(session, "plan it")
    async with asyncio.timeout(60):
        await scene.api.wait_asked("plan it", 2)
    plan["file_path"] = re.findall(r"[^\s\"'`]*/plans/[\w-]+\.md", told(scene))[-1]
    scene.api.release("plan it")
    approval = await scene.asked(session)
    await scene.answer(session, approval, "allow")
    building = await another(scene, session, approval.approval_id)
    before = runs(target)
    await scene.answer(session, building, "allow")
    turn = await scene.end(session, "plan it")

    assert (approval.tool, building.tool) == ("ExitPlanMode", "Bash")
    assert approval.input["plan"] == "1. Build it."
    assert turn.state == "done"
    assert (before, runs(target)) == (0, 1)
    await scene.stop(session)
