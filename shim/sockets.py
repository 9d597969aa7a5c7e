"""Sockets by the C half of the socket module: the other half is enums and selectors, 10 ms of a shim's start.

`_socket` is not public; where it lacks what is used here, the module is used.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
else:
    try:
        import _socket as socket

        socket.socket._accept  # noqa: B018, SLF001 - is it there?
    except (ImportError, AttributeError):
        import socket

Socket = socket.socket

# Three ints: pid, uid, gid.
_CREDENTIALS_BYTES = 12


def stream() -> Socket:
    """A new UNIX socket."""
    return Socket(socket.AF_UNIX, socket.SOCK_STREAM)


def accepted(listener: Socket) -> Socket:
    """The next connection."""
    if hasattr(listener, "accept"):
        return listener.accept()[0]
    descriptor, _ = listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - all that its C half has
    return Socket(fileno=descriptor)


def peer_uid(connection: Socket) -> int | None:
    """Who is at the other end, told by the kernel; None on macOS, which has no SO_PEERCRED."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS_BYTES)
    return int.from_bytes(credentials[4:8], sys.byteorder)
