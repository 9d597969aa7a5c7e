"""What people wrote, kept until it is done: no message is read before the one ahead of it is on the disk."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, cast

from handlers.signal.store import Store

# A sender's phone repeats a message within minutes, a forgotten one within weeks. Only its key is kept that long.
REMEMBER_SECONDS: Final = 30 * 86400.0


@dataclass(frozen=True)
class Waiting:
    """One message that is not done. `plan` is what its first try found out and every later one must keep to."""

    key: str
    told: Mapping[str, object]
    plan: str


class Inbox:
    """Messages in the order in which they came."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.changed = asyncio.Event()
        """Something new came."""

    def take(self, key: str, chat: str, told: Mapping[str, object]) -> bool:
        """Keep a message; False when it is known. When this returns it survives whatever happens."""
        body = json.dumps(told, ensure_ascii=True)
        taken = self._store.write(
            "INSERT OR IGNORE INTO inbox (key, chat, body, at) VALUES (?, ?, ?, ?)", key, chat, body, time.time()
        )
        self.changed.set()
        return taken == 1

    def chats(self) -> list[str]:
        """The chats in which something waits, the longest wait first."""
        rows = self._store.rows("SELECT chat FROM inbox WHERE is_done = 0 GROUP BY chat ORDER BY min(number)")
        return [row["chat"] for row in rows]

    def next(self, chat: str) -> Waiting | None:
        """The oldest that waits in the chat."""
        return next(self.all_of(chat), None)

    def all_of(self, chat: str) -> Iterator[Waiting]:
        """All that waits in the chat, the oldest first, one at a time."""
        after = 0
        while row := self._store.row(
            "SELECT number, key, body, plan FROM inbox WHERE is_done = 0 AND chat = ? AND number > ? ORDER BY number LIMIT 1",
            *(chat, after),
        ):
            after = row["number"]
            yield _waiting(row)

    def plan(self, key: str, plan: str) -> None:
        """Keep what a try of this message is about to do, so that the next try does the same."""
        self._store.write("UPDATE inbox SET plan = ? WHERE key = ?", plan, key)

    def done(self, key: str) -> None:
        """The message has had its effect. What it said is kept no longer."""
        self._store.write("UPDATE inbox SET is_done = 1, body = '', plan = '', at = ? WHERE key = ?", time.time(), key)

    def has_heard(self, chat: str) -> bool:
        """Whether anything was ever taken from the chat, as far as is remembered."""
        known = "SELECT 1 FROM inbox WHERE chat = ? UNION ALL SELECT 1 FROM chats WHERE chat = ? LIMIT 1"
        return self._store.row(known, chat, chat) is not None

    def since(self, key: str, chat: str) -> float | None:
        """How many seconds ago a message of this chat was taken up; None when it is not of this chat."""
        row = self._store.row("SELECT at FROM inbox WHERE key = ? AND chat = ?", key, chat)
        return time.time() - row["at"] if row else None

    def replace(self, key: str, by: str) -> None:
        """An edit took the place of a message that claude had not seen yet."""
        self._store.write("UPDATE inbox SET replaced_by = ? WHERE key = ?", by, key)

    def latest(self, key: str) -> str:
        """What stands in a message's place by now: its latest edit, or itself."""
        row = self._store.row("SELECT replaced_by FROM inbox WHERE key = ?", key)
        return self.latest(row["replaced_by"]) if row and row["replaced_by"] else key

    def first(self, key: str) -> str:
        """The message that this one is an edit of, or itself: the one that people see and react to."""
        row = self._store.row("SELECT key FROM inbox WHERE replaced_by = ? AND replaced_by != ''", key)
        return self.first(row["key"]) if row else key

    def forget(self) -> None:
        """Let go of keys that nobody will send again."""
        self._store.write("DELETE FROM inbox WHERE is_done = 1 AND at < ?", time.time() - REMEMBER_SECONDS)

    @property
    def waiting(self) -> int:
        """How many are not done."""
        row = self._store.row("SELECT count(*) AS n FROM inbox WHERE is_done = 0")
        return int(row["n"]) if row else 0


def _waiting(row: sqlite3.Row) -> Waiting:
    return Waiting(row["key"], cast("Mapping[str, object]", json.loads(row["body"])), row["plan"])
