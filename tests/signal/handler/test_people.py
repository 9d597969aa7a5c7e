"""Who is heard: the people the operator named, by their accounts, and nobody who only says so."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from handlers.signal import service
from tests.signal.handler.scene import Scene
from tests.signal.network import OWN_ACI, Edit, Message
from tests.signal.phone import Person, envelope, synced, synced_reading


@pytest.fixture
async def scene(island: Scene) -> Scene:
    """A handler that runs; what these tests ask for needs no Temporal."""
    await island.start()
    return island


def kept(scene: Scene) -> int:
    """How many rows there are of anybody's doings."""
    tables = ("inbox", "outbox", "people", "chats", "prompts")
    return sum(scene.store.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in tables)


async def test_a_stranger_gets_silence(scene: Scene) -> None:
    """Nothing is answered or kept; the log names the account once a minute, and has no word of what was written."""
    group = scene.daemon.group("work", [scene.stranger])
    said = await scene.stranger.says("attack at dawn")
    with capture_logs() as logs:
        await scene.stranger.says("/start shop attack at dawn")
        await scene.stranger.says("attack at dawn", group)
        await scene.stranger.reacts("👍", said)
        await scene.stranger.edits(said, "attack at noon")
        await scene.stranger.deletes(said)
        await scene.daemon.until(lambda: not scene.daemon.queue)
        assert kept(scene) == 0
        await scene.barrier()
    told = [line for line in logs if line["event"] == "somebody who may not wrote here"]
    assert len(told) == 1
    assert told[0]["aci"] == scene.stranger.aci
    assert "attack" not in str(logs)
    assert str(scene.stranger.number) not in str(logs)
    assert scene.stranger.screen().texts == scene.stranger.screen(group).texts == []


