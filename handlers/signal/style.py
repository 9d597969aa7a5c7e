"""Markdown as claude writes it, as Signal shows text: plain, with ranges of styles in UTF-16 units."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from markdown_it.tree import SyntaxTreeNode

from handlers.signal.markdown import tree

Style = Literal["BOLD", "ITALIC", "STRIKETHROUGH", "MONOSPACE", "SPOILER"]

RULE: Final = "———"
# The beginning of a line with something in it.
_LINE: Final = re.compile(r"\n(?!\n)")
_INLINE: Final[dict[str, Style]] = {"strong": "BOLD", "em": "ITALIC", "s": "STRIKETHROUGH"}

# Some text and the styles it all has.
_Run = tuple[str, frozenset[Style]]
_PLAIN: Final[frozenset[Style]] = frozenset()
_BOLD: Final[frozenset[Style]] = frozenset({"BOLD"})
_MONOSPACE: Final[frozenset[Style]] = frozenset({"MONOSPACE"})


@dataclass(frozen=True)
class Styled:
    """Text for Signal; each style is start:length:STYLE."""

    text: str
    styles: tuple[str, ...] = ()


def styled(markdown: str) -> Styled:
    """The text without its markers, and the ranges they meant. What is no valid marker stays."""
    runs = list(_blocks(tree(markdown).children, markdown.splitlines()))
    return _from_runs(_stripped(runs))


def combined(*parts: Styled | str) -> Styled:
    """All parts in one, each range moved to where its text now is. A str is text, not Markdown."""
    whole = [Styled(part) if isinstance(part, str) else part for part in parts]
    styles, start = list[str](), 0
    for part in whole:
        styles += [f"{start + first}:{length}:{style}" for first, length, style in ranges(part)]
        start += units(part.text)
    return Styled("".join(part.text for part in whole), tuple(styles))


def ranges(whole: Styled) -> Iterator[tuple[int, int, str]]:
    """Each style as its start, its length and its name."""
    for each in whole.styles:
        start, length, style = each.split(":")
        yield int(start), int(length), style


def units(text: str) -> int:
    """The length as Signal counts it: emoji and rare characters are two."""
    return len(text) + sum(char > "\uffff" for char in text)


def _from_runs(runs: Iterable[_Run]) -> Styled:
    text, found, at = "", dict[Style, list[list[int]]](), 0
    for part, styles in runs:
        end = at + units(part)
        for style in styles:
            spans = found.setdefault(style, [])
            if spans and spans[-1][1] == at:
                spans[-1][1] = end
            else:
                spans.append([at, end])
        text, at = text + part, end
    merged = sorted((start, end - start, style) for style, spans in found.items() for start, end in spans)
    return Styled(text, tuple(f"{start}:{length}:{style}" for start, length, style in merged))


def _stripped(runs: list[_Run]) -> list[_Run]:
    """The runs without blank ends, and without empty ones: a range of nothing is refused."""
    runs = [run for run in runs if run[0]]
    while runs and not runs[0][0].strip():
        runs.pop(0)
    while runs and not runs[-1][0].strip():
        runs.pop()
    if runs:
        runs[0] = (runs[0][0].lstrip("\n"), runs[0][1])
        runs[-1] = (runs[-1][0].rstrip(), runs[-1][1])
    return runs


def _blocks(nodes: Sequence[SyntaxTreeNode], source: Sequence[str]) -> Iterator[_Run]:
    for number, node in enumerate(nodes):
        if number:
            yield (_gap(node, source), _PLAIN)
        yield from _block(node, source)


def _gap(node: SyntaxTreeNode, source: Sequence[str]) -> str:
    """An empty line where the writer left one."""
    first = node.map[0] if node.map else 0
    above = source[first - 1] if 0 < first <= len(source) else ""
    return "\n" if above.strip(" \t>") else "\n\n"


def _block(node: SyntaxTreeNode, source: Sequence[str]) -> Iterator[_Run]:
    match node.type:
        case "fence" | "code_block":
            yield (node.content.rstrip("\n"), _MONOSPACE)
        case "hr":
            yield (RULE, _PLAIN)
        case "heading":
            yield from _inline(node, _BOLD)
        case "blockquote":
            yield from _prefixed(_blocks(node.children, source), "> ", "> ")
        case "bullet_list" | "ordered_list":
            yield from _list(node, source)
        case "table":
            yield (_table(node), _MONOSPACE)
        case _:
            yield from _inline(node)


def _list(node: SyntaxTreeNode, source: Sequence[str]) -> Iterator[_Run]:
    for number, item in enumerate(node.children):
        if number:
            yield (_gap(item, source), _PLAIN)
        # The number of an ordered one; a bullet is its markup alone.
        marker = f"{item.info}{item.markup} "
        yield from _prefixed(_blocks(item.children, source), marker, " " * len(marker))


def _prefixed(runs: Iterable[_Run], first: str, others: str) -> Iterator[_Run]:
    yield (first, _PLAIN)
    for text, styles in runs:
        yield (_LINE.sub("\n" + others, text), styles)


def _inline(node: SyntaxTreeNode, styles: frozenset[Style] = _PLAIN) -> Iterator[_Run]:
    for child in node.children:
        match child.type:
            case "text" | "text_special":
                yield (child.content, styles)
            case "code_inline":
                yield (child.content, styles | _MONOSPACE)
            case "softbreak" | "hardbreak":
                yield ("\n", styles)
            case "link" | "image":
                yield from _link(child, styles)
            case _:
                style = _INLINE.get(child.type)
                yield from _inline(child, styles | {style} if style else styles)


def _link(node: SyntaxTreeNode, styles: frozenset[Style]) -> Iterator[_Run]:
    shown = list(_inline(node, styles))
    name = "".join(text for text, _ in shown)
    address = str(node.attrs.get("href") or node.attrs.get("src") or "")
    yield from shown
    if address and address not in (name, f"mailto:{name}"):
        yield (f" ({address})" if name else address, styles)


def _table(node: SyntaxTreeNode) -> str:
    """Its rows, the columns under each other."""
    rows = [[_cell(cell) for cell in row.children] for part in node.children for row in part.children]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-+-".join("-" * width for width in widths), *lines[1:]])


def _cell(node: SyntaxTreeNode) -> str:
    return "".join(text for text, _ in _inline(node))
