"""What people do on their phones, and what they see there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.signal.network import (
    PATIENCE_SECONDS,
    Edit,
    File,
    Found,
    GroupOfPeople,
    Message,
    Network,
    Notification,
    Room,
)


@dataclass(frozen=True)
class Screen:
    """What a phone shows of one chat."""

    room: Room
    network: Network

    @property
    def messages(self) -> list[Message]:
        """What is there and not deleted."""
        return [message for message in self.room.messages if not message.deleted]

    @property
    def texts(self) -> list[str]:
        """What the bot wrote, as it stands now."""
        return [message.text for message in self.messages if message.author == self.network.aci]

    @property
    def typing(self) -> bool:
        """Whether the bot shows that it types."""
        return self.room.typing

    def reaction(self, timestamp: int) -> str | None:
        """The bot's reaction to a message."""
        message = self.room.find(timestamp)
        return message.reactions.get(self.network.aci) if message else None


@dataclass(eq=False)
class Person:
    """Somebody with a phone, whose messages go to the bot or to a group with it."""

    network: Network = field(repr=False)
    name: str
    aci: str
    number: str | None
    trusted: bool = True
    _held: list[Notification] = field(default_factory=list, repr=False)

    def screen(self, chat: GroupOfPeople | None = None) -> Screen:
        """What this phone shows of the chat with the bot, or of a group."""
        return Screen(self.network.room(self.key(chat)), self.network)

    async def sees(
        self,
        predicate: Callable[[Screen], Found],
        chat: GroupOfPeople | None = None,
        *,
        seconds: float = PATIENCE_SECONDS,
    ) -> Found:
        """Wait until this is true of the screen; returns what the predicate gave."""
        return await self.network.until(lambda: predicate(self.screen(chat)), seconds)

    async def says(
        self,
        text: str,
        to: GroupOfPeople | None = None,
        *,
        quote: int | None = None,
        attachments: Sequence[File] = (),
        device: int = 1,
    ) -> int:
        """Write a message; returns its timestamp."""
        timestamp = self.network.now()
        message = Message(self.aci, timestamp, [Edit(timestamp, text)], list(attachments), quote)
        self.network.room(self.key(to)).messages.append(message)
        extras: dict[str, Any] = {}
        if quote is not None:
            extras["quote"] = self._quoted(quote, to)
        if attachments:
            extras["attachments"] = [self._attached(file, timestamp) for file in attachments]
        self._send(timestamp, {"dataMessage": self._data(timestamp, text or None, to, **extras)}, device)
        return timestamp

    async def reacts(
        self, emoji: str, timestamp: int, to: GroupOfPeople | None = None, *, author: str = "", remove: bool = False
    ) -> int:
        """React to a message of the bot, or of whoever `author` names; also to one that does not exist."""
        target = author or self.network.aci
        if (message := self.network.room(self.key(to)).find(timestamp)) is not None:
            message.reactions.pop(self.aci, None)
            message.reactions.update({} if remove else {self.aci: emoji})
        reaction = {
            "emoji": emoji,
            **self._addressed("targetAuthor", target),
            "targetSentTimestamp": timestamp,
            "isRemove": remove,
        }
        now = self.network.now()
        self._send(now, {"dataMessage": self._data(now, None, to, reaction=reaction)})
        return now

    async def edits(self, timestamp: int, text: str, to: GroupOfPeople | None = None) -> int:
        """Edit an own message; returns the timestamp of the edit."""
        now = self.network.now()
        message = self._own(timestamp, to)
        message.versions.append(Edit(now, text))
        self._send(now, {"editMessage": {"targetSentTimestamp": timestamp, "dataMessage": self._data(now, text, to)}})
        return now

    async def deletes(self, timestamp: int, to: GroupOfPeople | None = None) -> int:
        """Delete an own message for everybody."""
        now = self.network.now()
        message = self._own(timestamp, to)
        message.deleted = True
        self._send(now, {"dataMessage": self._data(now, None, to, remoteDelete={"timestamp": timestamp})})
        return now

    async def types(self, to: GroupOfPeople | None = None, *, stop: bool = False) -> None:
        """Begin to type, or stop."""
        now = self.network.now()
        typing = {"action": "STOPPED" if stop else "STARTED", "timestamp": now}
        self._send(now, {"typingMessage": {**typing, **({"groupId": to.group_id} if to else {})}})

    async def reads(self, timestamp: int) -> None:
        """Let the bot know that its message was read."""
        now = self.network.now()
        kinds = {"isDelivery": False, "isRead": True, "isViewed": False}
        self._send(now, {"receiptMessage": {"when": now, **kinds, "timestamps": [timestamp]}})

    async def renames(self, group: GroupOfPeople, name: str) -> None:
        """Give a group another name."""
        group.name, group.revision = name, group.revision + 1
        now = self.network.now()
        data = self._data(now, None, group)
        self._send(now, {"dataMessage": {**data, "groupInfo": {**group.info, "type": "UPDATE"}}})

    async def sets_timer(self, seconds: int) -> None:
        """Let messages of the chat vanish after some time."""
        now = self.network.now()
        self._send(now, {"dataMessage": {**self._data(now, None, None), "expiresInSeconds": seconds}})

    def changes_key(self) -> None:
        """Install Signal anew: what is written now is held back until the bot's operator trusts the new key."""
        self.trusted = False

    def is_trusted(self) -> None:
        """The operator trusts the new key: what was held back arrives."""
        self.trusted = True
        for notification in self._held:
            self.network.arrives(notification)
        self._held.clear()

    def key(self, to: GroupOfPeople | None = None) -> str:
        """The chat as the bot names it."""
        return f"g:{to.group_id}" if to else f"d:{self.aci}"

    def _own(self, timestamp: int, to: GroupOfPeople | None) -> Message:
        message = self.network.room(self.key(to)).find(timestamp)
        assert message is not None, f"{self.name} sees no message {timestamp} there"
        assert message.author == self.aci, f"{self.name} did not write {timestamp}"
        return message

    def _send(self, timestamp: int, body: dict[str, Any], device: int = 1) -> None:
        notification = envelope(self.network, self.name, self.aci, self.number, timestamp, body, device)
        if self.trusted:
            self.network.arrives(notification)
            return
        self._held.append(notification)
        untrusted = {"message": f"Untrusted identity: {self.aci}", "type": "UntrustedIdentityException"}
        bare = envelope(self.network, self.name, self.aci, self.number, timestamp, {}, device)
        self.network.arrives({"exception": untrusted, **bare})

    def _data(self, timestamp: int, text: str | None, to: GroupOfPeople | None, **extras: Any) -> dict[str, Any]:
        data = {"timestamp": timestamp, "message": text, "expiresInSeconds": 0, "viewOnce": False, **extras}
        return {**data, "groupInfo": to.info} if to else data

    def _quoted(self, timestamp: int, to: GroupOfPeople | None) -> dict[str, Any]:
        message = self.network.room(self.key(to)).find(timestamp)
        author, text = (message.author, message.text) if message else (self.network.aci, "gone")
        return {"id": timestamp, **self._addressed("author", author), "text": text, "attachments": []}

    def _addressed(self, name: str, aci: str) -> dict[str, Any]:
        person = self.network.find_person(aci)
        number = person.number if person else self.network.account if aci == self.network.aci else None
        return {name: number or aci, f"{name}Number": number, f"{name}Uuid": aci}

    def _attached(self, file: File, timestamp: int) -> dict[str, Any]:
        name = f"{self.network.now()}{file.name[file.name.rfind('.') :] if '.' in file.name else ''}"
        self.network.files[name] = file.data
        size = {"width": 10, "height": 20} if file.type.startswith("image/") else {"width": None, "height": None}
        about = {"contentType": file.type, "filename": file.name, "id": name, "size": len(file.data), **size}
        return {**about, "caption": None, "uploadTimestamp": timestamp}


