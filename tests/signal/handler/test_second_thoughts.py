"""Messages that their writers edit or delete: what waits is changed, what claude has it has."""

from __future__ import annotations

from tests.signal.handler.scene import Scene, until


async def queued(scene: Scene, text: str = "second") -> int:
    """A message that waits behind a running turn."""
    await scene.opens("hold")
    await until(lambda: scene.host.sent)
    said = await scene.owner.says(text)
    await scene.owner.sees(lambda screen: any(one.startswith("Queued") for one in screen.texts))
    return said


async def ends(scene: Scene, text: str) -> None:
    """Let claude go on, and return once this is answered and nothing is left to run."""
    scene.claude.released = True
    await scene.owner.sees(lambda screen: f"answer to {text}" in screen.texts)
    await scene.owner.says("the end")
    await scene.owner.sees(lambda screen: "answer to the end" in screen.texts)


async def test_an_edit_replaces_a_message_that_waits(scene: Scene) -> None:
    """Claude sees the edited text only; the mark at the end stands on the message that people see."""
    said = await queued(scene)
    await scene.owner.edits(said, "second, better")
    await scene.settled()
    await ends(scene, "second, better")
    await scene.owner.sees(lambda screen: screen.reaction(said) == "✅")
    assert scene.ran == ["hold", "second, better", "the end"]


async def test_a_message_is_edited_more_than_once(scene: Scene) -> None:
    """Each edit takes the place of the one before, and none but the last is run."""
    said = await queued(scene)
    for text in ("one", "two", "three"):
        await scene.owner.edits(said, text)
    await scene.settled()
    await ends(scene, "three")
    assert scene.ran == ["hold", "three", "the end"]


async def test_an_edit_comes_too_late(scene: Scene) -> None:
    """What claude has is not changed, and the writer is told; so with an edited command."""
    await scene.opens()
    said = await scene.owner.says("go")
    await scene.owner.sees(lambda screen: screen.reaction(said) == "✅")
    await scene.owner.edits(said, "go back")
    await scene.owner.sees(lambda screen: any(one.startswith("Claude has the message already") for one in screen.texts))
    await scene.owner.edits(said, "/stop")
    await scene.owner.sees(lambda screen: "An edited command is not done again: send it anew." in screen.texts)
    assert scene.ran == ["go"]
    assert scene.owner.screen().reaction(said) == "✅"


async def test_a_message_that_waits_is_taken_back(scene: Scene) -> None:
    """Who deletes it is told that claude will not see it, also when it was edited before."""
    said = await queued(scene)
    await scene.owner.edits(said, "second, better")
    await scene.settled()
    await scene.owner.deletes(said)
    await scene.owner.sees(lambda screen: "Taken back: claude will not see it." in screen.texts)
    await ends(scene, "hold")
    assert scene.ran == ["hold", "the end"]


async def test_a_message_is_deleted_too_late(scene: Scene) -> None:
    """What claude has is not taken back; deleting what was no message of a turn says nothing."""
    await scene.opens("hold")
    await until(lambda: scene.host.sent)
    await scene.asks("/projects")
    await scene.settled()
    seen = len(scene.owner.screen().texts)
    begun, said = [one.timestamp for one in scene.owner.screen().messages if one.author == scene.owner.aci]
    await scene.owner.deletes(said)
    await scene.owner.deletes(begun)
    text = await scene.owner.sees(lambda screen: "".join(screen.texts[seen:]))
    assert text == "Claude has that message already: /interrupt ends the turn."


async def test_nobody_edits_or_deletes_for_somebody_else(scene: Scene) -> None:
    """An edit or deletion names a time only: it is about a message of its own sender."""
    scene.set(SIGNAL_OWNERS=f"{scene.owner.number},{scene.stranger.number}")
    await scene.restart()
    group = scene.daemon.group("work", [scene.owner, scene.stranger])
    await scene.asks("/start shop hold", to=group)
    await until(lambda: scene.host.sent)
    said = await scene.owner.says("second", group)
    await scene.owner.sees(lambda screen: any(one.startswith("Queued") for one in screen.texts), group)
    now = await scene.stranger.says("mine", group)
    assert now != said
    room = scene.daemon.room(scene.owner.key(group))
    message = room.find(said)
    assert message is not None
    message.author = scene.stranger.aci
    await scene.stranger.deletes(said, group)
    message.author, message.deleted = scene.owner.aci, False
    await scene.barrier()
    scene.claude.released = True
    await scene.owner.sees(lambda screen: "answer to mine" in screen.texts, group)
    assert scene.ran == ["hold", "second", "mine"]
