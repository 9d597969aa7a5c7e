"""What is said about messages on Signal, whatever carries them."""

from __future__ import annotations

from dataclasses import dataclass, field

from handlers.signal_errors import redacted


@dataclass(frozen=True)
class Chat:
    """Where messages go to and come from: a person, by ACI or number, or a group, by its base64 id."""

    person: str = ""
    group: str = ""

    def __post_init__(self) -> None:
        if bool(self.person) == bool(self.group):
            raise ValueError("a chat is with a person or with a group")

    @property
    def key(self) -> str:
        """The chat as one string; `from_key` reads it."""
        return f"g:{self.group}" if self.group else f"d:{self.person}"

    @classmethod
    def from_key(cls, key: str) -> Chat:
        """The chat of a key, or ValueError."""
        kind, _, name = key.partition(":")
        if kind not in ("d", "g"):
            raise ValueError(f"{key!r} is no key of a chat")
        return cls(group=name) if kind == "g" else cls(person=name)

    @property
    def parameters(self) -> dict[str, object]:
        """How signal-cli is told of it."""
        return {"groupId": self.group} if self.group else {"recipient": [self.person]}

    def __str__(self) -> str:
        return redacted(self.key)


@dataclass(frozen=True)
class Quote:
    """The message that one answers to."""

    timestamp: int
    author: str
    text: str


@dataclass(frozen=True)
class Sent:
    """A message that was sent: its timestamp names it from now on. `failed` are members of a group who did not get it."""

    timestamp: int
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """A group that this account knows; members are named by ACI."""

    group_id: str
    name: str
    is_member: bool
    members: tuple[str, ...]
    description: str = ""
