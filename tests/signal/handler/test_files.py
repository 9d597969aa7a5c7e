"""Files: what is sent reaches claude as a path, what is asked for comes back, and nothing leaves its place."""

from __future__ import annotations

import stat
from pathlib import Path
from urllib.parse import unquote

import pytest

from handlers.signal import receiving
from tests.signal.handler.claude import LONG
from tests.signal.handler.scene import Scene, until
from tests.signal.network import File, Message

PICTURE = File("shot.png", "image/png", b"\x89PNG not really")


async def told(scene: Scene, beginning: str) -> Message:
    """The message that begins so, once it is on the phone."""

    def find(messages: list[Message]) -> Message | None:
        return next((one for one in messages if one.text.startswith(beginning)), None)

    found = await scene.owner.sees(lambda screen: find([m for m in screen.messages if m.author == scene.daemon.aci]))
    assert found is not None
    return found


async def test_a_picture_is_handed_to_claude(scene: Scene) -> None:
    """It lies under the state directory, for this user only, and its path goes along with the message."""
    await scene.opens()
    await scene.owner.says("what is this?", attachments=[PICTURE])
    await until(lambda: scene.host.sent)
    (path,) = map(Path, scene.host.sent[0].attachments)
    assert scene.ran == ["what is this?"]
    assert path.is_relative_to(scene.state / "received")
    assert path.name == "0-shot.png"
    assert path.read_bytes() == PICTURE.data
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_files_without_a_word_and_with_a_start(scene: Scene) -> None:
    """A file alone is a message, and one that comes with `/start` is part of the first."""
    await scene.owner.says("/start shop look", attachments=[PICTURE, PICTURE])
    await until(lambda: scene.host.sent)
    await scene.owner.says("", attachments=[File("notes.txt", "text/plain", b"x")])
    await until(lambda: len(scene.host.sent) == 2)
    assert [len(call.attachments) for call in scene.host.sent] == [2, 1]
    assert scene.ran == ["look", "Look at the attached file."]


async def test_a_message_with_a_file_waits_for_the_daemon(scene: Scene) -> None:
    """A file that could not be fetched is fetched again, and the message is sent once."""
    await scene.opens()
    scene.daemon.fails_next("getAttachment", "internal")
    scene.daemon.drops_request("getAttachment")
    await scene.owner.says("see", attachments=[PICTURE])
    await scene.owner.sees(lambda screen: "answer to see" in screen.texts)
    assert len(scene.daemon.called("getAttachment")) == 3
    assert scene.ran == ["see"]


@pytest.mark.parametrize("is_honest", [True, False])
async def test_a_file_that_is_too_large(scene: Scene, monkeypatch: pytest.MonkeyPatch, *, is_honest: bool) -> None:
    """It is refused in words, whether its sender said how large it is or not, and claude is told nothing."""
    monkeypatch.setattr(receiving, "LARGEST_BYTES", 1000)
    await scene.opens()
    large = File("big.bin", "application/octet-stream", b"x" * 1001)
    await scene.owner.says("see", attachments=[large])
    if not is_honest:
        scene.daemon.queue[-1]["envelope"]["dataMessage"]["attachments"][0]["size"] = 1
    assert (await told(scene, "The file has ")).text
    assert scene.ran == []


async def test_a_file_that_is_gone(scene: Scene) -> None:
    """A file that signal-cli has no more is said to be missing; the message is not sent without it."""
    await scene.opens()
    await scene.owner.says("see", attachments=[PICTURE])
    scene.daemon.files.clear()
    await scene.owner.sees(lambda screen: any("has no such file" in text for text in screen.texts))
    assert scene.ran == []


async def test_a_session_on_another_host_gets_and_gives_no_files(scene: Scene) -> None:
    """What is put on this disk is of no use there, and its files are not here: both are said."""
    (scene.state / "host-id").write_text("elsewhere\n")
    await scene.restart()
    await scene.opens("go")
    await told(scene, "answer to go")
    await scene.owner.says("see", attachments=[PICTURE])
    assert "files cannot be handed to it" in (await told(scene, "The session runs on another host")).text
    assert "cannot be sent from here" in await scene.asks("/file x")
    assert scene.ran == ["go"]


async def test_a_file_of_the_project_is_sent(scene: Scene) -> None:
    """Its name, type and content arrive; what is outside of the project does not."""
    (scene.shop / "out").mkdir()
    (scene.shop / "out" / "made ü.txt").write_text("made")
    (scene.directory / "secret").write_text("secret")
    (scene.shop / "link").symlink_to(scene.directory / "secret")
    (scene.shop / "out" / "dir").symlink_to(scene.directory)
    await scene.opens("go")
    await told(scene, "answer to go")
    assert await scene.asks("/file out/made ü.txt") == "made ü.txt"
    for wanted in ("../../secret", "/etc/passwd", str(scene.directory / "secret"), "link", "out/dir/secret", "out", ""):
        assert await scene.asks(f"/file {wanted}".strip()) != "", wanted
    (file,) = [file for message in scene.owner.screen().messages for file in message.files]
    # signal-cli decodes the name as a part of a URL.
    assert (unquote(file.name), file.type, file.data) == ("made ü.txt", "text/plain", b"made")


async def test_a_long_answer_arrives_short_and_whole(scene: Scene) -> None:
    """A message of at most 2000 bytes says that the rest is attached, and `answer.md` has all of it; so has /last."""
    scene.claude.texts["long"] = LONG
    await scene.opens("long")
    message = await told(scene, "A long answer.")
    assert len(message.text.encode()) <= 2000
    assert "the whole answer is attached" in message.text
    assert [(file.name, file.data.decode()) for file in message.files] == [("answer.md", LONG)]
    assert (await scene.asks("/last")).startswith("A long answer.")
    assert scene.owner.screen().messages[-1].files == message.files
