"""Whether a chat hears of something now, later, without a sound, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from handlers.signal import quiet
from handlers.signal.chats import ChatState, Level
from workflows.notices import Notice

Weight = Literal["urgent", "milestones", "everything"]
# So long somebody looks at the phone again for an answer, before sleep is likelier.
AWAKE_SECONDS: Final = 15 * 60.0
_ORDER: Final[dict[Level, int]] = {"urgent": 0, "milestones": 1, "everything": 2}


@dataclass(frozen=True)
class Hearing:
    """What is to be done with a notice."""

    word: Literal["told", "held back", "not wanted"]
    is_silent: bool = False

    @property
    def is_told(self) -> bool:
        """It goes out at once."""
        return self.word == "told"

    @property
    def is_held(self) -> bool:
        """It goes out with others, when it is quiet no more."""
        return self.word == "held back"


def hearing(notice: Notice, chat: ChatState, now: datetime, asked_ago: float | None = None) -> Hearing:
    """What the chat's people want at this moment; `asked_ago` is since how many seconds one of them waits for this."""
    if _ORDER[weight(notice)] > _ORDER[chat.level]:
        return Hearing("not wanted")
    if not chat.is_muted and not is_quiet(chat, now):
        return Hearing("told")
    # Nobody can answer a question that is held back, and unanswered it is denied. And whoever writes in quiet hours is
    # awake; a mute was asked for by somebody who was.
    is_waited_for = asked_ago is not None and asked_ago < AWAKE_SECONDS and not chat.is_muted
    return Hearing("told", is_silent=True) if notice.kind == "question" or is_waited_for else Hearing("held back")


def is_quiet(chat: ChatState, now: datetime) -> bool:
    """Whether these are hours in which the chat is left in peace."""
    hours = quiet.parse(chat.quiet) if chat.quiet else None
    return hours is not None and hours.covers(now)


def weight(notice: Notice) -> Weight:
    """How much somebody must want to hear to be told this."""
    ended = notice.report.ended if notice.report else None
    match notice.kind:
        case "question":
            return "urgent"
        case "turn":
            went_wrong = notice.report is not None and (
                notice.report.state == "failed" or bool(ended and ended.is_error)
            )
            return "urgent" if went_wrong else "milestones"
        case "status":
            return _of_status(notice.status)
        case "settled":
            return "milestones"
        case _:
            return "milestones"


def _of_status(status: str) -> Weight:
    if status in ("failed", "host_lost"):
        return "urgent"
    # A claude that died is up again by itself, and its turn goes on: nobody need do anything.
    return "everything" if status == "restarting" else "milestones"
