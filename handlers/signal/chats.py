"""What each chat is for: its session, and how much its people want to hear."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Literal, get_args

from handlers.signal.store import Store

Level = Literal["urgent", "milestones", "everything"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
USUAL: Final[Level] = "milestones"


@dataclass(frozen=True, kw_only=True)
class ChatState:
    """One chat. `quiet` are hours as `handlers/signal/quiet.py` reads them; empty is none."""

    chat: str
    session_id: str = ""
    project_path: str = ""
    level: Level = USUAL
    quiet: str = ""
    muted_until: float = 0.0
    is_waiting_told: bool = False
    last_turn: str = ""

    @property
    def is_muted(self) -> bool:
        """Nothing but answers to what is written is wanted at this moment."""
        return time.time() < self.muted_until


class Chats:
    """The chats that somebody who may has written in."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, chat: str) -> ChatState:
        """The chat, as it is or as a new one would be."""
        row = self._store.row("SELECT * FROM chats WHERE chat = ?", chat)
        if row is None:
            return ChatState(chat=chat)
        told = dict(row)
        return ChatState(**{**told, "level": told["level"] or USUAL, "is_waiting_told": bool(told["is_waiting_told"])})

    def known(self) -> list[ChatState]:
        """All chats that are for something."""
        return [self.of(row["chat"]) for row in self._store.rows("SELECT chat FROM chats ORDER BY chat")]

    def change(self, chat: str, **values: str | float | bool) -> None:
        """Write down what is different now; the names are those of ChatState."""
        columns = [name for name in values if name in ChatState.__dataclass_fields__]
        if len(columns) != len(values):
            raise KeyError(f"a chat has no {sorted(set(values) - set(columns))}")
        with self._store.change():
            self._store.write("INSERT OR IGNORE INTO chats (chat) VALUES (?)", chat)
            for name in columns:
                self._store.write(f"UPDATE chats SET {name} = ? WHERE chat = ?", values[name], chat)

    def bind(self, chat: str, session_id: str, project_path: str) -> None:
        """The chat is for this session from now on, and no other chat is."""
        with self._store.change():
            if session_id:
                self._store.write(
                    "UPDATE chats SET session_id = '' WHERE session_id = ? AND chat != ?", session_id, chat
                )
            self.change(chat, session_id=session_id, project_path=project_path, last_turn="")
