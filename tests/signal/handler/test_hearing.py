"""How much a chat is told, and when: levels, mute, quiet hours, and the one message for what was missed."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from handlers.signal import hearing, service
from tests.signal.handler.claude import LONG
from tests.signal.handler.scene import Scene, prompts, until
from tests.signal.network import Message


def now_quiet() -> str:
    """Hours that cover this moment, however it moves while a test runs."""
    now = datetime.now().astimezone()
    return f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=2):%H:%M}"


async def missed(scene: Scene) -> Message:
    """The message that says what happened while it was quiet."""

    def find(messages: list[Message]) -> Message | None:
        return next((one for one in messages if "while it was quiet:" in one.text), None)

    found = await scene.owner.sees(lambda screen: find(screen.messages))
    assert found is not None
    return found


async def is_done(scene: Scene, text: str) -> None:
    """A turn with this text has ended, and its mark stands."""
    said = await scene.owner.says(text)
    await scene.owner.sees(lambda screen: screen.reaction(said) in ("✅", "❌"))


async def test_levels_are_chosen_by_their_beginning(scene: Scene) -> None:
    """`/level u` is urgent; an unknown one is refused with the names and the one that holds."""
    assert (await scene.asks("/level u")).startswith("Only questions")
    assert await scene.asks("/level loud") == "Say which level: urgent, milestones, everything; now it is urgent"
    assert (await scene.asks("/level")).startswith("Say which level")


async def test_only_what_is_urgent_is_told(scene: Scene) -> None:
    """With `/level urgent` an answer is not told and a failure and a question are; marks stand in any case."""
    await scene.opens()
    await scene.asks("/level urgent")
    await is_done(scene, "go")
    await is_done(scene, "fail")
    await scene.prompt()
    texts = scene.owner.screen().texts
    assert "answer to go" not in texts
    assert any(text.startswith("❌ the account has no credit left") for text in texts)
    assert scene.desk.outbox.held(scene.owner.key()) == []


async def test_nothing_is_told_while_it_is_muted_but_questions(scene: Scene) -> None:
    """Questions come without a sound; the rest waits, and comes whole in one message at `/mute off`, before its answer."""
    scene.claude.texts["long"] = LONG
    await scene.opens()
    assert (await scene.asks("/mute")).startswith("Quiet until /mute off.")
    await is_done(scene, "go")
    await is_done(scene, "long")
    prompt = await scene.prompt()
    assert await scene.asks("/mute off") != ""
    found = await missed(scene)
    await scene.owner.sees(lambda screen: "You hear from me again." in screen.texts)
    texts = scene.owner.screen().texts
    assert prompt.silent
    assert found.text.splitlines()[:2] == ["2 messages while it was quiet:", "· “go” → answer to go"]
    assert [file.name for file in found.files] == ["while-it-was-quiet.md", "answer.md"]
    assert b"answer to go" in found.files[0].data
    assert found.files[1].data.decode() == LONG
    assert "answer to go" not in texts
    assert texts.index(found.text) < texts.index("You hear from me again.")


async def test_a_mute_ends_by_itself(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """`/mute 2h` says until when; when that time has come, what was missed is told without anybody writing."""
    monkeypatch.setattr(service, "LOOK_SECONDS", 0.05)
    await scene.restart()
    await scene.opens()
    told = await scene.asks("/mute 2h")
    await is_done(scene, "go")
    assert scene.desk.outbox.count("held") == 1
    scene.desk.chats.change(scene.owner.key(), muted_until=0.0)
    assert "· “go” → answer to go" in (await missed(scene)).text
    assert told.startswith("Quiet until ")
    assert "say for how long" in (await scene.asks("/mute for a while")).lower()


async def test_quiet_hours_hold_back_until_somebody_writes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """In quiet hours an answer that took long waits; the next message of the chat brings what was missed, once."""
    monkeypatch.setattr(hearing, "AWAKE_SECONDS", 0.0)
    await scene.opens()
    told = await scene.asks(f"/quiet {now_quiet()}")
    await is_done(scene, "go")
    assert "answer to go" not in scene.owner.screen().texts
    await scene.asks("/status")
    found = await missed(scene)
    await scene.barrier()
    assert told.startswith("Quiet hours: ")
    assert found.text.splitlines()[0] == "One message while it was quiet:"
    assert sum("while it was quiet:" in text for text in scene.owner.screen().texts) == 1
    assert scene.desk.outbox.count("held") == 0


async def test_who_writes_in_quiet_hours_is_answered_without_a_sound(scene: Scene) -> None:
    """It is not held back, and wakes nobody else."""
    await scene.opens()
    await scene.asks(f"/quiet {now_quiet()}")
    await is_done(scene, "go")
    answers = [one for one in scene.owner.screen().messages if one.text == "answer to go"]

    assert [one.silent for one in answers] == [True]
    assert scene.desk.outbox.count("held") == 0


async def test_quiet_hours_are_checked_and_end(scene: Scene) -> None:
    """What are no hours is refused in words; `/quiet off` ends them."""
    assert "are no quiet hours" in await scene.asks("/quiet sometimes")
    assert "now it is off" in await scene.asks("/quiet")
    await scene.asks("/quiet 22-7")
    assert "now it is 22:00-07:00" in await scene.asks("/quiet")
    assert await scene.asks("/quiet off") == "No quiet hours."


async def test_many_missed_things_are_one_message(scene: Scene) -> None:
    """More than a screen of lines is counted, and the file has all of them."""
    await scene.opens()
    await scene.asks("/mute")
    for number in range(17):
        await scene.owner.says(f"go {number}")
    await until(lambda: scene.desk.outbox.count("held") == 17)
    await scene.owner.says("/mute off")
    found = await missed(scene)
    lines = found.text.splitlines()
    assert lines[:3] == ["17 messages while it was quiet:", "… and 2 earlier ones", "· “go 2” → answer to go 2"]
    assert found.files[0].data.decode().count("answer to") == 17


async def test_a_level_says_what_it_holds(scene: Scene) -> None:
    """The status names the level, the hours and the mute, and a question comes through all of them."""
    await scene.opens()
    for command in ("/level urgent", "/quiet 22-7", "/mute 1d"):
        await scene.asks(command)
    await scene.prompt()
    assert (await scene.asks("/status")).splitlines()[-1] == "told here: urgent, quiet 22:00-07:00, muted"
    assert len(prompts(scene.owner.screen())) == 1


async def test_what_sorts_itself_out_is_told_on_request(scene: Scene) -> None:
    """That claude died and was started again is told with `/level everything`, and not without."""
    group = scene.daemon.group("work", [scene.owner])
    await scene.asks("/level everything")
    scene.host.dies(1)
    await scene.opens()
    await scene.owner.sees(lambda screen: any(text.startswith("↻ claude died") for text in screen.texts))
    scene.host.dies(1)
    await scene.asks("/start shop", to=group)
    await until(lambda: scene.host.endings_taken == 2)
    await scene.owner.says("go", group)
    await scene.owner.sees(lambda screen: "answer to go" in screen.texts, group)
    assert not any(text.startswith("↻") for text in scene.owner.screen(group).texts)
