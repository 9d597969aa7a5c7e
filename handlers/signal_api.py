"""Signal, as this project needs it: the interface `Signal`, and signal-cli behind it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final, Protocol

from handlers.signal_calls import Calls
from handlers.signal_errors import (
    SUCCESS,
    CaptchaNeeded,
    NoAccount,
    NoDaemon,
    NotSent,
    RateLimited,
    Refused,
    SignalError,
    Unclear,
    Unregistered,
    Untrusted,
    from_results,
    redacted,
    results_of,
)
from handlers.signal_receiving import Receiving
from handlers.signal_values import Chat, Group, Quote, Sent
from handlers.signal_wire import Endpoint, parse_endpoint

__all__ = [
    "CaptchaNeeded",
    "Chat",
    "Endpoint",
    "Group",
    "NoAccount",
    "NoDaemon",
    "NotSent",
    "Quote",
    "RateLimited",
    "Refused",
    "Sent",
    "Signal",
    "SignalCli",
    "SignalError",
    "Unclear",
    "Unregistered",
    "Untrusted",
    "parse_endpoint",
    "redacted",
]

# signal-cli gives up on Signal's servers by itself and then says so. This is longer than its own tries together, for
# files too: whoever gives up before it does makes an Unclear of what would have been a definite answer.
_SEND_SECONDS: Final = 60.0
_CALL_SECONDS: Final = 30.0
# Nobody waits for these: "is typing" that comes late is wrong.
_TYPING_SECONDS: Final = 5.0


class Signal(Protocol):
    """What the handler needs of Signal. All of it may raise SignalError, except `envelopes`, which tries on for ever."""

    async def send(
        self,
        chat: Chat,
        text: str,
        *,
        styles: Sequence[str] = (),
        files: Sequence[str] = (),
        quote: Quote | None = None,
        edits: int = 0,
        silent: bool = False,
    ) -> Sent:
        """Send a text with style ranges ("start:length:BOLD", in UTF-16 units) and files (data: URIs or paths).

        `edits` is the timestamp of an own message that this replaces; `silent` wakes no phone.
        """

    async def react(self, chat: Chat, emoji: str, author: str, timestamp: int, *, remove: bool = False) -> None:
        """React to a message, in place of the reaction before; or take it back."""

    async def typing(self, chat: Chat, *, stop: bool = False) -> None:
        """Show for fifteen seconds that somebody types; or that nobody does any more."""

    async def attachment(self, attachment_id: str, chat: Chat) -> bytes:
        """A file that was received in this chat."""

    async def groups(self) -> list[Group]:
        """All groups that the account knows."""

    async def create_group(self, name: str, members: Sequence[str], description: str = "") -> str:
        """Make a group with these people in it; returns its id."""

    async def version(self) -> str:
        """The version of what carries the messages, which answers only if it lives."""

    def envelopes(self) -> AsyncGenerator[Mapping[str, object], None]:
        """What arrives: `{"envelope": …, "account": …, "exception": …}`. See `Receiving`."""

    async def aclose(self) -> None:
        """Let go of connections for calls; who iterates over envelopes ends that by closing the generator."""


class SignalCli:
    """signal-cli's daemon with `--receive-mode=manual`, by JSON-RPC over its socket.

    Calls and messages have a connection each: in manual mode only the one that subscribed gets messages, so a reader
    that takes its time never holds up an answer.
    """

    def __init__(self, endpoint: Endpoint, account: str) -> None:
        # A daemon of one account ignores it, a daemon of several needs it.
        self._account = {"account": account}
        self._calls = Calls(endpoint)
        self._receiving = Receiving(endpoint, self._account)

    @property
    def receiving(self) -> bool:
        """Whether messages would arrive now."""
        return self._receiving.subscribed

    async def send(
        self,
        chat: Chat,
        text: str,
        *,
        styles: Sequence[str] = (),
        files: Sequence[str] = (),
        quote: Quote | None = None,
        edits: int = 0,
        silent: bool = False,
    ) -> Sent:
        """See `Signal.send`."""
        optional = {"textStyle": list(styles), "attachments": list(files), "editTimestamp": edits, "noUrgent": silent}
        given = {name: value for name, value in optional.items() if value}
        params = {**chat.parameters, "message": text, **_quoted(quote), **given}
        return _sent(await self._call("send", params, seconds=_SEND_SECONDS))

    async def react(self, chat: Chat, emoji: str, author: str, timestamp: int, *, remove: bool = False) -> None:
        """See `Signal.react`."""
        target = {"emoji": emoji, "targetAuthor": author, "targetTimestamp": timestamp}
        params = {**chat.parameters, **target, **({"remove": True} if remove else {})}
        _failed(await self._call("sendReaction", params, seconds=_SEND_SECONDS))

    async def typing(self, chat: Chat, *, stop: bool = False) -> None:
        """See `Signal.typing`."""
        params = {**chat.parameters, **({"stop": True} if stop else {})}
        await self._call("sendTyping", params, seconds=_TYPING_SECONDS)

    async def attachment(self, attachment_id: str, chat: Chat) -> bytes:
        """See `Signal.attachment`."""
        # This method takes one recipient and no list of them.
        whose = {"groupId": chat.group} if chat.group else {"recipient": chat.person}
        answer = await self._call("getAttachment", {"id": attachment_id, **whose})
        try:
            return base64.b64decode(answer["data"], validate=True)
        except (TypeError, KeyError, binascii.Error):
            raise Refused("signal-cli gave no file") from None

    async def groups(self) -> list[Group]:
        """See `Signal.groups`."""
        answer = await self._call("listGroups", {})
        return [_group(said) for said in answer if isinstance(said, dict) and said.get("id")]

    async def create_group(self, name: str, members: Sequence[str], description: str = "") -> str:
        """See `Signal.create_group`."""
        params = {"name": name, "member": list(members), **({"description": description} if description else {})}
        answer = await self._call("updateGroup", params, seconds=_SEND_SECONDS)
        if not isinstance(answer, dict) or not answer.get("groupId"):
            raise Unclear("signal-cli gave no id of the new group")
        return str(answer["groupId"])

    async def version(self) -> str:
        """See `Signal.version`; needs no account."""
        answer = await self._calls.call("version", {}, seconds=_CALL_SECONDS)
        return str(answer["version"])

    def envelopes(self) -> AsyncGenerator[Mapping[str, object], None]:
        """What arrives, for ever, whatever happens to the daemon; see `Receiving` for what is promised."""
        return self._receiving.envelopes()

    async def aclose(self) -> None:
        """See `Signal.aclose`."""
        await self._calls.aclose()

    async def _call(self, method: str, params: Mapping[str, object], *, seconds: float = _CALL_SECONDS) -> Any:
        return await self._calls.call(method, {**self._account, **params}, seconds=seconds)


def _quoted(quote: Quote | None) -> dict[str, object]:
    if quote is None:
        return {}
    return {"quoteTimestamp": quote.timestamp, "quoteAuthor": quote.author, "quoteMessage": quote.text}


def _sent(answer: object) -> Sent:
    failed = _failed(answer)
    timestamp = answer.get("timestamp") if isinstance(answer, dict) else None
    if not isinstance(timestamp, int):
        raise Unclear("signal-cli gave no timestamp of what it sent")
    return Sent(timestamp, failed)


def _failed(answer: object) -> dict[str, str]:
    """Who did not get it, by ACI or number. Nobody at all got it: an error. No results: a group of nobody else."""
    results = results_of(answer)
    failed = {_member(result): str(result.get("type")) for result in results if result.get("type") != SUCCESS}
    if results and all(result.get("type") != SUCCESS for result in results):
        raise from_results(results)
    return failed


def _member(result: Mapping[str, Any]) -> str:
    address = result.get("recipientAddress") or {}
    return str(address.get("uuid") or address.get("number") or address.get("username"))


def _group(said: Mapping[str, Any]) -> Group:
    members = said.get("members") or []
    return Group(
        group_id=str(said["id"]),
        name=str(said.get("name") or ""),
        is_member=bool(said.get("isMember")),
        members=tuple(str(member["uuid"]) for member in members if member.get("uuid")),
        description=str(said.get("description") or ""),
    )