async def test_a_stranger_is_named_again_after_a_minute(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for each stranger and minute."""
    monkeypatch.setattr(service, "STRANGER_SECONDS", 0.0)
    with capture_logs() as logs:
        for _ in range(3):
            await scene.stranger.says("hello")
        await scene.barrier()
    assert sum(line["event"] == "somebody who may not wrote here" for line in logs) == 3


async def test_a_number_belongs_to_its_first_account(scene: Scene) -> None:
    """The account that first has a configured number is meant, also when it hides the number; another one is not."""
    await scene.asks("/help")
    double = Person(scene.daemon, "Mallory", "11111111-2222-4333-8444-555555555555", scene.owner.number)
    scene.daemon.people[double.aci] = double
    with capture_logs() as logs:
        await double.says("/projects")
        scene.owner.number = None
        assert await scene.asks("/projects") == "named\nshop"
    assert double.screen().texts == []
    assert any("came from another account" in line["event"] for line in logs)
    assert scene.store.rows("SELECT 1 FROM inbox WHERE chat = ?", double.key()) == []


async def test_a_hidden_number_is_nobodys(scene: Scene) -> None:
    """Before a number was seen with its account, an account without it is a stranger's."""
    number, scene.owner.number = scene.owner.number, None
    await scene.owner.says("/help")
    scene.owner.number = number
    assert (await scene.asks("/projects")) == "named\nshop"
    assert len(scene.owner.screen().texts) == 1


async def test_a_number_without_an_account_is_not_believed(scene: Scene) -> None:
    """What comes with a number only, or with it in the wrong place, is a stranger's."""
    for source in (
        {"source": scene.owner.number, "sourceNumber": scene.owner.number, "sourceUuid": None},
        {"source": scene.owner.number, "sourceNumber": None, "sourceUuid": scene.stranger.aci},
        {"source": scene.owner.aci, "sourceNumber": f" {scene.owner.number}", "sourceUuid": scene.stranger.aci},
    ):
        forged = envelope(scene.daemon, "Ada", "", None, scene.daemon.now(), said("/help"))
        forged["envelope"].update(source)
        scene.daemon.arrives(forged)
    await scene.barrier(scene.approver)
    assert scene.owner.screen().texts == []
    assert {row["chat"] for row in scene.store.rows("SELECT chat FROM inbox")} == {scene.approver.key()}


async def test_the_operator_changes_the_list(scene: Scene) -> None:
    """A number that is named no more is a stranger's; a new number of a known account counts as soon as it is named."""
    await scene.asks("/help")
    scene.set(SIGNAL_OWNERS="+15550004444")
    await scene.restart()
    await scene.owner.says("/projects")
    await scene.barrier(scene.approver)
    assert len(scene.owner.screen().texts) == 1
    scene.owner.number = "+15550004444"
    assert await scene.asks("/projects") == "named\nshop"
    scene.owner.number = None
    assert await scene.asks("/projects") == "named\nshop"


async def test_what_could_not_be_verified_never_counts(scene: Scene) -> None:
    """A message that signal-cli hands over with an exception is nobody's, however whole it looks."""
    await scene.asks("/help")
    whole = envelope(scene.daemon, "Ada", scene.owner.aci, scene.owner.number, scene.daemon.now(), said("/projects"))
    scene.daemon.arrives({"exception": {"message": "Untrusted", "type": "UntrustedIdentityException"}, **whole})
    scene.owner.changes_key()
    await scene.owner.says("/projects")
    await scene.barrier(scene.approver)
    assert len(scene.owner.screen().texts) == 1
    scene.owner.is_trusted()
    await scene.owner.sees(lambda screen: screen.texts[-1] == "named\nshop")
    assert len(scene.owner.screen().texts) == 2


async def test_conversations_of_the_account_are_not_read(scene: Scene) -> None:
    """What the account's owner writes on a phone of their own is theirs, Note to Self too unless it is switched on."""
    synced(scene.daemon, "/help", scene.owner)
    synced(scene.daemon, "/help", scene.daemon.group("family", [scene.owner]))
    synced(scene.daemon, "/help")
    synced_reading(scene.daemon, scene.owner, scene.daemon.now())
    await scene.barrier()
    assert {row["chat"] for row in scene.store.rows("SELECT chat FROM inbox")} == {scene.owner.key()}
    assert len(scene.store.rows("SELECT 1 FROM inbox")) == 1


async def test_note_to_self_when_it_is_switched_on(scene: Scene) -> None:
    """Then it is an owner's chat; the account's other conversations stay closed, and nobody can pretend to be it."""
    scene.set(SIGNAL_NOTE_TO_SELF="1")
    await scene.restart()
    synced(scene.daemon, "/help", scene.owner)
    room = scene.daemon.room(f"d:{OWN_ACI}")
    now = synced(scene.daemon, "/projects")
    room.messages.append(Message(OWN_ACI, now, [Edit(now, "/projects")]))
    eve = scene.stranger
    sent = {"destinationUuid": eve.aci, "destination": eve.aci, "message": "/help", "timestamp": 1}
    forged: dict[str, Any] = {"syncMessage": {"sentMessage": sent}}
    scene.daemon.arrives(envelope(scene.daemon, "Eve", eve.aci, eve.number, scene.daemon.now(), forged))
    await scene.daemon.until(lambda: len(room.messages) > 1)
    await scene.barrier()
    assert [one.text for one in room.messages] == ["/projects", "named\nshop"]
    assert room.messages[0].reactions == {OWN_ACI: "👀"}
    assert eve.screen().texts == []
    assert len(scene.owner.screen().texts) == 1


@pytest.mark.parametrize(
    ("role", "command", "is_allowed"),
    [
        ("watcher", "/projects", True),
        ("watcher", "/help", True),
        ("watcher", "/level urgent", False),
        ("watcher", "/approve a1", False),
        ("watcher", "/stop", False),
        ("watcher", "do it", False),
        ("approver", "/projects", True),
        ("approver", "/level urgent", True),
        ("approver", "/mute", True),
        ("approver", "/start shop", False),
        ("approver", "/new", False),
        ("approver", "/resume", False),
        ("approver", "/group shop", False),
        ("approver", "/stop", False),
        ("approver", "/file x", False),
        ("approver", "do it", False),
        ("approver", "//stop", False),
    ],
)
async def test_each_role_has_its_commands(scene: Scene, role: str, command: str, *, is_allowed: bool) -> None:
    """A watcher looks, an approver also answers and chooses what is told, and only an owner gives work."""
    told = await scene.asks(command, getattr(scene, role))
    assert told.startswith("You may ") is not is_allowed, told
    assert scene.daemon.groups == {}


def said(text: str) -> dict[str, Any]:
    """The inside of an envelope with a text."""
    return {"dataMessage": {"timestamp": 1, "message": text, "expiresInSeconds": 0, "viewOnce": False}}
