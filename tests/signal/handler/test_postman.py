"""Letters on their way: in order, each once, said to be in doubt when that cannot be known, and nobody waits for others."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs

from handlers.signal.letters import Letter
from handlers.signal.outbox import Outbox
from handlers.signal.postman import DOUBT_WORDS, Postman
from handlers.signal.prompts import Prompts
from handlers.signal.store import Store
from handlers.signal_api import SignalCli
from tests.signal.daemon import FakeDaemon
from tests.signal.handler.scene import Scene, until
from tests.signal.phone import Person


@dataclass
class Office:
    """A postman with his letters, and two people who get some."""

    daemon: FakeDaemon
    signal: SignalCli
    scene: Scene

    def __post_init__(self) -> None:
        self.ada, self.bo = self.scene.owner, self.scene.approver
        self.open()

    def open(self) -> None:
        """The memory as the next process finds it, and a postman who has looked at it."""
        self.store = Store(self.scene.database)
        self.outbox, self.prompts = Outbox(self.store), Prompts(self.store)

    def put(self, *texts: str, to: Person | None = None, **more: Any) -> None:
        """Letters, each named by its text."""
        for text in texts:
            self.outbox.put(Letter(key=text, chat=(to or self.ada).key(), text=text, gist=text, **more))

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """The postman works in the block; at its end nothing waits."""
        postman = Postman(self.store, self.outbox, self.prompts, self.signal)
        running = asyncio.create_task(postman.run())
        yield
        await until(lambda: running.done() or not self.outbox.count("waiting", "sending"))
        postman.close()
        await running


@pytest.fixture
async def office(daemon: FakeDaemon, signal: SignalCli, island: Scene) -> AsyncIterator[Office]:
    """An office that is not open yet."""
    office = Office(daemon, signal, island)
    yield office
    office.store.close()


@pytest.mark.parametrize("kind", ["network", "rate limit", "captcha", "io", "account", "limit as text", "prekey"])
async def test_what_was_not_sent_is_tried_again(office: Office, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Whatever kept it from being sent, it goes out once, before those behind it."""
    hurry(monkeypatch)
    office.daemon.fails_next("send", kind, times=3)
    office.put("one", "two", "three")
    async with office.working():
        pass
    assert office.ada.screen().texts == ["one", "two", "three"]
    assert len(office.daemon.called("send")) == 6


