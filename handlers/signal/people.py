"""Who may do what: known by their account, and by their number only until the account behind it has been seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog

from handlers.signal.envelope import Received
from handlers.signal.store import Store
from runtime.signal_settings import Role, hidden

# What each may do includes what those after it may.
RANKS: Final[tuple[Role, ...]] = ("owner", "approver", "watcher")
# Stands for the number of our own account.
_SELF: Final = "self"

log = structlog.get_logger(__name__)


class People:
    """The people the operator named. Everybody else is a stranger, and is not even told so."""

    def __init__(self, store: Store, roles: Mapping[str, Role], *, owns_account: bool) -> None:
        self._store = store
        self._roles = dict(roles)
        self._owns_account = owns_account
        """What the account's owner writes to themselves is an owner's."""

    def role(self, received: Received) -> Role | None:
        """What the sender is; None for a stranger, and for somebody else with a number that was known."""
        if received.is_own:
            return self._own(received)
        if (role := self._roles.get(received.aci)) is not None:
            return role
        named = self._roles.get(received.number) if received.number else None
        # Also when they hide their number by now.
        if (role := self._pinned(received.aci)) is not None:
            return role
        return named if named is not None and self._pin(received) else None

    def is_known(self, aci: str) -> bool:
        """Whether somebody of this account may hear what sessions tell."""
        is_own = self._owns_account and self._store.row("SELECT 1 FROM people WHERE number = ? AND aci = ?", _SELF, aci)
        return bool(is_own) or aci in self._roles or self._pinned(aci) is not None

    def _pinned(self, aci: str) -> Role | None:
        """What somebody is by a number that was theirs when it was first seen, if the operator still names it."""
        numbers = [row["number"] for row in self._store.rows("SELECT number FROM people WHERE aci = ?", aci)]
        return next((self._roles[number] for number in numbers if number in self._roles), None)

    def _own(self, received: Received) -> Role | None:
        if not self._owns_account:
            return None
        self._store.write("INSERT OR REPLACE INTO people (number, aci) VALUES (?, ?)", _SELF, received.aci)
        return "owner"

    def _pin(self, received: Received) -> bool:
        """Whether the number may be believed; the first account that has it is the one that is meant."""
        if not received.aci:
            return False
        with self._store.change():
            self._store.write("INSERT OR IGNORE INTO people (number, aci) VALUES (?, ?)", received.number, received.aci)
            known = self._store.row("SELECT aci FROM people WHERE number = ?", received.number)
        if known is not None and known["aci"] == received.aci:
            log.info("the account behind a number is known now", number=hidden(received.number))
            return True
        log.warning(
            "a known number came from another account and is not believed; if its owner has a new account, "
            "name that one by its ACI",
            number=hidden(received.number),
            aci=received.aci,
        )
        return False


def may(role: Role, needed: Role) -> bool:
    """Whether one who is `role` may do what it takes to be `needed`."""
    return RANKS.index(role) <= RANKS.index(needed)
