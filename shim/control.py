"""The control socket: JSON lines, one object each way, for processes of the same user only."""

from __future__ import annotations

import os
import selectors
import socket

from shim.peer import Peer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.peer import Session

# One worker needs one connection; forty starters at once need forty for a moment.
_PEERS = 128


class Control:
    """The listening socket and its peers, on the shim's selector."""

    def __init__(self, path: str, selector: selectors.BaseSelector) -> None:
        self._path = path
        self._selector = selector
        self._peers: set[Peer] = set()
        self.session: Session
        self._listener = self._listen()

    def ensure_reachable(self) -> None:
        """Bind again when a cleaner removed the socket; known peers keep their connections."""
        if self._is_bound():
            return
        fresh = self._listen()
        self._close_listener()
        self._listener = fresh

    def announce(self) -> None:
        """Tell followers how far the journal reaches; one that has not read the last hint gets no second one."""
        for peer in [peer for peer in self._peers if peer.follows]:
            peer.hint(self.session.journal_end)

    def close(self) -> None:
        """No newcomers. Peers learn of the end when the process is gone, and not before."""
        self._close_listener()
        if self._is_bound():
            os.unlink(self._path)

    def forget(self, peer: Peer) -> None:
        self._peers.discard(peer)

    def _listen(self) -> socket.socket:
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass
        listener.bind(self._path)
        self._inode = os.stat(self._path).st_ino
        listener.listen(_PEERS)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        return listener

    def _is_bound(self) -> bool:
        """Is the socket at our path ours?"""
        try:
            return os.stat(self._path).st_ino == self._inode
        except OSError:
            return False

    def _accept(self, _events: int) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        if len(self._peers) >= _PEERS:
            connection.close()
            return
        self._peers.add(Peer(connection, self, self._selector))

    def _close_listener(self) -> None:
        self._selector.unregister(self._listener)
        self._listener.close()
