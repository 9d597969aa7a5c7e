"""One connection to the control socket: its requests, and what it may do.

Every request carries `op` and a number `request`, which its answer repeats. The protocol has a version, told in
`hello`; a peer is nobody until it has said hello, and may then only ask for `status`.
"""

from __future__ import annotations

import binascii
import os

from shim import jsontext, sockets
from shim.feed import QUEUE_BYTES
from shim.layout import PROTOCOL
from shim.poller import READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from shim.poller import Poller
    from shim.sockets import Socket

    class Host(Protocol):
        """The socket this peer came through."""

        session: Session

        def forget(self, peer: Peer) -> None: ...

    class Session(Protocol):
        """What the socket drives."""

        fence: int

        def introduction(self) -> dict[str, Any]: ...
        def raise_fence(self, generation: int) -> None: ...
        def write(self, message_id: str, data: bytes) -> str: ...
        def stop(self, timeout: float) -> None: ...
        @property
        def journal_end(self) -> int: ...


# A full queue in base64 with room for its envelope: no honest line is longer.
_LINE_BYTES = QUEUE_BYTES * 4 // 3 + 4096

# A peer that does not read its answers is cut off before it costs real memory.
_OUTBOX_BYTES = 1 << 18

# Ids are uuids; this many are remembered in ten thousands.
_ID_CHARACTERS = 200


class Refused(Exception):
    """A request that is answered with an error; `kind` is for programs, the message for people."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Peer:
    """One connection: what it may do depends on the generation it has shown."""

    def __init__(self, connection: Socket, control: Host, poller: Poller) -> None:
        self._connection = connection
        self._control = control
        self._poller = poller
        self._inbox = bytearray()
        self._outbox = bytearray()
        self._generation: int | None = None
        self._is_same_user = _is_same_user(connection)
        self._told = -1
        self.follows = False
        connection.setblocking(False)
        poller.watch(connection.fileno(), READ, self._ready)

    def hint(self, journal_end: int) -> None:
        if journal_end == self._told or self._outbox:
            return
        self._told = journal_end
        try:
            self._send({"end": journal_end})
        except OSError:
            self._close()

    def _ready(self, events: int) -> None:
        try:
            if events & WRITE:
                self._flush()
            if events & READ:
                self._receive()
        except OSError:
            self._close()

    def _receive(self) -> None:
        try:
            chunk = self._connection.recv(1 << 16)
        except BlockingIOError:
            return
        if not chunk:
            self._close()
            return
        searched = len(self._inbox)
        self._inbox += chunk
        while (end := self._inbox.find(b"\n", searched)) >= 0:
            line, searched = bytes(self._inbox[:end]), 0
            del self._inbox[: end + 1]
            self._answer(line)
        if len(self._inbox) > _LINE_BYTES:
            self._close()

    def _answer(self, line: bytes) -> None:
        number: Any = None
        try:
            request = _parse(line)
            number = _correlation(request)
            self._send({"request": number, "ok": True, **self._perform(request)})
        except Refused as refusal:
            self._send({"request": number, "ok": False, "error": refusal.kind, "message": str(refusal)})

    def _perform(self, request: dict[str, Any]) -> dict[str, Any]:
        session, op = self._control.session, request.get("op")
        if not self._is_same_user:
            raise Refused("forbidden", "this session belongs to another user")
        if op == "status":
            return session.introduction()
        if op == "hello":
            return self._hello(request)
        self._check_generation(op)
        if op == "write":
            return self._write(request)
        if op == "follow":
            self.follows, self._told = True, session.journal_end
            return {"end": self._told}
        if op == "stop":
            session.stop(_number(request, "timeout"))
            return {}
        raise Refused("unknown-op", f"{op!r:.80} is not an operation of protocol {PROTOCOL}")

    def _hello(self, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("protocol") != PROTOCOL:
            raise Refused("protocol", f"this shim speaks protocol {PROTOCOL}, not {request.get('protocol')!r:.80}")
        self._generation = int(_number(request, "generation"))
        self._control.session.raise_fence(self._generation)
        self._check_generation("hello")
        return self._control.session.introduction()

    def _check_generation(self, op: object) -> None:
        fence = self._control.session.fence
        if self._generation is None:
            raise Refused("hello-first", f"say hello before {op!r:.80}")
        if self._generation < fence:
            raise Refused("fenced", f"generation {self._generation} has been replaced by {fence}")

    def _write(self, request: dict[str, Any]) -> dict[str, Any]:
        message_id = request.get("id")
        if not isinstance(message_id, str) or not 0 < len(message_id) <= _ID_CHARACTERS:
            raise Refused(
                "malformed", f"a write needs an id of 1 to {_ID_CHARACTERS} characters, not {message_id!r:.80}"
            )
        try:
            data = binascii.a2b_base64(request["data"], strict_mode=True)
        except (KeyError, TypeError, ValueError) as error:
            raise Refused("malformed", f"the data of a write is base64: {error}") from None
        outcome = self._control.session.write(message_id, data)
        if outcome == "busy":
            raise Refused("busy", "claude has not read the earlier messages yet: try again later")
        if outcome == "closed":
            raise Refused("closed", "claude no longer reads its input")
        return {"outcome": outcome}

    def _send(self, message: dict[str, Any]) -> None:
        self._outbox += jsontext.dumps(message) + b"\n"
        if len(self._outbox) > _OUTBOX_BYTES:
            raise ConnectionError("the peer does not read its answers")
        self._flush()

    def _flush(self) -> None:
        try:
            sent = self._connection.send(self._outbox) if self._outbox else 0
        except BlockingIOError:
            sent = 0
        del self._outbox[:sent]
        wanted = READ | (WRITE if self._outbox else 0)
        self._poller.watch(self._connection.fileno(), wanted, self._ready)

    def _close(self) -> None:
        self._control.forget(self)
        self._poller.ignore(self._connection.fileno())
        self._connection.close()


def _parse(line: bytes) -> dict[str, Any]:
    try:
        request = jsontext.loads(line)
    except (ValueError, RecursionError):
        raise Refused("malformed", f"not a line of JSON: {line[:80]!r}") from None
    if not isinstance(request, dict):
        raise Refused("malformed", f"not a JSON object: {line[:80]!r}")
    return request


def _correlation(request: dict[str, Any]) -> int | None:
    """What an answer repeats so that its asker knows it again."""
    number = request.get("request")
    return number if isinstance(number, int) else None


def _number(request: dict[str, Any], name: str) -> float:
    value = request.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise Refused("malformed", f"{name!r} is a number from 0 to 1e9, not {value!r:.80}")
    return value


def _is_same_user(connection: Socket) -> bool:
    """On macOS, where the kernel does not tell, the private directory must do."""
    uid = sockets.peer_uid(connection)
    return uid is None or uid == os.geteuid()
