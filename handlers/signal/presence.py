"""That somebody is at work is shown while somebody is: best effort, forgotten by a restart, and never in the way."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from handlers.signal.chats import Chats
from handlers.signal.pauses import at_most
from handlers.signal_api import Chat, Signal, SignalError
from workflows.client import Sessions
from workflows.errors import SessionError

# Phones show it for fifteen seconds.
REFRESH_SECONDS: Final = 10.0
# A turn that takes longer is no conversation any more.
LONGEST_REFRESHES: Final = 180
# One who cannot be reached is not asked again every ten seconds.
LONGEST_PAUSE: Final = 30

log = structlog.get_logger(__name__)


class Presence:
    """The typing indicator of chats whose sessions work."""

    def __init__(self, signal: Signal) -> None:
        self._signal = signal
        self._working: dict[str, int] = {}
        self._skips: dict[str, int] = {}
        self._changed = asyncio.Event()

    def works(self, chat: str) -> None:
        """A turn of this chat's session runs."""
        self._working[chat] = 0
        self._changed.set()

    def rests(self, chat: str) -> None:
        """It runs no more, or waits for a person."""
        self._working.pop(chat, None)
        self._skips.pop(chat, None)

    async def remember(self, chats: Chats, sessions: Sessions) -> None:
        """Look once which sessions are at work, after a restart."""
        for chat in chats.known():
            if not chat.session_id:
                continue
            try:
                row = await sessions.glance(chat.session_id)
            except SessionError:
                continue
            if row.status == "busy":
                self.works(chat.chat)

    async def keep(self) -> None:
        """Show it, for ever."""
        while True:
            self._changed.clear()
            for chat in list(self._working):
                await self._show(chat)
            if self._working:
                await at_most(REFRESH_SECONDS, self._changed)
            else:
                await self._changed.wait()

    async def _show(self, chat: str) -> None:
        if self._skips.get(chat, 0) > 0:
            self._skips[chat] -= 1
            return
        shown = self._working.get(chat, LONGEST_REFRESHES) + 1
        if shown > LONGEST_REFRESHES:
            self._working.pop(chat, None)
            return
        self._working[chat] = shown
        try:
            await self._signal.typing(Chat.from_key(chat))
        except SignalError as error:
            # Somebody who hammers a failing service with trifles makes it fail for what matters.
            self._skips[chat] = min(LONGEST_PAUSE, 2 * shown)
            log.debug("typing could not be shown", why=str(error))
