"""Messages on their way into claude's stdin."""

from __future__ import annotations

import os

from shim.poller import WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from shim.poller import Poller

# One very long message fits (Temporal refuses more than 2 MB); more would only hide that claude has stopped reading.
QUEUE_BYTES = 8 << 20

# A turn has two or three messages: this remembers the ids of a conversation of many thousand turns in about a megabyte.
_IDS_KEPT = 10_000


class Feed:
    """A bounded queue in front of a non-blocking pipe; each message id goes in once."""

    def __init__(self, fd: int, poller: Poller) -> None:
        self._fd = fd
        self._poller = poller
        self._queue = bytearray()
        self._seen: dict[str, None] = {}
        self.is_open = True

    def offer(self, message_id: str, data: bytes) -> Literal["written", "duplicate", "busy", "closed"]:
        """Take the message unless it is known, the queue is full, or nobody reads any more."""
        if message_id in self._seen:
            return "duplicate"
        if not self.is_open:
            return "closed"
        if len(self._queue) + len(data) > QUEUE_BYTES:
            return "busy"
        self._remember(message_id)
        if not self._queue:
            self._poller.watch(self._fd, WRITE, self.flush)
        self._queue += data
        self.flush()
        return "written"

    def flush(self, _events: int = 0) -> None:
        """Push what the pipe takes now."""
        try:
            written = os.write(self._fd, memoryview(self._queue)[: 1 << 16])
        except BlockingIOError:
            return
        except BrokenPipeError:
            self.close()
            return
        del self._queue[:written]
        if not self._queue:
            self._poller.ignore(self._fd)

    def close(self) -> None:
        """End of input for claude; what is still queued is dropped with it."""
        if not self.is_open:
            return
        self.is_open = False
        if self._queue:
            self._queue.clear()
            self._poller.ignore(self._fd)
        os.close(self._fd)

    def _remember(self, message_id: str) -> None:
        self._seen[message_id] = None
        if len(self._seen) > _IDS_KEPT:
            del self._seen[next(iter(self._seen))]
