"""The messages by which people were asked something, and which question of claude's each stands for."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from handlers.signal.store import Store
from workflows.approvals import Approval


class Prompts:
    """An answer counts only where the question was asked, and only while it is open."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def ask(self, chat: str, session_id: str, approval: Approval) -> None:
        """A question is put to the chat, for the first time. Its message gets known by its time when it is sent.

        A session that failed and is opened again counts its questions from one: an earlier one of that name is over.
        """
        self._store.write(
            "INSERT OR REPLACE INTO prompts (chat, session_id, approval_id, body) VALUES (?, ?, ?, ?)",
            *(chat, session_id, approval.approval_id, kept(approval)),
        )

    def sent(self, chat: str, session_id: str, approval_id: str, timestamp: int) -> None:
        """The message that asks has this time."""
        self._store.write(
            "UPDATE prompts SET timestamp = ? WHERE chat = ? AND session_id = ? AND approval_id = ?",
            *(timestamp, chat, session_id, approval_id),
        )

    def timestamp(self, chat: str, session_id: str, approval_id: str) -> int:
        """The time of the message that asks; 0 when none is known."""
        row = self._store.row(
            "SELECT timestamp FROM prompts WHERE chat = ? AND session_id = ? AND approval_id = ?",
            *(chat, session_id, approval_id),
        )
        return int(row["timestamp"]) if row else 0

    def at(self, chat: str, timestamp: int) -> tuple[str, Approval] | None:
        """The session and the question that a message of this chat stands for, if it is open."""
        row = self._store.row(
            "SELECT session_id, body FROM prompts WHERE chat = ? AND timestamp = ? AND timestamp > 0 AND is_open = 1",
            *(chat, timestamp),
        )
        return (row["session_id"], restored(row["body"])) if row else None

    def was_asked(self, chat: str, timestamp: int) -> bool:
        """Whether a message of this chat ever asked something."""
        return bool(
            self._store.row("SELECT 1 FROM prompts WHERE chat = ? AND timestamp = ? AND timestamp > 0", chat, timestamp)
        )

    def open(self, chat: str, session_id: str) -> list[Approval]:
        """What the session has asked the chat and nobody has answered, the oldest first."""
        rows = self._store.rows(
            "SELECT body FROM prompts WHERE chat = ? AND session_id = ? AND is_open = 1 ORDER BY rowid",
            *(chat, session_id),
        )
        return [restored(row["body"]) for row in rows]

    def close(self, session_id: str, approval_id: str) -> bool:
        """The question needs no answer any more; whether it did until now."""
        return bool(
            self._store.write(
                "UPDATE prompts SET is_open = 0, body = '' WHERE session_id = ? AND approval_id = ? AND is_open = 1",
                *(session_id, approval_id),
            )
        )

    def close_all(self, session_id: str) -> None:
        """The session asks nothing any more."""
        self._store.write("UPDATE prompts SET is_open = 0, body = '' WHERE session_id = ?", session_id)


def kept(approval: Approval) -> str:
    """A question as it is kept."""
    return json.dumps(asdict(approval))


def restored(body: str) -> Approval:
    """The question that was kept."""
    told: dict[str, Any] = json.loads(body)
    return Approval(**told)
