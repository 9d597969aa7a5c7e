"""Markdown as claude writes it, read with the care that prose about programs needs. Knows nothing of Signal."""

from __future__ import annotations

from typing import Final

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Delimiter
from markdown_it.tree import SyntaxTreeNode

# What may stand before an opening marker and behind a closing one. Not the slash, the dot or the equals sign: there
# the marker belongs to a path, a pattern or a formula.
_BEFORE: Final = frozenset(" \t\n\xa0([{\"'“‘«—–-_*~:|>")
_BEHIND: Final = frozenset(" \t\n\xa0.,;:!?)]}\"'”’»…—–-_*~|<")


def tree(markdown: str) -> SyntaxTreeNode:
    """The text as a tree of blocks and what is in them."""
    return SyntaxTreeNode(_READER.parse(markdown))


class _Reader(MarkdownIt):
    """Addresses are shown as they were written, and what they do is up to whoever reads them."""

    def normalizeLink(self, url: str) -> str:  # noqa: N802
        return url

    def normalizeLinkText(self, link: str) -> str:  # noqa: N802
        return link

    def validateLink(self, url: str) -> bool:  # noqa: N802
        return bool(url)


def _emphasis(state: StateInline, silent: bool) -> bool:  # noqa: FBT001
    """The rule for * and _, stricter than CommonMark: 2*3*4, **/*.py and __init__ stay as they are."""
    marker = state.src[state.pos]
    if silent or marker not in "*_":
        return False
    scanned = state.scanDelims(state.pos, False)
    before, behind = _neighbours(state, scanned.length)
    is_path = _is_path(state, scanned.length)
    is_name = marker == "_" and scanned.length > 1
    for _ in range(scanned.length):
        state.push("text", "", 0).content = marker
        if not is_name:
            state.delimiters.append(
                Delimiter(
                    marker=ord(marker),
                    length=scanned.length,
                    token=len(state.tokens) - 1,
                    end=-1,
                    open=scanned.can_open and before in _BEFORE and not is_path,
                    close=scanned.can_close and behind in _BEHIND and not is_path,
                )
            )
    state.pos += scanned.length
    return True


def _neighbours(state: StateInline, length: int) -> tuple[str, str]:
    end = state.pos + length
    return state.src[state.pos - 1 : state.pos] or " ", state.src[end : end + 1] or " "


def _is_path(state: StateInline, length: int) -> bool:
    """Whether the marker is a part of a pattern such as **/*.py or src/*, and not the end of a **directory/**."""
    before, behind = _neighbours(state, length)
    begins = state.src.startswith("/*", state.pos + length)
    return begins or (before == "/" and (length != 2 or not behind.isspace()))


def _reader() -> _Reader:
    # Raw HTML is text, a line of dashes is a rule, and what looks like a definition of a link is no reason to hide it.
    reader = _Reader("commonmark", {"html": False})
    reader.enable(["strikethrough", "table"]).disable(["lheading", "reference"])
    reader.inline.ruler.at("emphasis", _emphasis)
    return reader


_READER: Final = _reader()
