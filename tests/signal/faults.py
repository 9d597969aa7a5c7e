"""What goes wrong: every answer of signal-cli that says so, and answers that do not come."""

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any, Literal

SUCCESS = "SUCCESS"


class Failed(Exception):
    """What an answer says under `error`."""

    def __init__(self, code: int, text: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(text)
        self.error = {"code": code, "message": text, "data": data}


class Violation(Exception):
    """The client asked for something that signal-cli or Signal's clients would not do as it is meant."""


@dataclass(frozen=True)
class Failure:
    """A code and a text; with `types` recipients fail one by one, the last type standing for all further ones."""

    code: int
    text: str
    types: tuple[str, ...] = ()
    token: str | None = None
    wait: int | None = None

    def type_of(self, index: int) -> str:
        """What happens to this recipient."""
        return self.types[min(index, len(self.types) - 1)]

    @property
    def extras(self) -> dict[str, Any]:
        """What a result of a rate limit carries besides its type."""
        given = {"token": self.token, "retryAfterSeconds": self.wait}
        return {name: value for name, value in given.items() if value is not None}


_SENDING = "Failed to send message"

FAILURES = {
    "network": Failure(-1, f"{_SENDING} due to network failure", ("NETWORK_FAILURE",)),
    "unregistered": Failure(-1, f"{_SENDING}: unregistered user", ("UNREGISTERED_FAILURE",)),
    "mixed": Failure(-1, f"{_SENDING} to all recipients", ("NETWORK_FAILURE", "UNREGISTERED_FAILURE")),
    "prekey": Failure(-1, _SENDING, ("INVALID_PRE_KEY_FAILURE",)),
    "identity": Failure(-4, f"{_SENDING} due to untrusted identities", ("IDENTITY_FAILURE",)),
    "rate limit": Failure(-5, f"{_SENDING} due to rate limiting", ("RATE_LIMIT_FAILURE",), wait=5),
    "captcha": Failure(-5, f"{_SENDING} due to rate limiting", ("RATE_LIMIT_FAILURE",), "a-token", 86400),
    "some": Failure(0, "", (SUCCESS, "NETWORK_FAILURE", "UNREGISTERED_FAILURE")),
    "io": Failure(-3, f"{_SENDING}: Connection reset"),
    "captcha rejected": Failure(-6, "Captcha rejected"),
    "not registered": Failure(-1, "User +15550000000 is not registered."),
    "limit as text": Failure(-32603, f"{_SENDING}: [429] Rate limit exceeded: 429 (RateLimitException)"),
    "internal": Failure(-32603, "Cannot invoke String.length() because x is null (NullPointerException)"),
    "account": Failure(-32602, "Specified account does not exist"),
    "parameters": Failure(-32602, "Method requires other parameters"),
    "method": Failure(-32601, "Method not implemented"),
    "request": Failure(-32600, "Invalid request"),
    "parse": Failure(-32700, "Parse error"),
}

# `lost`: done, and never answered. `late`: done, and answered when released. `cut`: done, half an answer and EOF.
# `dropped`: not done, and EOF.
Loss = Literal["lost", "late", "cut", "dropped"]


@dataclass(frozen=True)
class Fault:
    """What happens to one call."""

    failure: Failure | None = None
    loss: Loss | None = None
    released: asyncio.Event | None = None


class Faults:
    """What was ordered to go wrong, per method and in order; each order is used up once."""

    def __init__(self) -> None:
        self._ordered: defaultdict[str, deque[Fault]] = defaultdict(deque)

    def take(self, method: str) -> Fault:
        """What happens to this call."""
        ordered = self._ordered[method]
        return ordered.popleft() if ordered else Fault()

    def fails_next(self, method: str, kind: str, *, times: int = 1) -> None:
        """The next calls fail in a way that FAILURES names."""
        self._ordered[method].extend([Fault(FAILURES[kind])] * times)

    def loses_response(self, method: str) -> None:
        """The next call is done and never answered."""
        self._ordered[method].append(Fault(loss="lost"))

    def answers_late(self, method: str) -> asyncio.Event:
        """The next call is done, and answered when the event is set."""
        released = asyncio.Event()
        self._ordered[method].append(Fault(loss="late", released=released))
        return released

    def cuts_response(self, method: str) -> None:
        """The next call is done, and the connection ends in the middle of its answer."""
        self._ordered[method].append(Fault(loss="cut"))

    def drops_request(self, method: str) -> None:
        """The next call is not done, and the connection ends."""
        self._ordered[method].append(Fault(loss="dropped"))
