"""The socket of a session, from before its claude exists."""

from __future__ import annotations

import os

from shim import sockets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.sockets import Socket

# One worker needs one connection; forty starters at once need forty for a moment.
PEERS = 128


class Listener:
    """Bound to its path, in a directory that is made when it is missing; whatever was there before is replaced."""

    def __init__(self, path: str) -> None:
        self.path = path
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        self._socket = sockets.stream()
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        self._socket.bind(path)
        self._inode = os.stat(path).st_ino
        self._socket.listen(PEERS)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def is_bound(self) -> bool:
        """Is the socket at our path ours?"""
        try:
            return os.stat(self.path).st_ino == self._inode
        except OSError:
            return False

    def accept(self) -> Socket | None:
        try:
            return sockets.accepted(self._socket)
        except OSError:
            return None

    def close(self) -> None:
        self._socket.close()

    def remove(self) -> None:
        """No newcomers, and nothing at the path for them."""
        self.close()
        if self.is_bound:
            os.unlink(self.path)
