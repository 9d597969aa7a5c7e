"""The settings of the Signal handler, and who may do what in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from runtime.reader import PREFIX, Reader, flag

Role = Literal["owner", "approver", "watcher"]

ACI: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NUMBER: Final = re.compile(r"\+[1-9][0-9]{4,15}")
_PROJECT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class SignalSettings:
    """Empty `account` means that no Signal handler is set up."""

    account: str = ""
    daemon: str = ""
    """Where signal-cli listens; handlers/signal_wire.py reads it. Empty is the place where signal-cli puts it."""
    people: Mapping[str, Role] = field(default_factory=dict)
    """By ACI, or by number until the ACI behind it is known."""
    owns_account: bool = False
    """What is written on another device of the account to itself is an owner's."""
    projects: Mapping[str, Path] = field(default_factory=dict)

    def describe(self) -> dict[str, str]:
        """Each setting for a person, without anybody's number."""
        counts = {role: sum(1 for one in self.people.values() if one == role) for role in _NAMES}
        return {
            PREFIX + "SIGNAL_ACCOUNT": hidden(self.account) or "(none)",
            PREFIX + "SIGNAL_DAEMON": self.daemon or "(where signal-cli puts it)",
            **{PREFIX + name: f"({counts[role]})" for role, name in _NAMES.items()},
            PREFIX + "SIGNAL_NOTE_TO_SELF": str(int(self.owns_account)),
            PREFIX + "PROJECTS": ",".join(f"{name}={path}" for name, path in self.projects.items()) or "(none)",
        }


_NAMES: Final[dict[Role, str]] = {
    "owner": "SIGNAL_OWNERS",
    "approver": "SIGNAL_APPROVERS",
    "watcher": "SIGNAL_WATCHERS",
}


def read_signal(reader: Reader) -> SignalSettings:
    """Read them; what is wrong is kept by the reader for the end."""
    people: dict[str, Role] = {}
    for role, name in _NAMES.items():
        nobody: tuple[str, ...] = ()
        for one in reader.value(name, nobody, _people):
            if one in people:
                reader.problems.append(f"{PREFIX}{name} names {hidden(one)}, who is {_article(people[one])} already")
            people[one] = role
    return SignalSettings(
        account=reader.value("SIGNAL_ACCOUNT", "", _person),
        daemon=reader.value("SIGNAL_DAEMON", "", str),
        people=people,
        owns_account=reader.value("SIGNAL_NOTE_TO_SELF", False, flag),
        projects=reader.value("PROJECTS", {}, _projects(reader)),
    )


def _people(text: str) -> tuple[str, ...]:
    return tuple(_person(part.strip()) for part in text.split(",") if part.strip())


def _person(text: str) -> str:
    compact = text.lower() if "-" in text else re.sub(r"[ ()/]", "", text)
    if not (ACI.fullmatch(compact) or NUMBER.fullmatch(compact)):
        raise ValueError("must have numbers that begin with + and the country, or ACIs (Signal's uuids)")
    return compact


def _projects(reader: Reader) -> Callable[[str], dict[str, Path]]:
    def parse(text: str) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for part in (part.strip() for part in text.split(",")):
            name, sign, path = part.partition("=")
            if not part:
                continue
            if not sign or not _PROJECT.fullmatch(name.strip()):
                raise ValueError("must be name=path with commas between them")
            found[name.strip()] = reader.absolute(path.strip())
        return found

    return parse


def hidden(person: str) -> str:
    """Enough of a number or an ACI to recognise one's own."""
    return f"…{person[-2:]}" if person else ""


def _article(role: str) -> str:
    return f"an {role}" if role[0] in "ao" else f"a {role}"
