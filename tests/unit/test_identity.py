"""Ids that derive from a session."""

import uuid

import pytest

from claude.identity import check_conversation_id, check_session_id, conversation_id, message_id


@pytest.mark.parametrize("session_id", ["a", "A9", "fix-login.2", "x_y", "a" * 64])
def test_a_usable_session_id_is_returned_as_it_is(session_id: str) -> None:
    """Letters, digits, dots, dashes and underscores make a session id."""
    assert check_session_id(session_id) == session_id


@pytest.mark.parametrize(
    "session_id",
    ["", "a/b", "../up", ".hidden", "-flag", "two words", "line\n", "nul\0", "ünï", "a" * 65, "a" * 500],
    ids=repr,
)
def test_an_unusable_session_id_is_refused_with_a_sentence(session_id: str) -> None:
    """What could leave its directory, look like an option or be too long is refused, and told what to take."""
    with pytest.raises(ValueError) as refusal:
        check_session_id(session_id)

    assert "1 to 64 letters" in str(refusal.value)
    assert len(str(refusal.value)) < 300


def test_the_conversation_of_a_session_is_always_the_same() -> None:
    """Whoever starts a session's claude, and however often, speaks of the same conversation."""
    assert conversation_id("demo") == conversation_id("demo") == "843fa37a-f3d6-56bf-9781-65f3bed38ad4"
    assert conversation_id("demo") != conversation_id("demo2")


def test_a_conversation_is_named_by_its_uuid() -> None:
    """An own one passes; what could be an option or a path does not."""
    assert check_conversation_id(conversation_id("demo")) == conversation_id("demo")
    for other in ("", "--help", "../843fa37a-f3d6-56bf-9781-65f3bed38ad4", conversation_id("demo").upper()):
        with pytest.raises(ValueError, match="take the uuid"):
            check_conversation_id(other)


def test_a_message_id_is_a_uuid_of_its_session_and_turn() -> None:
    """A turn that is sent again is the same message; any other turn or session is another one."""
    ids = [message_id(session, turn) for session in ("a", "b") for turn in ("1", "2")]

    assert len(set(ids)) == 4
    assert ids[0] == message_id("a", "1")
    assert all(str(uuid.UUID(each)) == each for each in ids)
    assert conversation_id("a") not in ids
