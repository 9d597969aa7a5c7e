"""What a person types on a phone, read as commands and decisions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.signal.grammar import COMMANDS, HELP, AnswerGiven, Command, decision, parse, parse_answer, reaction

TYPED = st.text(alphabet=st.sampled_from("/／ \nstopSTOP👍🏽\ufe0f♾a1:x?!.")) | st.text()


@pytest.mark.parametrize(
    ("typed", "command"),
    [
        ("/status", Command("status")),
        ("/Status ", Command("status")),
        (" /STOP now", Command("stop", "now")),
        ("／start shop", Command("start", "shop")),
        ("/start shop\nWhy does\nit fail?", Command("start", "shop\nWhy does\nit fail?")),
        ("/file  docs/a b.md ", Command("file", "docs/a b.md")),
        ("//stop it", Command("say", "/stop it")),
        ("/compact", Command("say", "/compact")),
        ("/Compact now", Command("say", "/Compact now")),
        ("/statusx", Command("say", "/statusx")),
        ("/home/ada is full", Command("say", "/home/ada is full")),
        ("/ stop", Command("say", "/ stop")),
        ("// a comment", Command("say", "// a comment")),
        (" fix it\n", Command("say", " fix it\n")),
        ("stop", Command("say", "stop")),
        ("", Command("say", "")),
    ],
)
def test_commands_are_read_as_phones_type_them(typed: str, command: Command) -> None:
    """Ours are known by their word; claude's own, and all other text, are said unchanged."""
    assert parse(typed) == command


@given(TYPED)
def test_reading_never_fails(text: str) -> None:
    """Any text is a command of ours or something to say."""
    assert parse(text).name in {*COMMANDS, "say"}
    assert decision(text) in ("allow", "allow_always", "deny", None)
    assert reaction(text) in ("allow", "allow_always", "deny", None)
    assert parse_answer(text).scope in ("once", "turn", "always")


@pytest.mark.parametrize(
    ("reply", "decided"),
    [
        ("yes", "allow"),
        ("Y", "allow"),
        ("Ok.", "allow"),
        ("okay!", "allow"),
        ("Approve", "allow"),
        ("👍🏽", "allow"),
        ("👍👍 ok", "allow"),
        ("Always", "allow_always"),
        ("♾️", "allow_always"),
        ("♾", "allow_always"),
        ("No", "deny"),
        ("no, stop!", "deny"),
        ("👎🏿", "deny"),
        ("yes always", None),
        ("ok?", None),
        ("？", None),
        ("y/n", None),
        ("yes, but not now", None),
        ("👀", None),
        ("", None),
        ("...", None),
    ],
)
def test_a_reply_decides_only_when_it_is_clear(reply: str, decided: str | None) -> None:
    """Case, full stops and skin tones do not matter; a question, a condition or two answers decide nothing."""
    assert decision(reply) == decided


@pytest.mark.parametrize(
    ("emoji", "decided"),
    [
        ("👍", "allow"),
        ("👍🏻", "allow"),
        ("👍️", "allow"),
        ("♾️", "allow_always"),
        ("👎🏾", "deny"),
        ("❤️", None),
        ("👍👍", None),
    ],
)
def test_a_reaction_decides(emoji: str, decided: str | None) -> None:
    """Thumbs in any colour and infinity in any form are decisions, all else is none."""
    assert reaction(emoji) == decided


@pytest.mark.parametrize(
    ("argument", "given_answer"),
    [
        ("", AnswerGiven("", "once")),
        ("a3 always", AnswerGiven("a3", "always")),
        ("A3", AnswerGiven("a3", "once")),
        ("Always", AnswerGiven("", "always")),
        ("turn", AnswerGiven("", "turn")),
        ("a2 because it deletes", AnswerGiven("a2", "once", "because it deletes")),
        ("a2: no", AnswerGiven("a2", "once", "no")),
        ("always ask first", AnswerGiven("", "once", "always ask first")),
        ("a2b turn", AnswerGiven("", "once", "a2b turn")),
    ],
)
def test_an_answer_has_an_id_a_scope_and_words(argument: str, given_answer: AnswerGiven) -> None:
    """The id may be left out, and more than once is granted only by a scope that stands alone."""
    assert parse_answer(argument) == given_answer


def test_help_fits_into_one_message_and_names_all() -> None:
    """Every command has a line, and all of them fit on a screen or two."""
    words = (
        "start new resume sessions status stop interrupt approve deny projects group level mute quiet last file help"
    )
    assert set(words.split()) == COMMANDS
    assert len(HELP.encode()) <= 1500
