"""Names that derive from a session, so that whoever does a thing again does it under the same name."""

import re
import uuid

# Fixed for good: another namespace would make every known conversation and message a stranger.
_NAMESPACE = uuid.UUID("6b1f0d6e-54b5-4c0e-9f0b-2f6f0c0f7d11")

_SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CONVERSATION_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def check_session_id(session_id: str) -> str:
    """Return the id as it is, or raise ValueError: it becomes a directory's name and part of a workflow id."""
    if not _SESSION_ID.fullmatch(session_id):
        shown = session_id if len(session_id) <= 80 else session_id[:80] + "…"
        raise ValueError(
            f"session id {shown!r} is not usable: take 1 to 64 letters, digits, dots, dashes or underscores, "
            "beginning with a letter or digit"
        )
    return session_id


def check_conversation_id(conversation_id: str) -> str:
    """Return the id as it is, or raise ValueError: it becomes an argument of claude and a file's name."""
    if not _CONVERSATION_ID.fullmatch(conversation_id):
        raise ValueError(
            f"conversation id {conversation_id[:80]!r} is not usable: take the uuid that claude shows, in lower case"
        )
    return conversation_id


def conversation_id(session_id: str) -> str:
    """The uuid under which claude keeps this session's transcript."""
    return _derived("conversation", session_id)


def message_id(session_id: str, turn_id: str) -> str:
    """The uuid of a turn's message; claude runs a uuid once, however often it is sent."""
    return _derived("message", session_id, turn_id)


def continued_id(session_id: str, turn_id: str, generation: int) -> str:
    """The uuid of the message that gets a turn going again, on a process that knew the turn's own message already."""
    return message_id(session_id, f"{turn_id}/continued/{generation}")


def _derived(*parts: str) -> str:
    # A session id holds no slash, so no two lists of parts make the same name.
    return str(uuid.uuid5(_NAMESPACE, "/".join(parts)))
