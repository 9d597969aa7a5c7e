"""What a session's process has written on this host's disk, readable with or without the process."""

import time
from collections.abc import Iterator
from pathlib import Path

from shim.client import Exit, SessionDirectory, read_exit, recorded_lines

# Enough for a stack trace; a person reads no more of it in an error, and the file has the rest.
STDERR_TAIL_BYTES = 4096


class Trace:
    """The files of one generation, or of the latest one before it that ever ran."""

    def __init__(self, directory: SessionDirectory, generation: int) -> None:
        journals = (int(path.name.split(".")[1]) for path in directory.path.glob("journal.*.jsonl"))
        known = [found for found in journals if found <= generation]
        self.generation = max(known, default=generation)
        self._directory = directory

    @property
    def stdout_path(self) -> Path:
        return self._directory.journal(self.generation)

    @property
    def stderr_path(self) -> Path:
        return self._directory.stderr(self.generation)

    @property
    def journal_end(self) -> int:
        return self.stdout_path.stat().st_size if self.stdout_path.exists() else 0

    def lines(self, offset: int) -> Iterator[tuple[int, bytes]]:
        """Every line from this byte on with the offset after it; the last one may be torn."""
        yield from recorded_lines(self._directory, generation=self.generation, offset=offset)

    def stderr_tail(self, limit: int = STDERR_TAIL_BYTES) -> str:
        """The last bytes of stderr as text; empty when there is nothing."""
        if not self.stderr_path.exists():
            return ""
        with self.stderr_path.open("rb") as file:
            file.seek(max(0, self.stderr_path.stat().st_size - limit))
            return file.read(limit).decode("utf-8", errors="replace")

    def exit(self) -> Exit | None:
        """How the process ended, `lost` when nobody wrote it down; None when it never ran."""
        if not self.stdout_path.exists():
            return None
        return read_exit(self._directory, self.generation) or self.lost()

    def lost(self) -> Exit:
        """An end that nobody can say anything about."""
        return Exit(
            generation=self.generation,
            code=None,
            signal=None,
            why="lost",
            tree="unknown",
            survivors=[],
            journal_bytes=self.journal_end,
            at=time.time(),
        )
