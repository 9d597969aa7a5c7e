"""Text of others on a phone's screen: nothing in it hides or reorders anything."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.signal.harmless import exact, harmless, hides, one_line

FORBIDDEN = [
    *(chr(code) for code in range(0x202A, 0x202F)),
    *(chr(code) for code in range(0x2066, 0x206A)),
    *"\u200b\u200e\u200f\u061c\u2060\ufeff\u00ad\u2028\u2029\x00\x07\x1b\r\x7f\x85\u115f\u3164\u2800\u034f",
    "\ud800",
    "\U000e0001",
    "\U000e0041",
    "\U000e0100",
    "\ue000",
    "\uffff",
]
HOSTILE = (
    st.text(alphabet=st.sampled_from([*FORBIDDEN, *"ab \n\t1אبक्🙂👨👩\u200d\ufe0f\u200c\u0301\u20e3🏽\xa0"]))
    | st.text()
)


@pytest.mark.parametrize("char", FORBIDDEN, ids=lambda char: f"U+{ord(char):04X}")
def test_what_hides_is_written_out(char: str) -> None:
    """A character that shows nothing or moves others is shown as its escape, wherever it stands."""
    escape = char.encode("unicode_escape").decode()

    assert harmless(f"a{char}b") == exact(f"a{char}b") == f"a{escape}b"
    assert hides(char)


@pytest.mark.parametrize(
    "text",
    [
        "plain\n\ttext",
        "Voilà\u202f!",
        "👩🏽‍💻 ❤️ 1️⃣ 🏳️‍🌈 ♾️ 🇩🇪 ☝🏿",
        "می‌خواهم",
        "क्‍ष",
        "日本語　です",
        "e\u0301",
        "C:\\x",
        "→ — …",
        "🫨",
    ],
)
def test_what_people_write_stays(text: str) -> None:
    """Emoji keep what holds them together, scripts keep their joiners, and spaces are spaces."""
    assert harmless(text) == text


@given(HOSTILE)
def test_nothing_forbidden_comes_through(text: str) -> None:
    """Whatever went in, no control, bidi or invisible character and no lone surrogate comes out."""
    shown = harmless(text)

    assert not set(shown) & set(FORBIDDEN)
    assert {unicodedata.category(char) for char in shown} <= {
        unicodedata.category(char) for char in "aA1-_([)]«»+$^§🙂²Ⅷ \n\u200dक\u0301\u0903\u20e3ªǅʰא"
    } | {"Cn"}
    assert all(char in "\n\t" or unicodedata.category(char) != "Cc" for char in shown)
    assert shown.encode().decode() == shown


@given(HOSTILE)
def test_an_exact_text_has_only_our_own_isolates(text: str) -> None:
    """In what will run, joiners, selectors and odd spaces are written out too, and isolates are in pairs and never nested."""
    shown = exact(text)

    kept = [char for char in shown if hides(char)]
    assert kept == ["\u2068", "\u2069"] * (len(kept) // 2)
    assert {char for char in shown if unicodedata.category(char) == "Zs"} <= {" "}


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)).filter(lambda text: " " * 80 not in text))
def test_an_ordinary_command_is_shown_as_it_is(command: str) -> None:
    """What has only printable ASCII is not touched."""
    assert exact(command) == harmless(command) == command


def test_right_to_left_words_do_not_move_others() -> None:
    """Each word of such a script is isolated, so that the operands of a command keep their order."""
    assert exact("cp אב 12 גד /x") == "cp \u2068אב\u2069 12 \u2068גד\u2069 /x"


def test_what_is_pushed_out_of_sight_is_told() -> None:
    """A command cannot hide its end behind a screen of spaces or empty lines."""
    assert exact("ls" + " " * 500 + "; rm x") == "ls⟨500 spaces⟩; rm x"
    assert exact("ls" + "\n" * 99 + "rm x") == "ls⟨99 empty lines⟩rm x"
    assert exact("def f():\n\n\n" + " " * 40 + "x") == "def f():\n\n\n" + " " * 40 + "x"


def test_a_tower_of_marks_falls() -> None:
    """Marks that would cover the lines around are written out."""
    assert harmless("a" + "\u0301" * 8) == "a" + "\u0301" * 6 + "\\u0301\\u0301"


@given(HOSTILE, st.integers(1, 40))
def test_a_name_is_one_line(text: str, limit: int) -> None:
    """A name or a summary has one line of at most that many characters."""
    line = one_line(text, limit)

    assert len(line) <= limit
    assert line.splitlines() in ([], [line])


def test_a_long_name_says_so() -> None:
    """What is cut ends with an ellipsis, between characters as people count them."""
    assert one_line("a\n b\r\tc", 9) == "a b c"
    assert one_line("ab👩🏽‍💻cd", 5) == "ab…"
