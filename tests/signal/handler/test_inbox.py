"""The handler's memory: what is in it survives, what is done leaves nothing, and no file is read that cannot be meant."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from handlers.signal.inbox import Inbox
from handlers.signal.letters import Letter
from handlers.signal.outbox import Outbox
from handlers.signal.store import VERSION, Store, StoreTooNew

BODY = "a body that nobody else shall read"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the memory is."""
    return tmp_path / "signal" / "handler.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """A memory, opened."""
    with closing(Store(path)) as store:
        yield store


def on_disk(path: Path) -> bytes:
    """All bytes of the memory's files."""
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_a_message_is_taken_once(store: Store) -> None:
    """A known key is not taken again, neither while it waits nor when it is done; another one is."""
    inbox = Inbox(store)
    assert inbox.take("k1", "d:x", {"n": 1})
    assert not inbox.take("k1", "d:x", {"n": 2})
    inbox.done("k1")
    assert not inbox.take("k1", "d:x", {"n": 3})
    assert inbox.take("k2", "d:x", {"n": 4})
    waiting = inbox.next("d:x")
    assert waiting is not None
    assert (waiting.key, waiting.told, inbox.waiting) == ("k2", {"n": 4}, 1)


def test_each_chat_has_its_order(store: Store) -> None:
    """The oldest of a chat comes first, whatever other chats do, and the chat that waits longest is named first."""
    inbox = Inbox(store)
    for number in range(6):
        inbox.take(f"k{number}", f"d:{number % 2}", {"n": number})
    done = []
    while chats := inbox.chats():
        waiting = inbox.next(chats[0])
        assert waiting is not None
        done.append(waiting.told["n"])
        inbox.done(waiting.key)
    assert done == [0, 1, 2, 3, 4, 5]


def test_what_is_done_is_not_kept(path: Path, store: Store) -> None:
    """The texts of messages and letters that are done with are in no file once the handler has looked after them."""
    inbox, outbox = Inbox(store), Outbox(store)
    inbox.take("k", "d:x", {"text": BODY})
    inbox.plan("k", BODY)
    outbox.put(Letter(key="l", chat="d:x", text=BODY))
    assert BODY.encode() in on_disk(path)
    inbox.done("k")
    outbox.begin("l")
    outbox.close("l", "sent", 1)
    store.tidy()
    assert BODY.encode() not in on_disk(path)
    assert (inbox.waiting, outbox.state("l")) == (0, "sent")


def test_what_is_old_is_forgotten(store: Store) -> None:
    """After a month a key is let go of; what waits, and what was held back, never is."""
    inbox, outbox = Inbox(store), Outbox(store)
    for key in ("done", "waits"):
        inbox.take(key, "d:x", {})
        outbox.put(Letter(key=key, chat="d:x"))
    outbox.put(Letter(key="held", chat="d:x"), is_held=True)
    inbox.done("done")
    outbox.close("done", "sent")
    for table in ("inbox", "outbox"):
        store.write(f"UPDATE {table} SET at = at - 31 * 86400")
    inbox.forget()
    outbox.forget()
    assert [row["key"] for row in store.rows("SELECT key FROM inbox")] == ["waits"]
    assert [row["key"] for row in store.rows("SELECT key FROM outbox ORDER BY number")] == ["waits", "held"]


def test_nobody_else_may_read_it(path: Path, store: Store) -> None:
    """The directory is 0700 and every file of the memory 0600, also those that SQLite makes beside it."""
    Inbox(store).take("k", "d:x", {})
    assert {file.name for file in path.parent.iterdir()} > {"handler.db", "handler.db-wal"}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_a_memory_of_a_later_version_is_not_touched(path: Path) -> None:
    """It is refused in words; nothing is written to it."""
    Store(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version={VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(StoreTooNew, match="later version"):
        Store(path)
    assert path.read_bytes() == before


def test_a_memory_that_is_opened_again_holds_what_it_held(path: Path) -> None:
    """Whatever returned is there for the next process."""
    with closing(Store(path)) as store:
        Inbox(store).take("k", "d:x", {"text": "é\ud800"})
        Outbox(store).put(Letter(key="l", chat="d:x", styles=("0:1:BOLD",), files=("data:,x",)))
    with closing(Store(path)) as store:
        waiting, posted = Inbox(store).next("d:x"), Outbox(store).next("d:x")
    assert waiting is not None
    assert posted is not None
    assert json.dumps(waiting.told) == json.dumps({"text": "é\ud800"})
    assert posted.letter == Letter(key="l", chat="d:x", styles=("0:1:BOLD",), files=("data:,x",))


def test_what_fails_in_the_middle_is_not_there(store: Store) -> None:
    """Changes that belong together are written together, also when one block of them is within another."""
    inbox, outbox = Inbox(store), Outbox(store)
    inbox.take("k", "d:x", {})

    def fail() -> None:
        with store.change():
            outbox.put(Letter(key="l", chat="d:x"))
            with store.change():
                inbox.done("k")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        fail()
    assert (inbox.waiting, outbox.state("l")) == (1, None)
