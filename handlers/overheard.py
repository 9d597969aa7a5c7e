"""What a session's claude says and does while a person talks with it, whoever asked for it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from claude.identity import message_id
from handlers import console
from handlers.logs import Place, print_item
from handlers.telling import Item, Teller
from workflows.client import Sessions
from workflows.errors import SessionError

# The turn's end is known: what was written before it is milliseconds away, or its host is.
_CATCH_UP_SECONDS: Final = 2.0


class Overheard:
    """Prints the journal from where the conversation began; knows which turns' answers were printed."""

    def __init__(self, sessions: Sessions, session_id: str) -> None:
        self._sessions = sessions
        self._session_id = session_id
        self._teller = Teller()
        self._place = Place()
        self._typed: set[str] = set()
        self._asked: list[str] = []
        self._answered: set[str] = set()
        self._moved = asyncio.Event()
        self._is_deaf = False

    async def begin(self, running_turn: str) -> None:
        """Take the place to listen from: the running turn's beginning, or where the journal ends now."""
        if running_turn:
            self._place = Place(since=message_id(self._session_id, running_turn))
            return
        try:
            generation, offset = await self._sessions.journal_end(self._session_id)
            self._place = Place(generation=generation, offset=offset)
        except SessionError as error:
            self._give_up(error)

    async def listen(self) -> None:
        """Print what comes, until the session is over."""
        if self._is_deaf:
            return
        lines = self._sessions.journal(self._session_id, **self._place, follow=True)
        try:
            async with contextlib.aclosing(lines):
                async for line in lines:
                    for item in self._teller.tell(line):
                        self._take(item)
        except SessionError as error:
            self._give_up(error)

    def will_ask(self, turn_id: str) -> None:
        """What the person typed stands on the screen already."""
        self._typed.add(message_id(self._session_id, turn_id))

    async def has_told(self, turn_id: str) -> bool:
        """Whether the answer of a turn that has ended was printed, or comes within a moment."""
        message = message_id(self._session_id, turn_id)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CATCH_UP_SECONDS):
                while message not in self._answered and not self._is_deaf:
                    self._moved.clear()
                    await self._moved.wait()
        return message in self._answered

    def _take(self, item: Item) -> None:
        if item.kind == "asked":
            self._asked.append(item.more["message"])
        if item.kind == "result":
            # A claude that was started again answers a message by another one's name.
            ours = self._typed.intersection(self._asked)
            self._answered.update(self._asked, item.more["messages"])
            self._asked.clear()
            self._moved.set()
            if item.is_error and ours:
                # What became of it is said by who waits for the turn.
                return
        if item.kind != "question" and not (item.kind == "asked" and item.more["message"] in self._typed):
            print_item(item)

    def _give_up(self, error: SessionError) -> None:
        self._is_deaf = True
        self._moved.set()
        console.note(f"{error}; answers are shown when they are there")
