"""One question to a living shim, for a launcher that wants to know whether there is one."""

from __future__ import annotations

from shim import jsontext, sockets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from shim.sockets import Socket

# A living shim answers within a millisecond; one that is stopped or starved may not hold up a start for long.
_PATIENCE_SECONDS = 2.0


def status(path: str) -> dict[str, Any] | None:
    """The introduction of the shim that listens here; None when nobody does or nobody answers."""
    connection = sockets.stream()
    try:
        connection.settimeout(_PATIENCE_SECONDS)
        connection.connect(path)
        connection.sendall(b'{"op": "status", "request": 1}\n')
        answer = jsontext.loads(_line(connection))
    except (OSError, ValueError):
        return None
    finally:
        connection.close()
    return answer if isinstance(answer, dict) and answer.get("ok") else None


def _line(connection: Socket) -> bytes:
    line = b""
    while not line.endswith(b"\n") and (chunk := connection.recv(1 << 16)):
        line += chunk
    return line
