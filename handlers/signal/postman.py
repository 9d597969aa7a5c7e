"""Brings letters out: each chat's in order, each once, and says so when it cannot be known whether one arrived."""

from __future__ import annotations

import time
from typing import Final

import structlog

from handlers.signal.lanes import Lanes
from handlers.signal.letters import SEEN, Letter
from handlers.signal.outbox import Outbox, Posted
from handlers.signal.pauses import growing
from handlers.signal.prompts import Prompts
from handlers.signal.store import Store
from handlers.signal_api import Chat, NotSent, Quote, RateLimited, Refused, Signal, Unclear

# A network that is away comes back within minutes; asking more often than this only adds to its trouble.
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
# After this many tries the operator hears of it, once for each letter.
TOLD_AT_TRY: Final = 5
# Who has waited longer has looked away; and after a long outage nobody wants a hundred of them ahead of the answer.
SEEN_SECONDS: Final = 60.0
# The beginning of the key of a letter that says of another one that it may be missing.
DOUBT: Final = "doubt/"
DOUBT_WORDS: Final = "may not have reached you"

log = structlog.get_logger(__name__)


class Postman:
    """Takes letters from the outbox to Signal."""

    def __init__(self, store: Store, outbox: Outbox, prompts: Prompts, signal: Signal) -> None:
        self._store = store
        self._outbox = outbox
        self._prompts = prompts
        self._signal = signal
        self._lanes = Lanes(outbox.chats, self._serve, outbox.changed)
        self._recover()

    async def run(self) -> None:
        """Bring out what comes, until closed."""
        await self._lanes.run()

    def close(self) -> None:
        """Finish what is on its way, and begin nothing more."""
        self._lanes.close()

    def _recover(self) -> None:
        """An earlier process died while it was sending these. What can be repeated without harm is; the rest is told."""
        for letter in self._outbox.interrupted():
            if letter.emoji:
                self._outbox.later(letter.key, 0)
            else:
                self._doubt(letter, "the handler ended while it was sending")

    async def _serve(self, chat: str) -> None:
        while not self._lanes.closing.is_set() and (posted := self._outbox.next(chat)) is not None:
            if (early := posted.not_before - time.time()) > 0:
                await self._lanes.pause(early)
                continue
            if _is_stale(posted):
                self._outbox.close(posted.letter.key, "told")
                continue
            await self._deliver(posted)

    async def _deliver(self, posted: Posted) -> None:
        letter = posted.letter
        self._outbox.begin(letter.key)
        try:
            timestamp = await self._hand_over(letter)
        except NotSent as error:
            self._postpone(posted, error)
        except Refused as error:
            log.error("a message cannot be delivered", key=letter.key, why=str(error), remedy=error.remedy)
            self._outbox.close(letter.key, "failed")
        except Unclear as error:
            # A reaction that is repeated takes the place of the first one.
            if letter.emoji:
                self._outbox.later(letter.key, self._pause(posted))
            else:
                self._doubt(letter, str(error))
        else:
            self._delivered(letter, timestamp)

    async def _hand_over(self, letter: Letter) -> int:
        """Give it to Signal; the time by which Signal knows it, 0 for a reaction."""
        chat = Chat.from_key(letter.chat)
        if letter.emoji:
            await self._signal.react(chat, letter.emoji, letter.author, letter.target)
            return 0
        quote = Quote(letter.target, letter.author, letter.quoted) if letter.target else None
        sent = await self._signal.send(
            chat, letter.text, styles=letter.styles, files=letter.files, quote=quote, silent=letter.is_silent
        )
        if sent.failed:
            log.warning(
                "not all members of the group got a message", key=letter.key, failed=sorted(sent.failed.values())
            )
        return sent.timestamp

    def _delivered(self, letter: Letter, timestamp: int) -> None:
        with self._store.change():
            self._outbox.close(letter.key, "sent", timestamp)
            if letter.approval_id:
                self._prompts.sent(letter.chat, letter.session_id, letter.approval_id, timestamp)

    def _postpone(self, posted: Posted, error: NotSent) -> None:
        if posted.letter.key.startswith(SEEN) and isinstance(error, RateLimited):
            # What is allowed is for what matters.
            self._outbox.close(posted.letter.key, "told")
            return
        pause = self._pause(posted) if error.wait_seconds is None else error.wait_seconds
        told = log.error if posted.tries + 1 == TOLD_AT_TRY or error.remedy else log.info
        told("a message waits", key=posted.letter.key, why=str(error), remedy=error.remedy, again_in_seconds=pause)
        self._outbox.later(posted.letter.key, pause)

    def _pause(self, posted: Posted) -> float:
        return growing(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, posted.tries)

    def _doubt(self, letter: Letter, why: str) -> None:
        """It may have arrived, and a second one would be worse than a question: say that it may be missing."""
        log.warning("it is not known whether a message arrived", key=letter.key, why=why)
        with self._store.change():
            self._outbox.close(letter.key, "unclear")
            # Of a doubt there is no doubt to tell: it would go on for ever.
            if not letter.key.startswith(DOUBT):
                self._outbox.put(_told_of(letter))


def _is_stale(posted: Posted) -> bool:
    """Whether it says that a message was seen, when more has been said of it, or nobody wonders any more."""
    return posted.letter.key.startswith(SEEN) and time.time() - posted.at > SEEN_SECONDS


def _told_of(letter: Letter) -> Letter:
    repeat = "/status shows the question" if letter.approval_id else "/last shows the latest answer"
    about = f": “{letter.gist}”" if letter.gist else ""
    return Letter(
        key=DOUBT + letter.key,
        chat=letter.chat,
        text=f"⚠ My last message {DOUBT_WORDS}{about}. {repeat}.",
        gist="a message may be missing",
    )
