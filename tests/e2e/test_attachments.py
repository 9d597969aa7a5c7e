"""Files that a person sends along, with the real CLI: what the model really gets, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import struct
import zlib
from typing import Any

import psutil

from demo.messages_api import Hold, Text
from tests.e2e.scene import PATIENCE_SECONDS, Scene
from workflows.messages import Message, SessionReport, TurnReport


def png(width: int, height: int, padding: int = 0) -> bytes:
    """A red image, with something after its end to make it large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\xff\0\0" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"") + bytes(padding)


async def send(scene: Scene, session: SessionReport, text: str, *paths: str) -> None:
    await scene.sessions.send(session.session_id, Message(turn_id=text, text=text, attachments=list(paths)))


async def turn(scene: Scene, session: SessionReport, text: str, *paths: str) -> TurnReport:
    await send(scene, session, text, *paths)
    return await scene.end(session, text)


def blocks(scene: Scene, kind: str) -> list[dict[str, Any]]:
    """The blocks of this kind in all that the model was sent last."""
    messages = scene.api.requests[-1]["messages"]
    contents = [message["content"] for message in messages if isinstance(message["content"], list)]
    return [block for content in contents for block in content if block["type"] == kind]


async def test_the_model_gets_the_image_and_the_path_of_the_other_file(scene: Scene) -> None:
    """The image as it is, beside the text; the other file for claude to read."""
    image, notes = scene.stage.project / "shot.png", scene.stage.project / "notes.txt"
    image.write_bytes(png(8, 8))
    notes.write_text("to be read")
    session = await scene.open()
    ended = await turn(scene, session, "what do you see?", "shot.png", str(notes))
    [sent] = blocks(scene, "image")

    assert ended.state == "done"
    assert sent["source"]["media_type"] == "image/png"
    assert base64.b64decode(sent["source"]["data"]) == image.read_bytes()
    assert any(f"Attached files:\n{notes}" in block["text"] for block in blocks(scene, "text"))
    await scene.stop(session)


async def test_a_large_image_gets_through_and_a_larger_one_is_refused(scene: Scene) -> None:
    """The refusal fails that turn alone, in words, before claude hears of it."""
    (scene.stage.project / "large.png").write_bytes(png(64, 64, padding=4_400_000))
    (scene.stage.project / "larger.png").write_bytes(png(64, 64, padding=4_500_000))
    session = await scene.open()
    large = await turn(scene, session, "large", "large.png")
    received = len(blocks(scene, "image"))
    larger = await turn(scene, session, "larger", "larger.png")
    after = await turn(scene, session, "after larger")

    assert (large.ended is not None, received) == (True, 1)
    assert larger.ended is not None
    assert (larger.ended.is_error, larger.ended.error_kind) == (True, "other")
    assert "make them smaller" in larger.ended.text
    assert scene.api.asked["larger"] == 0
    assert after.ended is not None
    assert not after.ended.is_error
    await scene.stop(session)


async def test_a_file_that_may_not_be_sent_fails_its_turn_only(scene: Scene) -> None:
    """The same claude takes the next message."""
    session = await scene.open()
    ended = await turn(scene, session, "secrets", "/etc/hostname")
    after = await turn(scene, session, "after secrets")
    status = await scene.sessions.status(session.session_id)

    assert ended.ended is not None
    assert "outside the allowed roots" in ended.ended.text
    assert scene.api.asked["secrets"] == 0
    assert after.ended is not None
    assert (after.ended.is_error, status.pid, status.restarts) == (False, session.pid, 0)
    await scene.stop(session)


async def test_a_file_that_goes_away_after_it_was_sent_changes_nothing(scene: Scene) -> None:
    """Whoever follows the turn next finds that claude has the message."""
    image = scene.stage.project / "short-lived.png"
    image.write_bytes(png(8, 8))
    scene.api.script["look"] = [Text("I look."), Hold(), Text("A red square.")]
    session = await scene.open()
    await send(scene, session, "look", image.name)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await scene.api.wait_asked("look")
    image.unlink()
    await scene.kill_worker()
    await scene.new_worker()
    scene.api.release("look")
    ended = await scene.end(session, "look")

    assert ended.ended is not None
    assert not ended.ended.is_error
    assert ended.ended.text.endswith("A red square.")
    assert scene.api.asked["look"] == 1
    await scene.stop(session)


async def test_an_image_is_sent_once_although_claude_was_killed(scene: Scene) -> None:
    """The next claude goes on with the turn, and the conversation has the image once."""
    (scene.stage.project / "kept.png").write_bytes(png(8, 8))
    scene.api.script["look on"] = [Text("I look."), Hold(), Text("A red square.")]
    session = await scene.open()
    await send(scene, session, "look on", "kept.png")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await scene.api.wait_asked("look on")
    psutil.Process(session.pid).kill()
    scene.api.release("look on")
    ended = await scene.end(session, "look on")
    status = await scene.sessions.status(session.session_id)

    assert ended.state == "done"
    assert ended.ended is not None
    assert not ended.ended.is_error
    assert status.generation == 2
    assert len(blocks(scene, "image")) == 1
    await scene.stop(session)
