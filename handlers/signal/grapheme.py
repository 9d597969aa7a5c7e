"""Where text may be cut, so that no letter loses its accent and no emoji falls apart."""

from __future__ import annotations

from unicodedata import category

_ZWJ = "\u200d"


def boundary(text: str, at: int) -> int:
    """The last place at or before `at` that is between two characters as a person counts them."""
    at = max(0, min(at, len(text)))
    while 0 < at < len(text) and _holds_together(text, at):
        at -= 1
    return at


def _holds_together(text: str, at: int) -> bool:
    before, after = text[at - 1], text[at]
    return (
        _clings(after)
        or before == _ZWJ
        or (before == "\r" and after == "\n")
        or (_is_indicator(after) and _indicators_before(text, at) % 2 == 1)
    )


def _clings(char: str) -> bool:
    """Whether it changes the one before it: marks, selectors, joiners, skin tones, tags."""
    is_tag_or_tone = "\U0001f3fb" <= char <= "\U0001f3ff" or "\U000e0020" <= char <= "\U000e007f"
    return char == _ZWJ or is_tag_or_tone or category(char)[0] == "M"


def _is_indicator(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _indicators_before(text: str, at: int) -> int:
    # Two of them are one flag, so a row of them falls into pairs from its beginning.
    count = 0
    while at - count > 0 and _is_indicator(text[at - count - 1]):
        count += 1
    return count
