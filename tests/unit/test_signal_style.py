"""Markdown as Signal shows it: ranges in UTF-16 units, short messages, files as data."""

import base64
import re
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from handlers.signal.attachment import attachment
from handlers.signal.grapheme import boundary
from handlers.signal.shortening import Short, clipped, short, size
from handlers.signal.style import Styled, combined, ranges, styled, units

MARKDOWN = st.text(alphabet=st.sampled_from("ab 1.*_~`#>-|[]()!\\\n\t<&😀é\u0301\u200d/:")) | st.text()


def parts(whole: Styled) -> list[tuple[str, str]]:
    """Each range as what it covers and its style, cut the way Signal cuts."""
    text = whole.text.encode("utf-16-le", "surrogatepass")
    return [
        (text[2 * start : 2 * (start + length)].decode("utf-16-le", "surrogatepass"), style)
        for start, length, style in ranges(whole)
    ]


@pytest.mark.parametrize(
    ("markdown", "text", "styles"),
    [
        ("**bold**, *it* and ~~gone~~", "bold, it and gone", [("bold", "BOLD"), ("it", "ITALIC"), ("gone", "STRIKETHROUGH")]),
        ("run `make *all*`", "run make *all*", [("make *all*", "MONOSPACE")]),
        ("```py\na = **b**\n\n  # c\n```\nthen", "a = **b**\n\n  # c\nthen", [("a = **b**\n\n  # c", "MONOSPACE")]),
        ("# Why *not*\ntext", "Why not\ntext", [("Why not", "BOLD"), ("not", "ITALIC")]),
        ("***both***", "both", [("both", "BOLD"), ("both", "ITALIC")]),
        ("**`code`**", "code", [("code", "BOLD"), ("code", "MONOSPACE")]),
        ("😀 **bö😀ld** x", "😀 bö😀ld x", [("bö😀ld", "BOLD")]),
        ("- a\n- **b**\n  - c", "- a\n- b\n  - c", [("b", "BOLD")]),
        ("3. x\n4. y", "3. x\n4. y", []),
        ("- [ ] todo\n* other", "- [ ] todo\n* other", []),
        ("> q *i*\n> r", "> q i\n> r", [("i", "ITALIC")]),
        ("|a|bb|\n|-|-|\n|**x**|y|", "a | bb\n--+---\nx | y", [("a | bb\n--+---\nx | y", "MONOSPACE")]),
        ("a\n\n---\n\nb", "a\n\n———\n\nb", []),
        ("a\n---\nb", "a\n———\nb", []),
        ("1. a\n\n   ```\n   code\n   ```", "1. a\n\n   code", [("code", "MONOSPACE")]),
    ],
)  # fmt: skip
def test_markdown_becomes_ranges(markdown: str, text: str, styles: list[tuple[str, str]]) -> None:
    """Every construct that claude uses is shown as text, with a range over what it was about."""
    shown = styled(markdown)

    assert (shown.text, parts(shown)) == (text, styles)


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("[docs](https://x.example/a_b_c)", "docs (https://x.example/a_b_c)"),
        ("[https://x.example](https://x.example)", "https://x.example"),
        ("<https://x.example> <ada@x.example>", "https://x.example ada@x.example"),
        ("[style.py](handlers/style.py)", "style.py (handlers/style.py)"),
        ("[https://good.example](https://evil.example)", "https://good.example (https://evil.example)"),
        ("[x](javascript:alert)", "x (javascript:alert)"),
        ("![a plot](plot.png)", "a plot (plot.png)"),
    ],
)
def test_links_show_where_they_lead(markdown: str, text: str) -> None:
    """A link's address stands behind its name, and alone where the two are the same."""
    assert styled(markdown).text == text


@pytest.mark.parametrize(
    "text",
    [
        "2*3*4 = 24",
        "2 ** 3 ** 4",
        "snake_case_word and __init__.py",
        "**/*.py and **/*.js",
        "src/*.py and lib/*.js",
        "**/* is all",
        "Accept: */*;q=0.8, text/*",
        "f(*args, **kwargs)",
        "char *p, *q",
        "**not closed and *neither",
        "`open",
        "~~open",
        "[foo]: https://x.example",
        "<b>no html</b>",
        "**",
        "[x]()" + "(y",
    ],
)
def test_what_is_no_marker_stays(text: str) -> None:
    """Formulas, names, patterns and markers without a partner are shown as they were written."""
    assert styled(text) == Styled(text.replace("[x]()", "x"))


