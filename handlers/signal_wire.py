"""Where signal-cli listens, and lines over one connection to it: a JSON object each."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from handlers.signal_errors import NoDaemon
from runtime.address import is_loopback

log = structlog.get_logger(__name__)

# A daemon on the same machine answers a connect at once or is not there.
_CONNECT_SECONDS: Final = 5.0
# An envelope may carry a text of 64 KiB, previews and styles; sixteen megabytes of one line are no message any more.
ENVELOPE_CAP_BYTES: Final = 16 * 2**20
# An answer may be a whole file in base64. Larger files are not handed on: asking for one ends with Unclear.
ANSWER_CAP_BYTES: Final = 64 * 2**20
# What lies here unread when the process dies is lost, so the reader of messages takes little at once.
ENVELOPE_CHUNK_BYTES: Final = 4 * 2**10
ANSWER_CHUNK_BYTES: Final = 256 * 2**10


@dataclass(frozen=True)
class Endpoint:
    """Where the daemon listens: a path, or a port of this machine."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"tcp:{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """`/path`, `unix:/path`, `tcp:host:port` or `host:port`; ValueError with a sentence for anything else."""
    path = text.removeprefix("unix:")
    if path.startswith("/"):
        return Endpoint(path=path)
    host, _, port = text.removeprefix("tcp:").rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if text.startswith("unix:") or not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{text!r} is no endpoint: give /path/to/socket, unix:/path, tcp:host:port or host:port")
    if not is_loopback(host):
        raise ValueError(f"{text!r} is not on this machine, and signal-cli asks nobody who they are: use 127.0.0.1")
    return Endpoint(host=host, port=int(port))


class Connection:
    """Lines in and lines out. Nothing is read before somebody asks: there is no buffer but what a chunk brought along."""

    def __init__(self, sock: socket.socket, *, cap: int, chunk: int) -> None:
        self._socket = sock
        self._cap = cap
        self._chunk = chunk
        self._unread = bytearray()

    @classmethod
    async def open(cls, endpoint: Endpoint, *, cap: int, chunk: int) -> Connection:
        """Connect, or NoDaemon."""
        sock, address = _socket(endpoint)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(sock, address)
        except OSError as error:  # a timeout is one of them
            sock.close()
            why = error.strerror or "no answer"
            raise NoDaemon(f"signal-cli does not listen at {endpoint}: {why}", remedy=_start(endpoint)) from error
        except BaseException:
            sock.close()
            raise
        return cls(sock, cap=cap, chunk=chunk)

    async def read(self) -> bytes | None:
        """The next line; None when the other side is gone, also in mid-line. Lines past the cap are passed over."""
        while (line := await self._line()) == b"":
            pass
        return line

    async def _line(self) -> bytes | None:
        searched = dropped = 0
        while (end := self._unread.find(b"\n", searched)) < 0:
            if len(self._unread) > self._cap:
                dropped += len(self._unread)
                self._unread.clear()
            searched = len(self._unread)
            if not (chunk := await self._receive()):
                self._ended()
                return None
            self._unread += chunk
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        if dropped or len(line) > self._cap:
            log.warning("a line of signal-cli's was too long", bytes=dropped + len(line), cap=self._cap)
            return b""
        return line

    async def _receive(self) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(self._socket, self._chunk)
        except OSError:
            return b""

    def _ended(self) -> None:
        if self._unread:
            log.warning("a line of signal-cli's was cut off", bytes=len(self._unread))

    async def write(self, data: bytes) -> None:
        """Send bytes, or OSError."""
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    def end(self) -> None:
        """Let whoever still writes or reads fail."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()


def _socket(endpoint: Endpoint) -> tuple[socket.socket, Any]:
    if endpoint.path:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        address: Any = endpoint.path
    else:
        sock = socket.socket(socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        address = (endpoint.host, endpoint.port)
    sock.setblocking(False)
    return sock, address


def _start(endpoint: Endpoint) -> str:
    option = f"--socket {Path(endpoint.path)}" if endpoint.path else f"--tcp {endpoint.host}:{endpoint.port}"
    return f"start it: signal-cli -a ACCOUNT daemon {option} --receive-mode=manual --no-receive-stdout"


def request(call_id: str, method: str, params: Mapping[str, object]) -> bytes:
    """The line that asks for something."""
    return json.dumps({"jsonrpc": "2.0", "id": call_id, "method": method, "params": params}).encode() + b"\n"


def parsed(line: bytes) -> dict[str, Any] | None:
    """The object on a line; None for anything else, which is logged by its size only: it may hold what people wrote."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    log.warning("a line of signal-cli's was not understood", bytes=len(line))
    return None
