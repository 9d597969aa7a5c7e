"""What signal-cli tells, read with tolerance: who wrote what in which chat. Nothing but the sender is believed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from handlers.signal_api import Chat
from runtime.signal_settings import ACI, NUMBER

_GROUP: Final = re.compile(r"[A-Za-z0-9+/_-]{1,128}={0,2}")
# Milliseconds; more digits are no time, and SQLite's integers end there.
_LATEST: Final = 2**53
# The text of a long message once more, as a file.
_LONG_TEXT: Final = "text/x-signal-plain"

Kind = Literal["text", "reaction", "edit", "delete"]


@dataclass(frozen=True, kw_only=True)
class Attached:
    """A file that came with a message; its name and type are the sender's words."""

    file_id: str
    name: str
    content_type: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Received:
    """One thing that somebody did in a chat. `target` is the time of the message that it is about, if it is about one.

    `key` is its identity, the same however often it comes: our account, the sender, their device, and their clock.
    """

    key: str
    chat: Chat
    aci: str
    number: str
    timestamp: int
    kind: Kind
    text: str = ""
    target: int = 0
    target_authors: tuple[str, ...] = ()
    """Who wrote that message, by ACI and number, as the sender's phone says."""
    emoji: str = ""
    is_removed: bool = False
    files: tuple[Attached, ...] = ()
    is_own: bool = False
    """Written by the account itself on another device, to itself."""

    @property
    def author(self) -> str:
        """How signal-cli takes the sender."""
        return self.aci or self.number


def read(told: Mapping[str, object], account: str) -> Received | None:
    """What was told, if it is something that a person did on purpose; else None."""
    envelope = _inner(told, "envelope")
    # Whoever caused it could not be verified, or nothing could be read.
    if envelope is None or told.get("exception") or not _is_for(told.get("account"), account):
        return None
    sender = _sender(envelope)
    if sender is None:
        return None
    aci, number = sender
    own = _to_oneself(envelope, aci) if account in sender else None
    edit = _inner(own or envelope, "editMessage")
    data = (edit and _inner(edit, "dataMessage")) or own or _inner(envelope, "dataMessage")
    timestamp = _time(envelope.get("timestamp"))
    if data is None or not timestamp:
        return None
    chat = _chat(data, aci or number)
    done = _done(data, _time(edit.get("targetSentTimestamp")) if edit else None)
    if chat is None or done is None:
        return None
    device = envelope.get("sourceDevice")
    key = f"sig-{account_hash(account)}-{aci or number[1:]}-{device if isinstance(device, int) else 0}-{timestamp}"
    return Received(key=key, chat=chat, aci=aci, number=number, timestamp=timestamp, is_own=own is not None, **done)


def account_hash(account: str) -> str:
    """Tells accounts apart where a number would tell who they are."""
    return hashlib.sha256(account.encode()).hexdigest()[:8]


def _is_for(named: object, account: str) -> bool:
    """A daemon of several accounts tells of all of them. It names them by their numbers, also who is asked for by ACI."""
    return not isinstance(named, str) or named == account or not account.startswith("+")


def _sender(envelope: Mapping[str, object]) -> tuple[str, str] | None:
    """The sender's ACI and number; one of them may be empty. `source` is either, in versions that tell nothing else."""
    aci, number = _matching(ACI, envelope.get("sourceUuid")), _matching(NUMBER, envelope.get("sourceNumber"))
    if not aci and not number:
        aci, number = (_matching(pattern, envelope.get("source")) for pattern in (ACI, NUMBER))
    return (aci, number) if aci or number else None


def _to_oneself(envelope: Mapping[str, object], aci: str) -> Mapping[str, object] | None:
    """What the account's owner wrote to themselves; all their other conversations pass by here too, and are theirs."""
    sync = _inner(envelope, "syncMessage")
    sent = sync and _inner(sync, "sentMessage")
    if not sent or not aci or sent.get("destinationUuid") != aci or sent.get("groupInfo"):
        return None
    return sent


def _chat(data: Mapping[str, object], sender: str) -> Chat | None:
    group = _inner(data, "groupInfo")
    if group is None:
        return Chat(person=sender)
    name = _matching(_GROUP, group.get("groupId"))
    # A change of its members or title is told in the same way.
    if not name or group.get("type") == "UPDATE":
        return None
    return Chat(group=name)


def _done(data: Mapping[str, object], edited: int | None) -> dict[str, Any] | None:
    reaction, deleted, quote = (_inner(data, name) for name in ("reaction", "remoteDelete", "quote"))
    if reaction is not None:
        return {
            "kind": "reaction",
            "emoji": _text(reaction.get("emoji")),
            "target": _time(reaction.get("targetSentTimestamp")),
            "target_authors": _authors(reaction, "targetAuthor"),
            "is_removed": reaction.get("isRemove") is True,
        }
    if deleted is not None:
        return {"kind": "delete", "target": _time(deleted.get("timestamp"))}
    text, files = _text(data.get("message")), _files(data.get("attachments"))
    if not text.strip() and not files:
        return None
    if edited is not None:
        return {"kind": "edit", "text": text, "target": edited, "files": files}
    said = {"kind": "text", "text": text, "files": files}
    return (
        said
        if quote is None
        else {**said, "target": _time(quote.get("id")), "target_authors": _authors(quote, "author")}
    )


def _authors(about: Mapping[str, object], name: str) -> tuple[str, ...]:
    found = (_matching(ACI, about.get(f"{name}Uuid")), _matching(NUMBER, about.get(f"{name}Number")))
    return tuple(one for one in found if one)


def _files(listed: object) -> tuple[Attached, ...]:
    if not isinstance(listed, list):
        return ()
    files = (file for file in listed if isinstance(file, Mapping) and isinstance(file.get("id"), str))
    return tuple(
        Attached(
            file_id=file["id"],
            name=_text(file.get("filename")),
            content_type=_text(file.get("contentType")),
            size=_time(file.get("size")),
        )
        for file in files
        if file.get("contentType") != _LONG_TEXT
    )


def _inner(outer: Mapping[str, object], name: str) -> Mapping[str, object] | None:
    value = outer.get(name)
    return value if isinstance(value, Mapping) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _time(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LATEST else 0


def _matching(pattern: re.Pattern[str], value: object) -> str:
    text = _text(value)
    text = text.lower() if pattern is ACI else text
    return text if pattern.fullmatch(text) else ""
