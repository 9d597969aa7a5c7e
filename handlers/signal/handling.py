"""From a message in the inbox to all that comes of it: each chat's in order, each one's effect once."""

from __future__ import annotations

import time
from typing import Final

import structlog

from handlers.signal.desk import Desk, Done, Order, said
from handlers.signal.envelope import Received, read
from handlers.signal.inbox import Waiting
from handlers.signal.lanes import Lanes
from handlers.signal.news import catch_up
from handlers.signal.orders import registry, standing
from handlers.signal.pauses import growing
from handlers.signal.people import People
from handlers.signal_api import Refused as Undeliverable
from handlers.signal_api import SignalError
from workflows.errors import NoServer, NoWorker, QueueFull, SessionEnded, SessionError

# A message that fails by a bug is tried again, since the next release may mend it, but not for ever: others wait.
TRIES: Final = 5
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 15.0
# A turn lasts seconds at least, and a /stop that comes meanwhile must not wait for long.
FULL_PAUSE_SECONDS: Final = 1.0
# A handler that has just started reaches Temporal within that, and nobody need hear of it.
TELL_AFTER_SECONDS: Final = 2.0
_AWAY: Final = (
    "I have your message, but the server that runs the sessions does not answer. I go on by myself as soon as it does."
)
_FULL: Final = "I have your messages. Claude has as many as it can queue: the others follow as soon as there is room."

log = structlog.get_logger(__name__)


class Handling:
    """Does what waits in the inbox."""

    def __init__(self, desk: Desk, people: People) -> None:
        self._desk = desk
        self._people = people
        self._lanes = Lanes(desk.inbox.chats, self._serve, desk.inbox.changed)

    async def run(self) -> None:
        """Do what comes, until closed."""
        await self._lanes.run()

    def close(self) -> None:
        """Finish what is being done, and begin nothing more."""
        self._lanes.close()

    async def _serve(self, chat: str) -> None:
        failed, is_full, began = 0, False, time.monotonic()
        while not self._lanes.closing.is_set() and (waiting := self._next(chat, is_full=is_full)) is not None:
            try:
                done = await self._done(waiting)
            except (NoServer, NoWorker, QueueFull) as error:
                failed, is_full = failed + 1, isinstance(error, QueueFull)
                if time.monotonic() - began >= TELL_AFTER_SECONDS:
                    self._tell_that_it_waits(chat, waiting, error)
                await self._lanes.pause(FULL_PAUSE_SECONDS if is_full else _pause(failed))
                continue
            except Exception as error:
                failed += 1
                log.warning("a message could not be handled", key=waiting.key, tries=failed, exc_info=error)
                if failed < TRIES:
                    await self._lanes.pause(_pause(failed))
                    continue
                done = self._given_up(waiting, error)
            failed, began = 0, time.monotonic()
            self._finish(chat, waiting.key, done)

    def _next(self, chat: str, *, is_full: bool) -> Waiting | None:
        """The oldest message; in front of a full session first what is no work for it."""
        waiting = self._desk.inbox.all_of(chat)
        oldest = next(waiting, None)
        if oldest is None or not is_full:
            return oldest
        return next((one for one in waiting if (read := self._read(one)) and registry.is_urgent(read)), oldest)

    async def _done(self, waiting: Waiting) -> Done:
        order = self._order(waiting)
        if order is None:
            return Done()
        try:
            return await registry.done(self._desk, order)
        except (NoServer, NoWorker, QueueFull):
            raise
        except SessionEnded:
            return said(order.reply(standing.ENDED))
        except (SessionError, Undeliverable) as error:
            return said(order.reply(_sentence(str(error))))

    def _order(self, waiting: Waiting) -> Order | None:
        """The order, if whoever gave it may still do so."""
        message = self._read(waiting)
        role = self._people.role(message) if message else None
        if message is None or role is None:
            return None
        chat = self._desk.chats.of(message.chat.key)
        return Order(message=message, role=role, chat=chat, plan=waiting.plan)

    def _read(self, waiting: Waiting) -> Received | None:
        return read(waiting.told, self._desk.account)

    def _finish(self, chat: str, key: str, done: Done) -> None:
        """All that came of it, and that it is done, in one: nothing of it can be there without the rest."""
        with self._desk.store.change():
            for change in done.changes:
                change()
            state = self._desk.chats.of(chat)
            if state.is_waiting_told:
                self._desk.chats.change(chat, is_waiting_told=False)
            # Whoever writes is there: what was held back comes first.
            if not state.is_muted:
                catch_up(self._desk.outbox, chat, key)
            for letter in done.letters:
                self._desk.outbox.put(letter)
            self._desk.inbox.done(key)

    def _tell_that_it_waits(self, chat: str, waiting: Waiting, error: SessionError) -> None:
        """Once for each time: whoever waits knows that nothing is lost."""
        if self._desk.chats.of(chat).is_waiting_told:
            return
        log.warning("a message waits", key=waiting.key, why=str(error))
        order = self._order(waiting)
        with self._desk.store.change():
            if order is not None:
                self._desk.outbox.put(order.reply(_FULL if isinstance(error, QueueFull) else _AWAY, part="/waits"))
            self._desk.chats.change(chat, is_waiting_told=True)

    def _given_up(self, waiting: Waiting, error: Exception) -> Done:
        order = self._order(waiting)
        bug = f"I could not do this: a bug of durable-claude. The log has it under {waiting.key}."
        sentence = _sentence(str(error)) if isinstance(error, SignalError) else bug
        return said(order.reply(sentence)) if order else Done()


def _pause(failed: int) -> float:
    return growing(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, failed - 1)


def _sentence(text: str) -> str:
    """The sentence with a capital letter, as one begins in a chat."""
    return text[:1].upper() + text[1:]
