"""What claude does while it works, in one message that is edited: for chats that want to hear everything."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

from claude.identity import message_id
from handlers.signal.harmless import one_line
from handlers.signal_api import Chat, Signal, SignalError
from handlers.telling import Item, Teller
from workflows.client import Sessions
from workflows.errors import SessionError

# Phones take ten edits of a message within a day: soon at first, so that the last of them comes after an hour and more.
PAUSES_SECONDS: Final = (4, 6, 10, 20, 40, 80, 160, 320, 640, 1280, 2560)
# The latest things; what came before them is over.
SHOWN: Final = 5
_TOLD: Final = {"tool": "⚙", "said": "…", "waiting": "⏳", "restart": "↻"}

log = structlog.get_logger(__name__)


class Progress:
    """Best effort, and of no consequence: what counts comes as a message of its own."""

    def __init__(self, signal: Signal) -> None:
        self._signal = signal
        self._running: dict[str, asyncio.Task[None]] = {}

    def begin(self, chat: str, sessions: Callable[[], Sessions], session_id: str, turn_id: str) -> None:
        """Show what the turn does, until it ends; a chat has one turn that is shown."""
        if chat not in self._running:
            self._running[chat] = asyncio.create_task(self._show(chat, sessions, session_id, turn_id))

    def end(self, chat: str) -> None:
        """The turn is over."""
        if task := self._running.pop(chat, None):
            task.cancel()

    async def close(self) -> None:
        """Show nothing any more."""
        tasks = list(self._running.values())
        for chat in list(self._running):
            self.end(chat)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _show(self, chat: str, sessions: Callable[[], Sessions], session_id: str, turn_id: str) -> None:
        lines: deque[str] = deque(maxlen=SHOWN)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow(lines, sessions(), session_id, turn_id))
                group.create_task(self._edit(chat, lines))
        except* (SessionError, SignalError) as errors:
            log.info("progress is not shown", session=session_id, why=str(errors.exceptions[0]))

    async def _follow(self, lines: deque[str], sessions: Sessions, session_id: str, turn_id: str) -> None:
        teller, since = Teller(), message_id(session_id, turn_id)
        async with contextlib.aclosing(sessions.journal(session_id, since=since, follow=True)) as written:
            async for line in written:
                lines.extend(_line(item) for item in teller.tell(line) if item.kind in _TOLD)

    async def _edit(self, chat: str, lines: deque[str]) -> None:
        timestamp, shown = 0, ""
        for pause in PAUSES_SECONDS:
            await asyncio.sleep(pause)
            text = "\n".join(lines)
            if text and text != shown:
                sent = await self._signal.send(Chat.from_key(chat), text, edits=timestamp, silent=True)
                timestamp, shown = timestamp or sent.timestamp, text


def _line(item: Item) -> str:
    return f"{_TOLD[item.kind]} {one_line(item.text, 100)}"
