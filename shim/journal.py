"""Everything claude wrote to stdout, raw and in order."""

from __future__ import annotations

import os


class Journal:
    """An append-only file. What a full disk refuses is kept, and offered again by `retry`."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._kept = b""
        self.end = os.fstat(self._fd).st_size
        self._end_torn_line()

    @property
    def is_blocked(self) -> bool:
        """The disk did not take everything; nothing more may be appended until `retry` succeeds."""
        return bool(self._kept)

    def append(self, chunk: bytes) -> None:
        """Write it, or keep what the disk refuses."""
        self._kept = chunk
        self.retry()

    def retry(self) -> None:
        """Write what was kept, as far as the disk takes it now."""
        while self._kept:
            try:
                written = os.write(self._fd, self._kept)
            except OSError:
                return
            self.end += written
            self._kept = self._kept[written:]

    def _end_torn_line(self) -> None:
        """A process of the same generation died in mid-line: what comes now must not be glued to it."""
        if self.end and os.pread(self._fd, 1, self.end - 1) != b"\n":
            self.append(b"\n")
