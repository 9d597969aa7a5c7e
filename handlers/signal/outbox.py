"""What is to be sent, kept until Signal has it. Signal knows no identity of ours: whether a thing went out is our memory."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final, Literal

from handlers.signal.letters import Letter, opened
from handlers.signal.store import Store

# A workflow repeats a notice for a week at the most.
REMEMBER_SECONDS: Final = 30 * 86400.0

State = Literal["waiting", "sending", "held", "sent", "unclear", "failed", "told"]


@dataclass(frozen=True)
class Posted:
    """A letter that is to go out, how often that was tried, and from when on it may be tried again."""

    letter: Letter
    tries: int
    not_before: float
    at: float
    """When it was put in."""


class Outbox:
    """Letters in the order in which they were put in."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.changed = asyncio.Event()
        """There is something to do."""

    def put(self, letter: Letter, *, is_held: bool = False) -> bool:
        """Keep a letter; False when one of its key is known, whatever became of it."""
        state: State = "held" if is_held else "waiting"
        put = self._store.write(
            "INSERT OR IGNORE INTO outbox (key, chat, body, state, at) VALUES (?, ?, ?, ?, ?)",
            *(letter.key, letter.chat, letter.body(), state, time.time()),
        )
        self.changed.set()
        return put == 1

    def chats(self) -> list[str]:
        """The chats for which a letter waits."""
        rows = self._store.rows("SELECT chat FROM outbox WHERE state = 'waiting' GROUP BY chat ORDER BY min(number)")
        return [row["chat"] for row in rows]

    def next(self, chat: str) -> Posted | None:
        """The oldest letter that waits for this chat."""
        row = self._store.row(
            "SELECT body, tries, not_before, at FROM outbox WHERE state = 'waiting' AND chat = ? ORDER BY number LIMIT 1",
            chat,
        )
        return Posted(opened(row["body"]), row["tries"], row["not_before"], row["at"]) if row else None

    def state(self, key: str) -> State | None:
        """What became of a letter."""
        row = self._store.row("SELECT state FROM outbox WHERE key = ?", key)
        return row["state"] if row else None

    def begin(self, key: str) -> None:
        """From here on nobody can know whether it went out, until somebody says so."""
        self._store.write("UPDATE outbox SET state = 'sending', tries = tries + 1 WHERE key = ?", key)

    def later(self, key: str, seconds: float) -> None:
        """It did not go out, and is tried again after a while."""
        self._store.write(
            "UPDATE outbox SET state = 'waiting', not_before = ? WHERE key = ?", time.time() + seconds, key
        )

    def close(self, key: str, state: Literal["sent", "unclear", "failed", "told"], timestamp: int = 0) -> None:
        """It is over; what it said is kept no longer."""
        self._store.write(
            "UPDATE outbox SET state = ?, timestamp = ?, body = '', at = ? WHERE key = ?",
            *(state, timestamp, time.time(), key),
        )

    def interrupted(self) -> list[Letter]:
        """The letters that an earlier process was just sending when it died."""
        return [opened(row["body"]) for row in self._store.rows("SELECT body FROM outbox WHERE state = 'sending'")]

    def held(self, chat: str) -> list[Letter]:
        """What was held back for the chat, the oldest first."""
        rows = self._store.rows("SELECT body FROM outbox WHERE state = 'held' AND chat = ? ORDER BY number", chat)
        return [opened(row["body"]) for row in rows]

    def held_chats(self) -> list[str]:
        """The chats for which something is held back."""
        return [row["chat"] for row in self._store.rows("SELECT DISTINCT chat FROM outbox WHERE state = 'held'")]

    def forget(self) -> None:
        """Let go of what nobody will repeat."""
        self._store.write(
            "DELETE FROM outbox WHERE state NOT IN ('waiting', 'sending', 'held') AND at < ?",
            time.time() - REMEMBER_SECONDS,
        )

    def count(self, *states: State) -> int:
        """How many letters are in these states."""
        marks = ", ".join("?" for _ in states)
        row = self._store.row(f"SELECT count(*) AS n FROM outbox WHERE state IN ({marks})", *states)
        return int(row["n"]) if row else 0
