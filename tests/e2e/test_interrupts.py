"""Turns that end early, with the real CLI: a person interrupts, or the Messages API refuses. The session lives on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psutil
import pytest

from demo.messages_api import Fails, Hold, Text, Tool
from tests.e2e.conftest import name_of
from tests.e2e.scene import Scene, playing, until
from workflows.messages import SessionReport


@pytest.fixture(scope="module")
async def place() -> AsyncIterator[Scene]:
    """A server, the model and the directories; claude asks a busy API twice and not eleven times."""
    retries = {"CLAUDE_CODE_MAX_RETRIES": "1"}
    async with playing(**retries) as scene:
        yield scene


async def lives_on(scene: Scene, session: SessionReport, prompt: str) -> bool:
    """Whether the same claude answers the next message."""
    await scene.begin(session, prompt)
    turn = await scene.end(session, prompt)
    status = await scene.sessions.status(session.session_id)
    return turn.ended is not None and turn.ended.error_kind == "" and status.pid == session.pid


async def test_an_interrupt_while_the_model_speaks(scene: Scene) -> None:
    """The turn ends as interrupted, and the next one is answered by the same claude."""
    scene.api.script["speak"] = [Text("I begin."), Hold(), Text("Never said.")]
    session = await scene.open()
    await scene.begin(session, "speak")
    await scene.sessions.interrupt(session.session_id)
    turn = await scene.end(session, "speak")

    assert turn.ended is not None
    assert (turn.state, turn.ended.error_kind, turn.ended.is_error) == ("done", "interrupted", True)
    assert await lives_on(scene, session, "after speaking")
    await scene.stop(session)


async def test_an_interrupt_while_a_tool_runs(scene: Scene) -> None:
    """The tool's processes are ended, the turn is interrupted, and the session lives on."""
    scene.api.script["work"] = [Tool("Bash", {"command": "bash -c 'sleep 307; true'"}), Text("Never said.")]
    session = await scene.open()
    await scene.begin(session, "work")
    await scene.answer(session, await scene.asked(session), "allow")

    async def sleeping() -> list[psutil.Process]:
        return [process for process in scene.trace(session).processes() if name_of(process) == "sleep"]

    async def none_sleeping() -> bool:
        return not await sleeping()

    await until(sleeping)
    await scene.sessions.interrupt(session.session_id)
    turn = await scene.end(session, "work")
    await until(none_sleeping)

    assert turn.ended is not None
    assert turn.ended.error_kind == "interrupted"
    assert await lives_on(scene, session, "after working")
    await scene.stop(session)


async def test_an_interrupt_while_a_question_waits(scene: Scene) -> None:
    """The question is gone with the turn, what it was about never runs, and a late answer is told so."""
    target = scene.stage.project / "never"
    scene.api.script["may I"] = [Tool("Bash", {"command": f"echo ran >> {target}"}), Text("Never said.")]
    session = await scene.open()
    await scene.begin(session, "may I")
    approval = await scene.asked(session)
    await scene.sessions.interrupt(session.session_id)
    turn = await scene.end(session, "may I")

    assert turn.ended is not None
    assert turn.ended.error_kind == "interrupted"
    assert (await scene.sessions.status(session.session_id)).approvals == []
    with pytest.raises(Exception, match="its turn has ended"):
        await scene.answer(session, approval, "allow")
    assert await lives_on(scene, session, "after asking")
    assert not target.exists()
    await scene.stop(session)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Fails(401, "authentication_error", "invalid x-api-key"), "not_logged_in"),
        (Fails(400, "invalid_request_error", "Your credit balance is too low to access the API."), "no_credit"),
        (Fails(529, "overloaded_error", "Overloaded"), "overloaded"),
    ],
    ids=["not logged in", "no credit", "overloaded"],
)
async def test_what_the_api_refuses_is_said_as_such(scene: Scene, failure: Fails, kind: str) -> None:
    """It is the turn's result with a kind, not a crash: nothing is restarted, and the next turn works."""
    prompt = f"refused {failure.status}"
    scene.api.script[prompt] = [failure]
    session = await scene.open()
    await scene.begin(session, prompt)
    turn = await scene.end(session, prompt)
    status = await scene.sessions.status(session.session_id)

    assert turn.ended is not None
    assert (turn.state, turn.ended.is_error, turn.ended.error_kind) == ("done", True, kind)
    assert turn.ended.text
    assert (status.status, status.restarts) == ("ready", 0)
    assert await lives_on(scene, session, f"after {failure.status}")
    await scene.stop(session)
