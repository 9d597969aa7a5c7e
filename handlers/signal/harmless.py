"""Text of others, made harmless for a phone's screen: what hides, reorders or is no character is written out."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Final
from unicodedata import bidirectional, category

from handlers.signal.grapheme import boundary

# What a screen shows as nothing although its category is that of a letter, a mark or a sign.
_BLANKS: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
# Controls, formats, surrogates, private and unassigned characters; line and paragraph separators.
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_ZWJ: Final = "\u200d"
_ZWNJ: Final = "\u200c"
_KEYCAP: Final = "\u20e3"
# Signs that become emoji by a variation selector, and stand before the block of arrows or are no symbols.
_EARLY_EMOJI: Final = frozenset("©®™‼⁉〰ℹ")
_ARROWS: Final = "\u2190"
# Some scripts put four marks on a letter; a tower of them covers the lines above and below.
_MARKS: Final = 6
# Indented code stays as it is; what is pushed out of a phone's screen by more than this is told.
_GAP: Final = re.compile(r" {81,}|\n{6,}|\t{21,}")
# Isolates keep the order of words as it is written, whatever direction their letters have.
_ISOLATE, _END_OF_ISOLATE = "\u2068", "\u2069"


def harmless(text: str) -> str:
    """The text as it may be shown: it wraps, indents and has emoji; all else that nobody could see is written out."""
    return "".join(_shown(text, at) for at in range(len(text)))


def exact(text: str) -> str:
    """The text of something that will run: every character that can be mistaken for another or for none is written out.

    Words of right-to-left scripts are isolated, so that they do not change the order of what stands around them.
    """
    shown = "".join(_escape(char) if _is_doubtful(char) else _shown(text, at) for at, char in enumerate(text))
    return _isolated(_GAP.sub(_gap, shown))


def one_line(text: str, limit: int) -> str:
    """The text on one line of at most `limit` characters, for names and summaries."""
    line = harmless(" ".join(text.split()))
    return line if len(line) <= limit else line[: boundary(line, limit - 1)].rstrip() + "…"


def hides(char: str) -> bool:
    """Whether a screen shows nothing for it, or does what it says instead of showing it."""
    return char not in "\n\t" and (char in _BLANKS or _is_selector(char) or _is_hidden(char))


def _is_hidden(char: str) -> bool:
    # Emoji and characters that are younger than this Python's tables are unassigned to it, and still to be seen.
    is_young = 0x1F000 <= ord(char) <= 0x1FBFF or 0x20000 <= ord(char) <= 0x3FFFD
    return category(char) in _HIDDEN and not (is_young and category(char) == "Cn")


def _is_selector(char: str) -> bool:
    return "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"


def _shown(text: str, at: int) -> str:
    char = text[at]
    if hides(char):
        return char if _belongs(text, at) else _escape(char)
    return _escape(char) if category(char)[0] == "M" and _is_tower(text, at) else char


def _belongs(text: str, at: int) -> bool:
    """Whether the character makes its neighbours what they are: parts of one emoji, or letters that join or do not."""
    char, before, after = text[at], text[at - 1 : at], text[at + 1 : at + 2]
    if char in "\ufe0e\ufe0f":
        return _is_picture(before) or (before in tuple("0123456789#*") and after == _KEYCAP)
    if char == _ZWJ and _is_picture(before if before != "\ufe0f" else text[at - 2 : at - 1]):
        return _is_picture(after)
    return char in (_ZWJ, _ZWNJ) and _joins(before) and _joins(after)


def _is_picture(char: str) -> bool:
    is_symbol = char >= _ARROWS and category(char) in ("So", "Sm")
    return is_symbol or "\U0001f000" <= char <= "\U0001fbff" or char in _EARLY_EMOJI


def _joins(char: str) -> bool:
    # Persian, Arabic and the scripts of India spell with joiners; Latin, Greek and Cyrillic do not.
    return bool(char) and category(char) in ("Lo", "Mn", "Mc") and not hides(char)


def _is_tower(text: str, at: int) -> bool:
    under = text[max(0, at - _MARKS) : at]
    return len(under) == _MARKS and all(category(char)[0] == "M" for char in under)


def _is_doubtful(char: str) -> bool:
    return char not in "\n\t" and (hides(char) or (category(char) == "Zs" and char != " "))


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()


def _gap(match: re.Match[str]) -> str:
    kinds = {" ": "spaces", "\n": "empty lines", "\t": "tabs"}
    return f"⟨{len(match[0])} {kinds[match[0][0]]}⟩"


def _isolated(text: str) -> str:
    runs = groupby(text, key=lambda char: bidirectional(char) in ("R", "AL", "AN", "NSM"))
    return "".join(_run("".join(chars), is_foreign=is_foreign) for is_foreign, chars in runs)


def _run(chars: str, *, is_foreign: bool) -> str:
    has_direction = is_foreign and any(bidirectional(char) in ("R", "AL", "AN") for char in chars)
    return f"{_ISOLATE}{chars}{_END_OF_ISOLATE}" if has_direction else chars