@pytest.mark.parametrize("kind", ["captcha", "identity", "account"])
async def test_the_operator_hears_what_to_do(office: Office, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """What does not go away by itself is an error in the log, with the remedy and without the text."""
    hurry(monkeypatch)
    office.daemon.fails_next("send", kind)
    office.outbox.put(Letter(key="k", chat=office.ada.key(), text="the secret text"))
    with capture_logs() as logs:
        async with office.working():
            pass
    (told,) = [line for line in logs if line["log_level"] == "error"]
    assert told["remedy"]
    assert "again_in_seconds" in told
    assert "secret" not in str(logs)


async def test_a_wait_that_is_asked_for_is_kept(office: Office) -> None:
    """A rate limit says for how long: nothing goes to this chat before that, and another chat goes on meanwhile."""
    office.daemon.fails_next("send", "rate limit")
    office.put("one", "two")
    postman = Postman(office.store, office.outbox, office.prompts, office.signal)
    running = asyncio.create_task(postman.run())
    await until(lambda: office.daemon.called("send"))
    office.put("to bo", to=office.bo)
    await until(lambda: office.outbox.state("to bo") == "sent")
    posted = office.outbox.next(office.ada.key())
    postman.close()
    await running
    assert office.ada.screen().texts == []
    assert office.bo.screen().texts == ["to bo"]
    assert posted is not None
    assert 0 < posted.not_before - time.time() <= 5


async def test_what_can_never_be_sent_holds_up_nobody(office: Office) -> None:
    """It is an error in the log, once, and what is behind it goes out."""
    office.daemon.fails_next("send", "unregistered")
    office.put("one", "two")
    with capture_logs() as logs:
        async with office.working():
            pass
    assert office.ada.screen().texts == ["two"]
    assert office.outbox.state("one") == "failed"
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["a message cannot be delivered"]


@pytest.mark.parametrize("fault", ["lost", "cut", "dropped", "internal"])
async def test_a_doubt_is_said_once(office: Office, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """When nobody can know whether it arrived it is not sent again: its place is taken by a sentence that says so."""
    monkeypatch.setattr("handlers.signal_api._SEND_SECONDS", 0.2)
    disturb(office.daemon, fault)
    office.put("one", "two")
    async with office.working():
        pass
    texts = office.ada.screen().texts
    assert [text for text in texts if DOUBT_WORDS not in text] == (
        ["one", "two"] if fault in ("lost", "cut") else ["two"]
    )
    assert [text for text in texts if DOUBT_WORDS in text] == [
        f"⚠ My last message {DOUBT_WORDS}: “one”. /last shows the latest answer."
    ]
    assert office.outbox.state("one") == "unclear"


async def test_of_a_doubt_there_is_no_doubt(office: Office) -> None:
    """The sentence may be lost as well: then nothing more is said, and nothing goes on for ever."""
    for _ in range(2):
        office.daemon.drops_request("send")
    office.put("one")
    async with office.working():
        pass
    assert office.ada.screen().texts == []
    assert (office.outbox.state("one"), office.outbox.state("doubt/one")) == ("unclear", "unclear")
    assert office.outbox.count("waiting", "sending") == 0


@pytest.mark.parametrize("fault", ["lost", "cut", "dropped", "internal"])
async def test_a_reaction_is_repeated(office: Office, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """A second one takes the place of the first, so nobody is told of a doubt."""
    monkeypatch.setattr("handlers.signal_api._SEND_SECONDS", 0.2)
    said = await office.ada.says("hello")
    disturb(office.daemon, fault, "sendReaction")
    office.put("seen", emoji="👀", author=office.ada.aci, target=said)
    async with office.working():
        pass
    assert office.ada.screen().reaction(said) == "👀"
    assert office.ada.screen().texts == []
    assert len(office.daemon.called("sendReaction")) == 2


async def test_what_was_on_its_way_when_the_process_died(office: Office) -> None:
    """A message is said to be in doubt, a question with the way to see it, and a reaction is sent again."""
    said = await office.ada.says("hello")
    office.put("one", "two")
    office.put("question", session_id="s", approval_id="a1")
    office.put("seen", emoji="👀", author=office.ada.aci, target=said)
    for key in ("one", "question", "seen"):
        office.outbox.begin(key)
    office.store.close()
    office.open()
    async with office.working():
        pass
    assert office.ada.screen().texts == [
        "two",
        f"⚠ My last message {DOUBT_WORDS}: “one”. /last shows the latest answer.",
        f"⚠ My last message {DOUBT_WORDS}: “question”. /status shows the question.",
    ]
    assert office.ada.screen().reaction(said) == "👀"


async def test_a_part_of_a_group_does_not_get_it(office: Office) -> None:
    """That is told in the log, with no names, and the letter counts as sent: who got it must not get it twice."""
    group = office.daemon.group("work", [office.ada, office.bo, office.scene.watcher])
    office.daemon.fails_next("send", "some")
    office.outbox.put(Letter(key="one", chat=office.ada.key(group), text="one"))
    with capture_logs() as logs:
        async with office.working():
            pass
    (told,) = [line for line in logs if line["log_level"] == "warning"]
    assert told["failed"] == ["NETWORK_FAILURE", "UNREGISTERED_FAILURE"]
    assert office.outbox.state("one") == "sent"
    assert office.ada.screen(group).texts == ["one"]


async def test_a_letter_is_put_in_once(office: Office) -> None:
    """A notice that comes again makes the same letter, which is known, whatever became of it."""
    office.put("one")
    async with office.working():
        pass
    office.put("one")
    async with office.working():
        pass
    assert office.ada.screen().texts == ["one"]


def disturb(daemon: FakeDaemon, fault: str, method: str = "send") -> None:
    """Order what goes wrong with the next call."""
    match fault:
        case "lost":
            daemon.loses_response(method)
        case "cut":
            daemon.cuts_response(method)
        case "dropped":
            daemon.drops_request(method)
        case _:
            daemon.fails_next(method, fault)


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for as long as Signal says."""
    later = Outbox.later
    monkeypatch.setattr(Outbox, "later", lambda self, key, seconds: later(self, key, min(seconds, 0.01)))
