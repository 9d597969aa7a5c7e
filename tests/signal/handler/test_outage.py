"""Temporal is away, or an order fails by a bug: what was written waits, is told once, and is done once and in order."""

from __future__ import annotations

import pytest
from temporalio.testing import WorkflowEnvironment

from handlers.signal import grammar, handling
from handlers.signal.desk import Desk, Done, Order, Reach
from handlers.signal.orders import registry, standing
from tests.signal.handler.scene import PATIENCE_SECONDS, Scene, until
from workflows.client import Sessions
from workflows.errors import NoServer

AWAY = "I have your message, but the server that runs the sessions does not answer."


async def test_messages_wait_for_temporal(stage: Scene, environment: WorkflowEnvironment) -> None:
    """Each is marked as seen, the chat is told once, and all are done in order as soon as it is there, each once."""
    stage.environment = None
    stage.set()
    await stage.start()
    said = [await stage.owner.says(text) for text in ("/start shop one", "two", "three")]
    await stage.owner.sees(lambda screen: any(text.startswith(AWAY) for text in screen.texts))
    await stage.owner.sees(lambda screen: all(screen.reaction(at) == "👀" for at in said))
    assert stage.desk.inbox.waiting == 3
    stage.environment = environment
    stage.set()
    await stage.restart()
    await stage.owner.sees(lambda screen: all(screen.reaction(at) == "✅" for at in said))
    await stage.settled()
    assert stage.ran == ["one", "two", "three"]
    assert sum(text.startswith(AWAY) for text in stage.owner.screen().texts) == 1


async def test_each_chat_is_told_once_for_each_outage(scene: Scene) -> None:
    """A second outage is told again, another chat by itself, and what needs no Temporal goes on in a chat of its own."""
    await scene.opens()
    sessions, outages = scene.desk.reach._sessions, 2
    for number in range(outages):
        scene.desk.reach._sessions = None
        seen = len(scene.watcher.screen().texts)
        now = [await scene.owner.says(f"go {number}{part}") for part in "ab"]
        await scene.watcher.says("/sessions")
        assert (await scene.next(seen, scene.watcher)).startswith(AWAY)
        await until(lambda: told(scene.owner.screen().texts) > number)  # noqa: B023
        assert (await scene.asks("/projects", scene.approver)) == "named\nshop"
        scene.desk.reach._sessions = sessions
        await until(lambda: all(scene.owner.screen().reaction(at) == "✅" for at in now))  # noqa: B023
        await scene.settled()
    assert told(scene.owner.screen().texts) == told(scene.watcher.screen().texts) == outages
    assert scene.ran == [f"go {number}{part}" for number in range(outages) for part in "ab"]


async def test_a_handler_that_has_just_started_says_nothing(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came while it was down is done without a word about the server, which is reached a moment later."""
    monkeypatch.setattr(handling, "TELL_AFTER_SECONDS", PATIENCE_SECONDS)
    await stage.owner.says("/start shop go")
    await stage.start()
    await stage.owner.sees(lambda screen: "answer to go" in screen.texts)
    assert told(stage.owner.screen().texts) == 0


async def test_a_server_that_goes_away_in_the_middle(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """An order whose answer was lost is given again as the same one, and claude gets the message once."""
    await scene.opens()
    send, tries = Sessions.send, []

    async def lost(self: Sessions, *call: object) -> object:
        accepted = await send(self, *call)  # type: ignore[arg-type]
        tries.append(accepted)
        if len(tries) < 4:
            raise NoServer("gone")
        return accepted

    monkeypatch.setattr(Sessions, "send", lost)
    await scene.owner.says("go")
    await scene.owner.sees(lambda screen: "answer to go" in screen.texts)
    await scene.settled()
    assert len(tries) == 4
    assert scene.ran == ["go"]
    assert len({call.turn_id for call in scene.host.sent}) == 1


async def test_an_order_that_fails_by_a_bug_is_given_up(island: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some tries it is told with the place in the log, and what is behind it is done; other chats never waited."""
    tries = []

    async def broken(desk: Desk, order: Order) -> Done:
        tries.append(order.key)
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(registry, "_ORDERS", {**registry._ORDERS, "projects": (broken, "watcher")})
    await island.start()
    await island.owner.says("/projects")
    await island.owner.says("/help")
    await island.owner.sees(lambda screen: grammar.HELP in screen.texts)
    texts = island.owner.screen().texts
    assert len(tries) == handling.TRIES
    assert texts[0].startswith("I could not do this: a bug of durable-claude. The log has it under sig-")
    assert len(texts) == 2
    assert island.desk.inbox.waiting == 0


async def test_a_bug_that_the_next_try_does_not_meet(island: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is told of it."""
    tries = []

    async def shaky(desk: Desk, order: Order) -> Done:
        tries.append(order.key)
        if len(tries) < handling.TRIES:
            raise ZeroDivisionError("a bug")
        return await standing.projects(desk, order)

    monkeypatch.setattr(registry, "_ORDERS", {**registry._ORDERS, "projects": (shaky, "watcher")})
    await island.start()
    assert await island.asks("/projects") == "named\nshop"
    assert len(tries) == handling.TRIES


async def test_an_order_waits_while_temporal_is_away_for_long(island: Scene) -> None:
    """No number of tries ends the wait for the server, unlike a bug."""
    await island.start()
    await island.owner.says("/sessions")
    looked = Looked()
    island.desk.reach.__class__ = looked.kind
    await until(lambda: looked.times > 2 * handling.TRIES)
    assert island.desk.inbox.waiting == 1
    assert told(island.owner.screen().texts) == 1


class Looked:
    """How often somebody looked whether Temporal is there."""

    def __init__(self) -> None:
        self.times = 0
        outer = self

        class Counting(Reach):
            """A way that never opens."""

            @property
            def sessions(self) -> Sessions:
                """Never."""
                outer.times += 1
                raise NoServer("away")

        self.kind = Counting


def told(texts: list[str]) -> int:
    """How often an outage was told."""
    return sum(text.startswith(AWAY) for text in texts)
