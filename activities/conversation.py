"""Which of claude's conversations a session is, and how its next process comes to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from activities.calls import Origin
from claude import command, identity
from claude.errors import ConversationRefused


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """How claude is told to begin: anew, perhaps as a copy, or where the conversation was left."""

    how: Literal["new", "resume"]
    forked_from: str | None = None


def conversation_of(session_id: str, origin: Origin | None) -> str:
    """The conversation that the session writes: the one it adopted, else its own."""
    if origin is None or origin.is_forked:
        return identity.conversation_id(session_id)
    return origin.conversation_id


def beginning(session_id: str, origin: Origin | None, environment: Mapping[str, str]) -> Beginning:
    """The beginning that fits what is on disk; ConversationRefused when there is nothing to go on with.

    A fork is made anew until its own transcript exists, which is from its first message on.
    """
    if origin is not None:
        _check(origin)
    if command.has_transcript(environment, conversation_of(session_id, origin)):
        return Beginning(how="resume")
    if origin is None:
        return Beginning(how="new")
    if not origin.is_forked or not command.has_transcript(environment, origin.conversation_id):
        raise ConversationRefused(
            f"this host has no conversation {origin.conversation_id}: "
            "nothing was said in it yet, or it belongs to another host or user"
        )
    return Beginning(how="new", forked_from=origin.conversation_id)


def _check(origin: Origin) -> None:
    try:
        identity.check_conversation_id(origin.conversation_id)
    except ValueError as error:
        raise ConversationRefused(str(error)) from error
