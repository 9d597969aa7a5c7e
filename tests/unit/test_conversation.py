"""Which conversation a session goes on with, and which session may have it."""

from pathlib import Path

import pytest

from activities.calls import Origin
from activities.conversation import Beginning, beginning, conversation_of
from claude.claim import Claim
from claude.errors import ConversationRefused
from claude.identity import conversation_id
from shim import locks
from shim.paths import HostDirectory

ORIGIN = "843fa37a-f3d6-56bf-9781-65f3bed38ad4"
ADOPTED, FORKED = Origin(conversation_id=ORIGIN), Origin(conversation_id=ORIGIN, is_forked=True)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which claude has no conversation yet."""
    return {"CLAUDE_CONFIG_DIR": str(tmp_path)}


def write(environment: dict[str, str], conversation: str) -> None:
    """Let claude have this conversation."""
    transcript = Path(environment["CLAUDE_CONFIG_DIR"]) / "projects" / "-a-project" / f"{conversation}.jsonl"
    transcript.parent.mkdir(parents=True, exist_ok=True)
    transcript.touch()


def test_a_session_without_origin_begins_once(environment: dict[str, str]) -> None:
    """Then it is resumed."""
    first = beginning("one", None, environment)
    write(environment, conversation_of("one", None))

    assert (first, beginning("one", None, environment)) == (Beginning(how="new"), Beginning(how="resume"))


def test_an_adopted_conversation_is_resumed_under_its_own_id(environment: dict[str, str]) -> None:
    """Without a transcript there is nothing to adopt."""
    with pytest.raises(ConversationRefused, match=ORIGIN):
        beginning("one", ADOPTED, environment)
    write(environment, ORIGIN)

    assert beginning("one", ADOPTED, environment) == Beginning(how="resume")
    assert conversation_of("one", ADOPTED) == ORIGIN


def test_a_fork_is_made_until_it_has_a_transcript_of_its_own(environment: dict[str, str]) -> None:
    """From then on it needs the original no more."""
    with pytest.raises(ConversationRefused, match=ORIGIN):
        beginning("one", FORKED, environment)
    write(environment, ORIGIN)
    first = beginning("one", FORKED, environment)
    write(environment, conversation_of("one", FORKED))
    later = beginning("one", FORKED, environment)

    assert (first, later) == (Beginning(how="new", forked_from=ORIGIN), Beginning(how="resume"))
    assert conversation_of("one", FORKED) == conversation_id("one")


def test_an_impossible_id_is_refused(environment: dict[str, str]) -> None:
    """Also when a client did not check it."""
    with pytest.raises(ConversationRefused, match="take the uuid"):
        beginning("one", Origin(conversation_id="../x"), environment)


@pytest.fixture
def claims(host: HostDirectory) -> tuple[Claim, Claim]:
    """What two sessions of a host want: the same conversation."""
    for session_id in ("one", "two"):
        host.session(session_id).path.mkdir(parents=True)
    return Claim(host, ORIGIN, "one"), Claim(host, ORIGIN, "two")


def test_a_claim_holds_while_its_process_lives(host: HostDirectory, claims: tuple[Claim, Claim]) -> None:
    """Its owner may claim again, another session when the process is gone; claude itself counts as well as its shim."""
    one, two = claims
    one.take()
    for path in (host.session("one").lock, host.session("one").child_lock):
        lock = locks.take(str(path))
        assert lock is not None
        one.take()
        with pytest.raises(ConversationRefused, match="in use by session 'one'"):
            two.take()
        lock.release()
    two.take()
    two.confirm()


def test_of_two_claims_at_once_one_is_confirmed(claims: tuple[Claim, Claim]) -> None:
    """Whoever lost it learns so after the start."""
    one, two = claims
    one.take()
    two.take()
    two.confirm()

    with pytest.raises(ConversationRefused, match="in use by session 'two'"):
        one.confirm()
