"""Signal without Signal: people, groups, what stands in each chat, and what waits for the bot."""

import asyncio
import base64
import hashlib
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tests.signal.phone import Person

ACCOUNT = "+15550000000"
OWN_ACI = "00000000-0000-4000-8000-000000000000"
# Far more than anything here takes: only a hang reaches it.
PATIENCE_SECONDS = 30.0

Notification = dict[str, Any]
Found = TypeVar("Found")


@dataclass(frozen=True)
class File:
    """A file in a message."""

    name: str
    type: str
    data: bytes


@dataclass(frozen=True)
class Edit:
    """One version of a message's text."""

    timestamp: int
    text: str
    styles: tuple[str, ...] = ()


@dataclass
class Message:
    """A message as it stands in a chat, whoever wrote it; `versions` has its text and each edit of it."""

    author: str
    timestamp: int
    versions: list[Edit]
    files: list[File] = field(default_factory=list)
    quote: int | None = None
    silent: bool = False
    deleted: bool = False
    reactions: dict[str, str] = field(default_factory=dict)
    """The newest of each person, by ACI."""

    @property
    def text(self) -> str:
        """What a phone shows now."""
        return self.versions[-1].text

    @property
    def styles(self) -> tuple[str, ...]:
        """The ranges of what a phone shows now."""
        return self.versions[-1].styles

    @property
    def edits(self) -> int:
        """How often it was edited."""
        return len(self.versions) - 1


@dataclass
class Room:
    """All that was written in one chat, in order."""

    messages: list[Message] = field(default_factory=list)
    typing: bool = False
    """Whether the bot shows that it types."""
    typings: int = 0
    receipts: set[int] = field(default_factory=set)

    def find(self, timestamp: int) -> Message | None:
        """The message of this timestamp; edits do not change it."""
        return next((message for message in self.messages if message.timestamp == timestamp), None)


@dataclass
class GroupOfPeople:
    """A group with the bot in it."""

    group_id: str
    name: str
    members: list["Person"]
    description: str = ""
    revision: int = 0
    with_bot: bool = True

    @property
    def info(self) -> dict[str, Any]:
        """As each message to the group carries it."""
        return {"groupId": self.group_id, "groupName": self.name, "revision": self.revision, "type": "DELIVER"}


class Network:
    """What outlives every daemon and every client: Signal's servers and the phones."""

    def __init__(self, account: str = ACCOUNT) -> None:
        self.account = account
        self.aci = OWN_ACI
        self.people: dict[str, Person] = {}
        self.groups: dict[str, GroupOfPeople] = {}
        self.rooms: dict[str, Room] = {}
        self.files: dict[str, bytes] = {}
        self.queue: deque[Notification] = deque()
        """What waits for the bot on Signal's servers."""
        self.acked: list[Notification] = []
        """What a daemon took from there, whether or not anybody got it."""
        self.sent: list[tuple[str, Message]] = []
        """All that the bot sent, with the key of its chat, edits excluded."""
        self._last_timestamp = 0
        self._news = asyncio.Event()

    def now(self) -> int:
        """A timestamp that was never used before."""
        self._last_timestamp = max(self._last_timestamp + 1, int(time.time() * 1000))
        return self._last_timestamp

    def changed(self) -> None:
        """Let everybody who waits look again."""
        self._news.set()
        self._news = asyncio.Event()

    async def until(self, condition: Callable[[], Found], seconds: float | None = PATIENCE_SECONDS) -> Found:
        """Wait until something is true of all this; returns what the condition gave."""
        async with asyncio.timeout(seconds):
            while not (found := condition()):
                await self._news.wait()
        return found

    def person(self, name: str, number: str | None = None) -> "Person":
        """Somebody with a phone; without a number they hide it."""
        from tests.signal.phone import Person

        aci = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {number}"))
        person = Person(self, name, aci, number)
        self.people[aci] = person
        return person

    def group(self, name: str, members: "list[Person]", description: str = "") -> GroupOfPeople:
        """A group of the bot and these people."""
        digest = hashlib.sha256(f"{name} {len(self.groups)}".encode()).digest()
        made = GroupOfPeople(base64.b64encode(digest).decode(), name, list(members), description)
        self.groups[made.group_id] = made
        return made

    def find_person(self, name: str) -> "Person | None":
        """Somebody by ACI or number."""
        by_number = (person for person in self.people.values() if person.number == name)
        return self.people.get(name) or next(by_number, None)

    def room(self, key: str) -> Room:
        """The chat of this key, as `Chat.key` has it."""
        return self.rooms.setdefault(key, Room())

    def arrives(self, notification: Notification) -> None:
        """Something for the bot reaches Signal's servers."""
        self.queue.append(notification)
        self.changed()

    def repeats(self, timestamp: int) -> None:
        """A sender on a bad network sends the same once more."""
        known = [*self.acked, *self.queue]
        self.arrives(next(one for one in known if one["envelope"]["timestamp"] == timestamp))
