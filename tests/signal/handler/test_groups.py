"""Groups: one for a project, made once, heard only when an owner said what it is for."""

from __future__ import annotations

import pytest

from tests.signal.handler.scene import Scene, until


def made(scene: Scene) -> list[str]:
    """The groups that Signal has."""
    return [group.name for group in scene.daemon.groups.values()]


async def test_a_group_is_made_for_a_project(scene: Scene) -> None:
    """`/group PROJECT` makes it with whoever asks; the first text there opens a session, whose answers come there."""
    told = await scene.asks("/group shop")
    (group,) = scene.daemon.groups.values()
    said = await scene.owner.says("look around", group)
    await scene.owner.sees(lambda screen: "answer to look around" in screen.texts, group)
    await scene.owner.sees(lambda screen: screen.reaction(said) == "✅", group)
    opened = scene.owner.screen(group).messages[1]
    assert told.startswith(f"The group for {scene.shop} is made.")
    assert (group.name, group.members) == ("claude: shop", [scene.owner])
    assert opened.text.startswith("Session shop-")
    assert opened.quote == said
    assert scene.session() == ""


@pytest.mark.parametrize("fault", ["lost", "cut", "dropped", "limited"])
async def test_a_group_is_made_once(scene: Scene, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """Whether the answer to its making was lost or it was not made at all: in the end there is one."""
    monkeypatch.setattr("handlers.signal_api._SEND_SECONDS", 0.2)
    match fault:
        case "lost":
            scene.daemon.loses_response("updateGroup")
        case "cut":
            scene.daemon.cuts_response("updateGroup")
        case "dropped":
            scene.daemon.drops_request("updateGroup")
        case _:
            scene.daemon.fails_next("updateGroup", "limit as text")
    told = await scene.asks("/group shop")
    assert told.startswith("The group for ")
    assert made(scene) == ["claude: shop"]
    assert len(scene.daemon.called("updateGroup")) == (2 if fault in ("dropped", "limited") else 1)
    (group,) = scene.daemon.groups.values()
    assert scene.desk.chats.of(f"g:{group.group_id}").project_path == str(scene.shop)


async def test_a_group_for_no_project_is_not_made(scene: Scene) -> None:
    """Without a project, or with one that is none, it is refused in words."""
    assert (await scene.asks("/group")).startswith("Say for which project")
    assert (await scene.asks("/group ../shop")).startswith("There is no project")
    assert made(scene) == []


async def test_only_an_owners_start_opens_a_group_that_others_made(scene: Scene) -> None:
    """In a group that is for nothing nobody is answered, but an owner who starts a session there, or moves one there."""
    group = scene.daemon.group("work", [scene.owner, scene.approver])
    for text in ("hello", "/help", "/status", "/started"):
        await scene.owner.says(text, group)
    await scene.approver.says("/start shop", group)
    await scene.barrier()
    assert scene.owner.screen(group).texts == []
    assert scene.store.rows("SELECT 1 FROM inbox WHERE chat = ?", scene.owner.key(group)) == []
    assert (await scene.asks("/start shop", to=group)).startswith("Session shop-")
    assert (await scene.asks("/help", to=group)).startswith("Text without")


async def test_a_change_of_a_group_is_nobodys_message(scene: Scene) -> None:
    """A new title, a timer, typing and receipts are told by Signal and mean nothing here."""
    group = scene.daemon.group("work", [scene.owner])
    await scene.asks("/start shop", to=group)
    await scene.owner.renames(group, "/stop")
    await scene.owner.types(group)
    await scene.owner.sets_timer(60)
    await scene.owner.reads(scene.owner.screen(group).messages[-1].timestamp)
    await scene.barrier()
    assert len(scene.owner.screen(group).texts) == 1
    assert len(scene.store.rows("SELECT 1 FROM inbox")) == 2


async def test_each_chat_has_its_own_session(scene: Scene) -> None:
    """What is said in one chat is not heard in another, and a chat that waits holds up nobody."""
    groups = [scene.daemon.group(name, [scene.owner]) for name in ("one", "two")]
    for group in groups:
        await scene.asks("/start shop", to=group)
    await scene.owner.says("hold", groups[0])
    await until(lambda: scene.host.sent)
    await scene.owner.says("go", groups[1])
    await scene.owner.sees(lambda screen: "answer to go" in screen.texts, groups[1])
    assert "answer to go" not in scene.owner.screen(groups[0]).texts
    assert len({scene.desk.chats.of(scene.owner.key(group)).session_id for group in groups}) == 2
