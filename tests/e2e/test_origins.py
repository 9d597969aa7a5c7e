"""Sessions that go on with a conversation of the real CLI's: adopted under its own id, or forked into a new one."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from activities.calls import Origin
from claude.command import has_transcript
from claude.identity import conversation_id
from demo.messages_api import Hold, Text
from demo.stage import claudes_environment
from runtime.settings import Settings
from tests.e2e.scene import PATIENCE_SECONDS, Scene
from workflows.errors import Refused
from workflows.messages import SessionReport


async def opened(scene: Scene, origin: Origin) -> SessionReport:
    """A session that is to go on with this conversation, once it is ready or has failed."""
    session_id = f"origin-{uuid.uuid4().hex[:8]}"
    await scene.sessions.open(str(scene.stage.project), session_id=session_id, origin=origin)
    return await scene.sessions.wait_ready(session_id)


async def forked(scene: Scene, session: SessionReport) -> SessionReport:
    """A fork of the session, ready."""
    new_id = f"fork-{uuid.uuid4().hex[:8]}"
    await scene.sessions.fork(session.session_id, new_id)
    return await scene.sessions.wait_ready(new_id)


async def said(scene: Scene, session: SessionReport, prompt: str) -> str:
    """Send the prompt, wait for the turn's end, and return all that the model was sent for it."""
    await scene.begin(session, prompt)
    assert (await scene.end(session, prompt)).state == "done"
    return str(scene.api.requests[-1]["messages"])


async def test_a_stopped_session_s_conversation_is_adopted(scene: Scene) -> None:
    """The new session goes on under the conversation's own id, also after its claude was restarted."""
    first = await scene.open()
    await said(scene, first, "the word is maple")
    await scene.stop(first)
    second = await opened(scene, Origin(conversation_id=first.conversation_id))
    heard = await said(scene, second, "what was the word?")
    await scene.stop(second)
    third = await opened(scene, Origin(conversation_id=first.conversation_id))
    heard_later = await said(scene, third, "and before?")

    assert second.status == "ready"
    assert second.conversation_id == first.conversation_id
    assert "the word is maple" in heard
    assert "the word is maple" in heard_later
    assert "what was the word?" in heard_later
    assert not has_transcript(environment(scene), conversation_id(second.session_id))
    await scene.stop(third)


def environment(scene: Scene) -> dict[str, str]:
    return claudes_environment(scene.stage, Settings.from_env({}), scene.api.url)


async def test_a_conversation_that_does_not_exist_is_not_adopted(scene: Scene) -> None:
    """The session fails with a sentence, and no process is left."""
    unknown = str(uuid.uuid4())
    adopting = await opened(scene, Origin(conversation_id=unknown))
    forking = await opened(scene, Origin(conversation_id=unknown, is_forked=True))

    assert (adopting.status, forking.status) == ("failed", "failed")
    assert f"this host has no conversation {unknown}" in adopting.note
    assert f"this host has no conversation {unknown}" in forking.note
    assert scene.trace(adopting).processes() == scene.trace(forking).processes() == []


async def test_what_cannot_be_a_conversation_is_refused(scene: Scene) -> None:
    """An id that looks like an option of claude's never gets there."""
    with pytest.raises(Refused, match="take the uuid"):
        await opened(scene, Origin(conversation_id="--dangerously-skip-permissions"))


async def test_a_conversation_in_use_is_not_adopted(scene: Scene) -> None:
    """Of two sessions only one writes a conversation; the other one is told which."""
    first = await scene.open()
    await said(scene, first, "mine")
    second = await opened(scene, Origin(conversation_id=first.conversation_id))

    assert second.status == "failed"
    assert f"is in use by session '{first.session_id}'" in second.note
    assert "mine" in await said(scene, first, "still mine")
    await scene.stop(first)


async def test_two_that_adopt_at_once_do_not_both_get_it(scene: Scene) -> None:
    """Exactly one becomes ready."""
    first = await scene.open()
    await said(scene, first, "for one of you")
    await scene.stop(first)
    origin = Origin(conversation_id=first.conversation_id)
    both = await asyncio.gather(opened(scene, origin), opened(scene, origin))

    assert sorted(report.status for report in both) == ["failed", "ready"]
    await asyncio.gather(*(scene.sessions.stop(report.session_id) for report in both))


async def test_a_fork_carries_the_history_and_leaves_the_original(scene: Scene) -> None:
    """Both go on, each with what it was told itself; the fork is resumed as what it has become."""
    original = await scene.open()
    await said(scene, original, "the word is birch")
    fork = await forked(scene, original)
    heard_by_fork = await said(scene, fork, "only the fork knows")
    heard_by_original = await said(scene, original, "only the original knows")
    await scene.kill_claude(fork)
    heard_after_restart = await said(scene, fork, "the fork again")

    assert fork.conversation_id == conversation_id(fork.session_id) != original.conversation_id
    assert "the word is birch" in heard_by_fork
    assert "the word is birch" in heard_by_original
    assert "only the fork knows" not in heard_by_original
    assert "only the fork knows" in heard_after_restart
    assert "only the original knows" not in heard_after_restart
    await asyncio.gather(scene.stop(fork), scene.stop(original))


async def test_a_fork_that_dies_before_its_first_message_is_made_again(scene: Scene) -> None:
    """It has no transcript yet, so it is forked once more, and its first turn begins in the copy."""
    original = await scene.open()
    await said(scene, original, "the word is cedar")
    fork = await forked(scene, original)
    await scene.kill_claude(fork)

    assert "the word is cedar" in await said(scene, fork, "what was the word?")
    assert (await scene.sessions.status(fork.session_id)).generation == 2
    await asyncio.gather(scene.stop(fork), scene.stop(original))


async def test_a_session_is_forked_in_mid_turn(scene: Scene) -> None:
    """The original's turn goes on and ends undisturbed."""
    scene.api.script["long work"] = [Text("I begin."), Hold(), Text("Done.")]
    original = await scene.open()
    await said(scene, original, "the word is elm")
    await scene.begin(original, "long work")
    fork = await forked(scene, original)
    heard = await said(scene, fork, "go on elsewhere")
    scene.api.release("long work")
    async with asyncio.timeout(PATIENCE_SECONDS):
        turn = await scene.end(original, "long work")

    assert "the word is elm" in heard
    assert turn.ended is not None
    assert turn.ended.text.endswith("Done.")
    await asyncio.gather(scene.stop(fork), scene.stop(original))
