"""One program at a time for one thing: the second is told so, and the first one's end lets the next one in."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from handlers.failure import REFUSED, CommandFailed


@contextlib.contextmanager
def alone(lock: Path, taken: str) -> Iterator[None]:
    """Hold the lock in the block; CommandFailed with the sentence `taken` when somebody else does."""
    lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandFailed(taken, REFUSED) from None
        yield
