"""Waiting for descriptors with select.poll: the selectors module could do no more here, and takes 2 ms to import."""

from __future__ import annotations

import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[[int], object]

READ = select.POLLIN
WRITE = select.POLLOUT


class Poller:
    """Calls whoever watches a descriptor that is ready, with what it is ready for."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._watched: dict[int, tuple[int, Call]] = {}

    def watch(self, fd: int, events: int, call: Call) -> None:
        """Call when it is ready for one of these; once more for the same descriptor replaces the first."""
        self._watched[fd] = events, call
        self._poll.register(fd, events)

    def ignore(self, fd: int) -> None:
        del self._watched[fd]
        self._poll.unregister(fd)

    def run(self, seconds: float) -> None:
        """Wait for this long at most, and make the calls that are due."""
        # Rounded up: waking too early would spin until the moment has come.
        for fd, found in self._poll.poll(-int(-seconds * 1000 // 1)):
            # An earlier call of this round may have lost interest in it.
            if fd in self._watched:
                wanted, call = self._watched[fd]
                call(wanted & _readiness(found))


def _readiness(found: int) -> int:
    """An end or an error makes a descriptor ready for both: whoever tries learns what it is."""
    return (READ if found & ~WRITE else 0) | (WRITE if found & ~READ else 0)
