"""Claude's stdout on its way into the journal."""

from __future__ import annotations

import os

from shim.poller import READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.journal import Journal
    from shim.poller import Poller

# Big enough for a gigabyte a second, small enough that a busy shim does not grow.
_CHUNK_BYTES = 1 << 18

# More than a pipe holds: only a survivor that goes on writing could make it longer.
_DRAIN_BYTES = 1 << 21


class Stdout:
    """Moves bytes as they come. While the disk is full the pipe is left alone, so claude waits and nothing is lost."""

    def __init__(self, fd: int, journal: Journal, poller: Poller) -> None:
        self._fd = fd
        self._journal = journal
        self._poller = poller
        self._is_read = False
        self._listen()

    def retry(self) -> None:
        """Offer the disk again what it refused."""
        if self._journal.is_blocked:
            self._journal.retry()
            if not self._journal.is_blocked:
                self._listen()

    def drain(self) -> bool:
        """Empty the pipe without waiting for its end, which a survivor may delay for ever; False on a full disk."""
        began = self._journal.end
        while self._is_read and self._copy() and self._journal.end - began < _DRAIN_BYTES:
            pass
        return not self._journal.is_blocked

    def _copy(self, _events: int = 0) -> bool:
        """Move one chunk; False when there is nothing to move now, or ever."""
        try:
            chunk = os.read(self._fd, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        if chunk:
            self._journal.append(chunk)
        if not chunk or self._journal.is_blocked:
            self._ignore()
            return False
        return True

    def _listen(self) -> None:
        self._is_read = True
        self._poller.watch(self._fd, READ, self._copy)

    def _ignore(self) -> None:
        self._is_read = False
        self._poller.ignore(self._fd)