@given(MARKDOWN)
@example("\ud800 **x**")
def test_ranges_lie_within_the_text(markdown: str) -> None:
    """Whatever is written, no range is empty, reaches over the end or cuts a character in two."""
    shown = styled(markdown)
    end = len(shown.text.encode("utf-16-le", "surrogatepass")) // 2

    assert units(shown.text) == end
    assert all(start >= 0 and length > 0 and start + length <= end for start, length, _ in ranges(shown))
    assert all(covered in shown.text for covered, _ in parts(shown))


@given(
    st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc")), min_size=1).filter(lambda text: "`" not in text)
)
def test_code_is_not_interpreted(code: str) -> None:
    """What stands in a fence comes out as it went in."""
    assert styled(f"```\n{code}|\n```").text.strip() == f"{code}|".strip()


@given(st.lists(MARKDOWN.map(styled) | st.text(), max_size=4))
def test_parts_keep_what_they_cover(pieces: list[Styled | str]) -> None:
    """Put together, the texts follow each other and each range covers what it did."""
    whole = combined(*pieces)

    assert whole.text == "".join(piece if isinstance(piece, str) else piece.text for piece in pieces)
    assert parts(whole) == [part for piece in pieces if isinstance(piece, Styled) for part in parts(piece)]


def test_what_fits_is_sent_whole() -> None:
    """A message of at most 2000 bytes of UTF-8 has no file beside it; one byte more has."""
    assert short("é" * 1000) == Short("é" * 1000, (), None)
    assert short("é" * 1000 + "e").rest == "é" * 1000 + "e"


def test_what_is_too_long_is_begun() -> None:
    """The message ends at a paragraph, says how much there is, and the Markdown itself is what is left to attach."""
    markdown = "**First.** Some words.\n\n" + "word " * 3000

    message = short(markdown, 88)

    assert message.text == "First. Some words.\n\n… (15 KB in all: the whole answer is attached)"
    assert (message.styles, message.rest) == (("0:6:BOLD",), markdown)


@pytest.mark.parametrize(
    ("text", "begun"),
    [
        ("One two.\n\nThree four five six", "One two."),
        ("One two. Three four five six", "One two."),
        ("One two\nthree four-five-six", "One two"),
        ("One two three-four-five-six", "One two"),
        ("One-two-three-four", "One-two-th"),
        ("👨‍👩‍👧👨‍👩‍👧", ""),
        ("e\u0301" * 8, "e\u0301" * 3),
        ("🇩🇪🇫🇷", "🇩🇪"),
    ],
)
def test_it_is_cut_where_a_reader_expects_it(text: str, begun: str) -> None:
    """The end is that of a paragraph, sentence, line or word, and never in the middle of what looks like one character."""
    assert clipped(Styled(text), 10).text == begun


@given(MARKDOWN | st.text(min_size=80), st.integers(100, 2000))
def test_a_message_never_is_too_long(markdown: str, limit: int) -> None:
    """Whatever is written, what is sent fits, its ranges lie within, and the rest is there when something is missing."""
    message = short(markdown, limit)
    whole = styled(markdown)

    assert size(message.text) <= limit
    assert (message.rest is None) == (size(whole.text) <= limit)
    assert message.rest in (None, markdown)
    assert all(
        start + length <= units(message.text) for start, length, _ in ranges(Styled(message.text, message.styles))
    )


@given(st.text(), st.integers(0, 50))
def test_a_boundary_is_not_behind(text: str, at: int) -> None:
    """The place to cut is at most the one that was asked for, and the ends are always one."""
    assert 0 <= boundary(text, at) <= min(at, len(text))
    assert boundary(text, len(text)) == len(text)


@given(
    st.text(), st.binary(min_size=1), st.sampled_from(["text/plain", "text/x;y=1,z", "", "a/b;base64,", "image/png"])
)
def test_a_file_is_one_data_uri(name: str, content: bytes, kind: str) -> None:
    """Read as signal-cli reads it, the content is the same and the name is no path and breaks out of nothing."""
    match = re.fullmatch(r"data:([\w/.+-]+);filename=([^;,]+);base64,([\w+/=]+)", attachment(name, content, kind))

    assert match
    assert base64.b64decode(match[3]) == content
    assert not re.search(r"[/\\;,\x00-\x1f]", unquote(match[2]))


def test_a_text_is_attached_as_markdown() -> None:
    """An answer keeps its name and is UTF-8."""
    assert attachment("answer.md", "hé") == "data:text/markdown;filename=answer.md;base64,aMOp"
