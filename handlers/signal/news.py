"""What sessions tell: the activity `notify`, which keeps each notice as letters for its chat."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from handlers.signal.attachment import attachment
from handlers.signal.chats import ChatState
from handlers.signal.desk import Desk
from handlers.signal.hearing import hearing
from handlers.signal.letters import Letter
from handlers.signal.outbox import Outbox
from handlers.signal.people import People
from handlers.signal.wording import letters
from handlers.signal_api import Chat
from workflows.errors import SessionError
from workflows.notices import NOTICE_REFUSED, NOTIFY, Notice

# One line for each thing that was missed; a phone shows that many without a tap.
TOLD_LINES: Final = 15

log = structlog.get_logger(__name__)


class News:
    """Takes notices for chats. One that comes again is recognised by its key."""

    def __init__(self, desk: Desk, people: People) -> None:
        self._desk = desk
        self._people = people

    @activity.defn(name=NOTIFY)
    async def notify(self, notice: Notice) -> str:
        """Keep what is to be told; what becomes of it: told, held back, or not wanted. Raises NoticeRefused for strangers."""
        if not self._may_hear(notice.address):
            raise ApplicationError(
                f"nobody who may hear it is in chat {notice.address!r}", type=NOTICE_REFUSED, non_retryable=True
            )
        chat = self._desk.chats.of(notice.address)
        asked_ago = self._desk.inbox.since(notice.report.turn_id, notice.address) if notice.report else None
        heard = hearing(notice, chat, datetime.now().astimezone(), asked_ago)
        whole = await self._whole_answer(notice)
        with self._desk.store.change():
            self._note(notice, chat)
            for letter in letters(self._desk, notice, whole, is_silent=heard.is_silent):
                # A mark on a message makes no noise, and without it its writer would be left in doubt.
                if letter.emoji or heard.is_told or heard.is_held:
                    self._desk.outbox.put(letter, is_held=heard.is_held and not letter.emoji)
        return heard.word

    def _may_hear(self, address: str) -> bool:
        chat = Chat.from_key(address)
        # Nothing of a group that is not for a session is ever taken; and what it is for is written down a moment after
        # the session has begun to tell.
        return self._desk.inbox.has_heard(address) if chat.group else self._people.is_known(chat.person)

    def _note(self, notice: Notice, chat: ChatState) -> None:
        match notice.kind:
            case "turn":
                self._desk.presence.rests(notice.address)
                self._desk.progress.end(notice.address)
                if notice.report is not None and notice.session_id == chat.session_id:
                    self._desk.chats.change(notice.address, last_turn=notice.report.turn_id)
            case "question" if notice.approval is not None:
                self._desk.presence.rests(notice.address)
                # A notice that comes again must not open what was answered meanwhile.
                if self._desk.outbox.state(notice.key) is None:
                    self._desk.prompts.ask(notice.address, notice.session_id, notice.approval)
            case "settled" if notice.approval is not None:
                self._desk.presence.works(notice.address)
                self._desk.prompts.close(notice.session_id, notice.approval.approval_id)
            case "status" if notice.status in ("stopped", "failed"):
                self._desk.presence.rests(notice.address)
                self._desk.prompts.close_all(notice.session_id)

    async def _whole_answer(self, notice: Notice) -> str:
        ended = notice.report.ended if notice.report else None
        if ended is None or not ended.text_truncated or self._desk.outbox.state(notice.key) is not None:
            return ended.text if ended else ""
        try:
            return await self._desk.sessions.full_text(notice.session_id, ended.turn_id)
        except SessionError as error:
            # The journal goes with its host and its session; the beginning is better than nothing, and says so.
            log.info("the whole answer cannot be read", session=notice.session_id, why=str(error))
            return ended.text + "\n\n… (the rest is only in the session's journal)"


def catch_up(outbox: Outbox, chat: str, key: str) -> None:
    """Put one message into the outbox for all that was held back."""
    held = outbox.held(chat)
    if not held:
        return
    for letter in held:
        outbox.close(letter.key, "told")
    lines = [f"· {letter.gist}" for letter in held[-TOLD_LINES:]]
    if len(held) > TOLD_LINES:
        lines.insert(0, f"… and {len(held) - TOLD_LINES} earlier ones")
    whole = "\n\n---\n\n".join(letter.text for letter in held if letter.text)
    count = "One message" if len(held) == 1 else f"{len(held)} messages"
    outbox.put(
        Letter(
            key=f"catch-up/{key}",
            chat=chat,
            text="\n".join([f"{count} while it was quiet:", *lines]),
            # A long answer is only begun in its letter, and whole in its file.
            files=(attachment("while-it-was-quiet.md", whole), *(file for letter in held for file in letter.files)),
            gist=f"{count} while it was quiet",
        )
    )
