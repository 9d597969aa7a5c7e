"""Work in order: one lane for each chat, and no chat waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from handlers.signal.pauses import at_most


class Lanes:
    """Serves each chat in which something waits, by one task of its own, until nothing waits there.

    `serve` returns when its chat is done with; `closing` tells it to return after what it is at.
    """

    def __init__(
        self, waiting: Callable[[], Sequence[str]], serve: Callable[[str], Awaitable[None]], changed: asyncio.Event
    ) -> None:
        self._waiting = waiting
        self._serve = serve
        self._changed = changed
        self._busy: set[str] = set()
        self.closing = asyncio.Event()

    async def run(self) -> None:
        """Work until closed; raises what a lane fails with, since that is a bug."""
        async with asyncio.TaskGroup() as group:
            while not self.closing.is_set():
                self._changed.clear()
                for chat in self._waiting():
                    if chat not in self._busy:
                        self._busy.add(chat)
                        group.create_task(self._one(chat))
                await self._changed.wait()

    def close(self) -> None:
        """Take nothing up any more; `run` returns when the lanes have ended."""
        self.closing.set()
        self._changed.set()

    async def pause(self, seconds: float) -> None:
        """Wait, but not beyond the close."""
        await at_most(seconds, self.closing)

    async def _one(self, chat: str) -> None:
        try:
            await self._serve(chat)
        finally:
            self._busy.remove(chat)
            self._changed.set()
