"""The way a session ends: end of input, SIGTERM, SIGKILL, until the kernel knows of no descendant."""

from __future__ import annotations

import time

from shim.tree import KILL_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from shim.feed import Feed
    from shim.tree import Tree

# An idle claude ends 15 ms after the end of its input; a busy one would finish its turn first, so this is short.
_END_OF_INPUT_SECONDS = 0.3

# What claude started (servers, watchers) gets this long to save its work after claude itself is gone.
LEFTOVERS_SECONDS = 1.0

# Of a short timeout, the share that each of the two polite steps above may use.
_SHARE = 0.25

# A new orphan may arrive without any signal to us, so look again this soon.
_LOOK_SECONDS = 0.02


class Ladder:
    """A climb that is resumed on every event; it needs nobody but the shim to reach its end."""

    def __init__(self, tree: Tree, feed: Feed, timeout: float) -> None:
        self._tree = tree
        self._feed = feed
        self._deadline = time.monotonic() + timeout

    def hurry(self, timeout: float) -> None:
        """A second request may shorten the climb, never lengthen it."""
        self._deadline = min(self._deadline, time.monotonic() + timeout)

    def steps(self) -> Iterator[float]:
        """Each `next` does what is due and gives the time of the next look."""
        yield from self._end_input()
        yield from self._ask_leader()
        yield from self._ask_leftovers()
        yield from self._kill()

    def _end_input(self) -> Iterator[float]:
        self._feed.close()
        began = time.monotonic()
        while self._tree.leader_lives and (until := self._until(began, _END_OF_INPUT_SECONDS)) > time.monotonic():
            yield until

    def _ask_leader(self) -> Iterator[float]:
        if self._tree.leader_lives and self._deadline > time.monotonic():
            self._tree.ask([self._tree.leader])
        reserve = min(LEFTOVERS_SECONDS, _SHARE * (self._deadline - time.monotonic()))
        while self._tree.leader_lives and self._deadline - reserve > time.monotonic():
            yield self._deadline - reserve

    def _ask_leftovers(self) -> Iterator[float]:
        began, asked = time.monotonic(), set[int]()
        while not self._tree.is_empty and min(self._deadline, began + LEFTOVERS_SECONDS) > time.monotonic():
            children = set(self._tree.children())
            self._tree.ask(children - asked)
            asked = children
            yield time.monotonic() + _LOOK_SECONDS

    def _kill(self) -> Iterator[float]:
        give_up = time.monotonic() + KILL_SECONDS
        while not self._tree.is_empty and time.monotonic() < give_up:
            self._tree.kill()
            yield time.monotonic() + _LOOK_SECONDS

    def _until(self, began: float, seconds: float) -> float:
        return began + min(seconds, _SHARE * (self._deadline - began))
