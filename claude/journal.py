"""The journals of a session on this host's disk, read in bounded parts, with or without a process that writes them."""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from claude.shorten import shortened
from shim.client import SessionDirectory, read_exit

# In Temporal a payload may have 2 MiB, and JSON writes a byte that is no text as six.
PART_BYTES: Final = 256 * 1024
# What a line costs besides its bytes, so that a part of empty lines stays as small.
_LINE_COST: Final = 16
# More than any tool result; a line that is even longer is not read into memory.
_LONGEST_LINE: Final = 64 * 1024 * 1024


@dataclass(frozen=True)
class Line:
    """One line with the offset after it; `cut_bytes` is its length where it was shortened."""

    end: int
    content: bytes
    cut_bytes: int = 0


class Journals:
    """What a session's processes wrote, by generation."""

    def __init__(self, directory: SessionDirectory) -> None:
        self._directory = directory
        # Made once: whoever waits looks at both many times a second, and to name them takes longer than to look.
        self._path = directory.path
        self._watched: dict[int, Path] = {}

    def generations(self) -> list[int]:
        """Those that have a journal, the oldest first."""
        names = (path.name.split(".")[1] for path in self._path.glob("journal.*.jsonl"))
        return sorted(int(name) for name in names if name.isdigit())

    def is_ended(self, generation: int) -> bool:
        """Nothing more will be written: its end is recorded, or a later one took its place."""
        return read_exit(self._directory, generation) is not None or generation < max(self.generations(), default=0)

    def marks(self, generation: int) -> tuple[int, int]:
        """Changes whenever something may have happened: a line, an end, a new generation."""
        if generation not in self._watched:
            self._watched[generation] = self._directory.journal(generation)
        try:
            return _size(self._watched[generation]), self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return 0, 0

    def lines(self, generation: int, offset: int, *, is_ended: bool) -> list[Line]:
        """Whole lines from this byte on, as many as fit into one part; the last one of an ended journal may be torn."""
        try:
            journal = self._directory.journal(generation).open("rb")
        except FileNotFoundError:
            return []
        with journal:
            journal.seek(offset)
            return list(_fitting(_lines(journal, offset, takes_torn=is_ended)))

    def end(self, generation: int) -> int:
        """The offset after the last whole line."""
        path = self._directory.journal(generation)
        return _search(path, b"\n", backwards=True) + 1 if _size(path) else 0

    def find(self, text: bytes) -> tuple[int, int] | None:
        """Generation and offset of the first line that holds the text."""
        for generation in self.generations():
            path = self._directory.journal(generation)
            found = _search(path, text) if text and _size(path) else -1
            if found >= 0:
                return generation, _search(path, b"\n", backwards=True, end=found) + 1
        return None


def _fitting(lines: Iterator[Line]) -> Iterator[Line]:
    room = PART_BYTES
    for line in lines:
        if (cost := len(line.content) + _LINE_COST) > room and room < PART_BYTES:
            return
        if cost > PART_BYTES:
            size = line.cut_bytes or len(line.content)
            yield Line(line.end, shortened(line.content, PART_BYTES - _LINE_COST), size)
            return
        room -= cost
        yield line


def _lines(journal: BinaryIO, offset: int, *, takes_torn: bool) -> Iterator[Line]:
    while content := journal.readline(_LONGEST_LINE):
        size = len(content)
        is_whole = content.endswith(b"\n")
        while not is_whole and (more := journal.readline(_LONGEST_LINE)):
            size, is_whole = size + len(more), more.endswith(b"\n")
        if not is_whole and not takes_torn:
            return
        offset += size
        yield Line(offset, content.removesuffix(b"\n"), size if size > _LONGEST_LINE else 0)


def _search(path: Path, text: bytes, *, backwards: bool = False, end: int | None = None) -> int:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        last = len(content) if end is None else end
        return content.rfind(text, 0, last) if backwards else content.find(text, 0, last)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
