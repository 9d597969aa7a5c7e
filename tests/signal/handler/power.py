"""A memory whose power fails at one of its commits: what was committed is there afterwards, and nothing else."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from handlers.signal.store import Store


class PowerCut(Exception):
    """Nothing is written or read any more."""


class FragileStore(Store):
    """Fails once it is armed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.cut_at, self._after = 0, False
        self.commits = 0
        self.is_dead = False

    def arm(self, cut_at: int, *, after: bool) -> None:
        """Fail at the `cut_at`-th commit from here on, before it or right `after` it; 0 for never."""
        self.cut_at, self._after, self.commits = cut_at, after, 0

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """A commit, unless it is part of one."""
        self._check()
        if self._db.in_transaction:
            yield
            return
        with super().change():
            yield
            self._check()
            self.commits += 1
            if self.commits == self.cut_at and not self._after:
                self._cut()
        if self.commits == self.cut_at:
            self._cut()

    def write(self, statement: str, *values: Any) -> int:
        """A statement, which is a commit of its own outside of `change`."""
        with self.change():
            return super().write(statement, *values)

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """What the query finds, while there is power."""
        self._check()
        return super().rows(query, *values)

    def row(self, query: str, *values: Any) -> sqlite3.Row | None:
        """The same."""
        self._check()
        return super().row(query, *values)

    def tidy(self) -> None:
        """The same."""
        self._check()
        super().tidy()

    def _cut(self) -> None:
        self.is_dead = True
        raise PowerCut

    def _check(self) -> None:
        if self.is_dead:
            raise PowerCut
