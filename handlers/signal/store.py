"""The handler's memory: one SQLite file, in which a thing is either written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

# Grows by one with each change of the tables, which then has to bring older files along.
VERSION: Final = 1
_TABLES: Final = """
CREATE TABLE inbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    chat TEXT NOT NULL,
    body TEXT NOT NULL,
    plan TEXT NOT NULL DEFAULT '',
    is_done INTEGER NOT NULL DEFAULT 0,
    replaced_by TEXT NOT NULL DEFAULT '',
    at REAL NOT NULL
);
CREATE INDEX inbox_waiting ON inbox (chat, number) WHERE is_done = 0;
CREATE INDEX inbox_done ON inbox (at) WHERE is_done = 1;
CREATE INDEX inbox_replaced ON inbox (replaced_by) WHERE replaced_by != '';
CREATE TABLE outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    chat TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    timestamp INTEGER NOT NULL DEFAULT 0,
    at REAL NOT NULL
);
CREATE INDEX outbox_open ON outbox (chat, number) WHERE state IN ('waiting', 'sending', 'held');
CREATE INDEX outbox_over ON outbox (at) WHERE state NOT IN ('waiting', 'sending', 'held');
CREATE TABLE chats (
    chat TEXT PRIMARY KEY,
    session_id TEXT NOT NULL DEFAULT '',
    project_path TEXT NOT NULL DEFAULT '',
    level TEXT NOT NULL DEFAULT '',
    quiet TEXT NOT NULL DEFAULT '',
    muted_until REAL NOT NULL DEFAULT 0,
    is_waiting_told INTEGER NOT NULL DEFAULT 0,
    last_turn TEXT NOT NULL DEFAULT ''
);
CREATE TABLE prompts (
    chat TEXT NOT NULL,
    session_id TEXT NOT NULL,
    approval_id TEXT NOT NULL,
    body TEXT NOT NULL,
    timestamp INTEGER NOT NULL DEFAULT 0,
    is_open INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (chat, session_id, approval_id)
);
CREATE TABLE people (
    number TEXT PRIMARY KEY,
    aci TEXT NOT NULL
);
"""


class StoreTooNew(Exception):
    """A later version of durable-claude wrote the file; the sentence says so."""


class Store:
    """The file, opened; all calls come from one thread, and each takes some milliseconds at the most."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What people write is nobody else's; SQLite gives its other files the mode of this one.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        # A message is acknowledged to nobody before it survives a power cut: hence a sync with every change.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "secure_delete=ON"):
            self._db.execute(f"PRAGMA {pragma}")
        self._prepare(path)

    def _prepare(self, path: Path) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise StoreTooNew(f"{str(path)!r} was written by a later version of durable-claude: use that one")
        if version == 0:
            self._db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version={VERSION}; COMMIT;")

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """All that is written in the block is there afterwards, or nothing of it; blocks may hold blocks."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def write(self, statement: str, *values: Any) -> int:
        """Run one statement; how many rows it changed."""
        return self._db.execute(statement, values).rowcount

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """What the query finds."""
        return self._db.execute(query, values).fetchall()

    def row(self, query: str, *values: Any) -> sqlite3.Row | None:
        """The first that the query finds."""
        found: sqlite3.Row | None = self._db.execute(query, values).fetchone()
        return found

    def tidy(self) -> None:
        """Leave nothing of what was erased on the disk: until then it is in the log of changes beside the file."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file."""
        self._db.close()