def envelope(
    network: Network, name: str, aci: str, number: str | None, timestamp: int, body: dict[str, Any], device: int = 1
) -> Notification:
    """What the bot gets of a message."""
    source = {"source": number or aci, "sourceNumber": number, "sourceUuid": aci, "sourceName": name}
    times = {"serverReceivedTimestamp": timestamp + 50, "serverDeliveredTimestamp": timestamp + 90}
    about = {**source, "sourceDevice": device, "timestamp": timestamp, **times}
    return {"envelope": {**about, **body}, "account": network.account}


def synced(network: Network, text: str, to: "Person | GroupOfPeople | None" = None) -> int:
    """What the owner of the bot's account writes on a phone of their own: to themselves, to a person or to a group."""
    timestamp = network.now()
    direct = not isinstance(to, GroupOfPeople)
    number, aci = (to.number, to.aci) if isinstance(to, Person) else (network.account, network.aci)
    destination = {
        "destination": (number or aci) if direct else None,
        "destinationNumber": number if direct else None,
        "destinationUuid": aci if direct else None,
    }
    said = {"timestamp": timestamp, "message": text, "expiresInSeconds": 0, "viewOnce": False}
    group = {"groupInfo": to.info} if isinstance(to, GroupOfPeople) else {}
    body = {"syncMessage": {"sentMessage": {**destination, **said, **group}}}
    network.arrives(envelope(network, "Me", network.aci, network.account, timestamp, body))
    return timestamp


def synced_reading(network: Network, sender: Person, timestamp: int) -> None:
    """The owner of the bot's account read a message on a phone of their own."""
    now = network.now()
    read = {"sender": sender.number or sender.aci, "senderNumber": sender.number, "senderUuid": sender.aci}
    body = {"syncMessage": {"readMessages": [{**read, "timestamp": timestamp}]}}
    network.arrives(envelope(network, "Me", network.aci, network.account, now, body))
