"""What is too long for one message: its beginning, and the whole as a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from handlers.signal.grapheme import boundary
from handlers.signal.style import Styled, combined, ranges, styled, units

# signal-cli puts up to this many bytes of UTF-8 into the message itself and uploads what is longer as a file.
INLINE_BYTES: Final = 2000

# Where a reader expects an end, best first.
_ENDS: Final = tuple(re.compile(end) for end in (r"\n\n", r"(?<=[.!?…])\s", r"\n", r"\s"))


@dataclass(frozen=True)
class Short:
    """One message; `rest` is the whole text to send along as a file, None when nothing is missing."""

    text: str
    styles: tuple[str, ...] = ()
    rest: str | None = None


def short(whole: Styled | str, limit_bytes: int = INLINE_BYTES) -> Short:
    """The text if it fits, else its beginning and a line that says so. A str is Markdown."""
    all_of_it = styled(whole) if isinstance(whole, str) else whole
    if size(all_of_it.text) <= limit_bytes:
        return Short(all_of_it.text, all_of_it.styles)
    rest = whole if isinstance(whole, str) else whole.text
    tail = f"\n\n… ({_kilobytes(rest)} in all: the whole answer is attached)"
    begun = clipped(all_of_it, limit_bytes - size(tail))
    message = combined(begun, tail if begun.text else tail.lstrip())
    return Short(message.text, message.styles, rest)


def clipped(whole: Styled, limit_bytes: int) -> Styled:
    """As much of the beginning as fits, up to where a reader expects an end, and the styles of that."""
    text = _begun(whole.text, max(0, limit_bytes))
    end = units(text)
    kept = [(start, min(start + length, end) - start, style) for start, length, style in ranges(whole) if start < end]
    return Styled(text, tuple(f"{start}:{length}:{style}" for start, length, style in kept))


def size(text: str) -> int:
    """The length in bytes of UTF-8."""
    return len(text.encode("utf-8", "surrogatepass"))


def _begun(text: str, limit_bytes: int) -> str:
    head = text.encode("utf-8", "surrogatepass")[:limit_bytes].decode("utf-8", "ignore")
    head = head[: boundary(text, len(head))]
    if len(head) == len(text):
        return head
    for end in _ENDS:
        # Half of it is too much to give for a better place.
        places = [match.start() for match in end.finditer(head) if match.start() >= len(head) // 2]
        if places:
            return head[: places[-1]].rstrip()
    return head.rstrip()


def _kilobytes(text: str) -> str:
    count = size(text)
    return f"{count} bytes" if count < 1000 else f"{round(count / 1000)} KB"
