"""The control socket: JSON lines, one object each way, for processes of the same user only."""

from __future__ import annotations

from shim.listener import PEERS, Listener
from shim.peer import Peer
from shim.poller import READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.peer import Session
    from shim.poller import Poller


class Control:
    """The listening socket and its peers, on the shim's poller."""

    def __init__(self, listener: Listener, poller: Poller, session: Session) -> None:
        self.session = session
        self._listener = listener
        self._poller = poller
        self._peers: set[Peer] = set()
        poller.watch(listener.fileno(), READ, self._accept)

    def ensure_reachable(self) -> None:
        """Bind again when a cleaner removed the socket; known peers keep their connections."""
        if self._listener.is_bound:
            return
        fresh = Listener(self._listener.path)
        self._poller.ignore(self._listener.fileno())
        self._listener.close()
        self._listener = fresh
        self._poller.watch(fresh.fileno(), READ, self._accept)

    def announce(self) -> None:
        """Tell followers how far the journal reaches; one that has not read the last hint gets no second one."""
        for peer in [peer for peer in self._peers if peer.follows]:
            peer.hint(self.session.journal_end)

    def close(self) -> None:
        """No newcomers. Peers learn of the end when the process is gone, and not before."""
        self._poller.ignore(self._listener.fileno())
        self._listener.remove()

    def forget(self, peer: Peer) -> None:
        self._peers.discard(peer)

    def _accept(self, _events: int) -> None:
        connection = self._listener.accept()
        if connection is None:
            return
        if len(self._peers) >= PEERS:
            connection.close()
            return
        self._peers.add(Peer(connection, self, self._poller))
