"""What a notice says to a chat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from handlers.signal.asking import question, question_line
from handlers.signal.attachment import attachment
from handlers.signal.desk import Desk
from handlers.signal.harmless import harmless, one_line
from handlers.signal.letters import Letter
from handlers.signal.shortening import short
from handlers.signal.style import Styled
from workflows.messages import TurnReport
from workflows.notices import STOP_ASKED_FOR, Notice

EMPTY: Final = "(an empty answer)"
_ERRORS: Final = {
    "not_logged_in": "claude is not logged in on the session's host",
    "no_credit": "the account has no credit left",
    "overloaded": "the model is overloaded",
    "limit": "the turn took too long and was ended",
}
_STATUS: Final = {
    "failed": "❌ The session has failed",
    "host_lost": "⚠ The session's host does not answer; it goes on when the host is back",
    "restarting": "↻ claude died and is started again; the turn goes on",
}


def letters(desk: Desk, notice: Notice, whole: str, *, is_silent: bool) -> Iterator[Letter]:
    """The letters of a notice; `whole` is the whole answer of a turn."""
    if notice.kind == "turn" and notice.report is not None:
        mark = _mark(desk, notice, notice.report)
        answer = _answer(notice, notice.report, whole, is_silent=is_silent)
        # The answer first: the mark says that all of it is there.
        yield from (letter for letter in (answer, mark) if letter is not None)
    elif notice.kind == "question" and notice.approval is not None:
        prompt = question(notice.approval)
        yield Letter(
            key=notice.key,
            chat=notice.address,
            text=prompt.text,
            styles=prompt.styles,
            gist=question_line(notice.approval),
            session_id=notice.session_id,
            approval_id=notice.approval.approval_id,
            is_silent=is_silent,
        )
    elif (text := _sentence(notice)) is not None:
        yield Letter(key=notice.key, chat=notice.address, text=text, gist=one_line(text, 120))


def _answer(notice: Notice, report: TurnReport, whole: str, *, is_silent: bool) -> Letter | None:
    """The answer as a message; a long one also as a file."""
    if report.state in ("stopped", "cancelled"):
        # Whoever ended it knows.
        return None
    said, files = fitted(_said(report, whole))
    asked = f"“{one_line(notice.asked, 40)}” " if notice.asked else ""
    return Letter(
        key=notice.key,
        chat=notice.address,
        text=said.text,
        styles=said.styles,
        files=files,
        gist=f"{asked}→ {one_line(said.text, 80)}",
        is_silent=is_silent,
    )


def fitted(markdown: str) -> tuple[Styled, tuple[str, ...]]:
    """An answer of claude's as one message, and the file that has all of it where the message has not."""
    fitting = short(harmless(markdown))
    files = (attachment("answer.md", fitting.rest),) if fitting.rest is not None else ()
    return Styled(fitting.text, fitting.styles), files


def _said(report: TurnReport, whole: str) -> str:
    ended = report.ended
    if ended is None:
        return f"❌ The turn ended without an answer: {report.error}"
    if ended.error_kind == "interrupted":
        return "⏹ Interrupted." + (f"\n\n{whole}" if whole.strip() else "")
    if ended.error_kind or ended.is_error:
        why = _ERRORS.get(ended.error_kind, ended.subtype)
        return f"❌ {why}" + (f"\n\n{whole}" if whole.strip() else "")
    return whole if whole.strip() else EMPTY


def _mark(desk: Desk, notice: Notice, report: TurnReport) -> Letter | None:
    """✅ or ❌ on the message that began the turn, if it was written in this chat."""
    row = desk.store.row("SELECT chat FROM inbox WHERE key = ?", report.turn_id)
    # Who took it back or put another text in its place sees nothing fail.
    if row is None or row["chat"] != notice.address or report.state == "cancelled":
        return None
    author, _, timestamp = desk.inbox.first(report.turn_id).removeprefix("sig-").partition("-")[2].rsplit("-", 2)
    ended = report.ended
    went_well = ended is not None and not ended.is_error and not ended.error_kind
    return Letter(
        key=f"mark/{report.turn_id}",
        chat=notice.address,
        emoji="✅" if went_well else "❌",
        author=author if "-" in author else f"+{author}",
        target=int(timestamp),
    )


def _sentence(notice: Notice) -> str | None:
    match notice.kind:
        case "settled" if notice.approval is not None:
            # Whoever answered knows; what nobody answered, nobody knows.
            return (
                None
                if notice.text.startswith("it was answered")
                else f"{notice.approval.approval_id}: {harmless(notice.text)}"
            )
        case "warning":
            return f"⚠ {harmless(notice.text)}"
        case "status":
            return _status(notice)
        case _:
            return None


def _status(notice: Notice) -> str | None:
    if notice.status == "stopped":
        return _stop(notice.text)
    said = _STATUS.get(notice.status)
    if said is None:
        return f"The session is {notice.status} again." if notice.status else None
    return f"{said}: {harmless(notice.text)}" if notice.text else f"{said}."


def _stop(why: str) -> str | None:
    if not why:
        # It was asked for here, and answered.
        return None
    how = "elsewhere" if why == STOP_ASKED_FOR else f"because {harmless(why)}"
    return f"⏹ The session was stopped {how}. /new begins a fresh one, /resume goes on with its conversation."
