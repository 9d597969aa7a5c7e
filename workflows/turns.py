"""The turns of a session: one runs, the others queue, the last finished ones are remembered."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Final

from activities.calls import TurnEnded
from workflows.messages import (
    QUEUE_BYTES,
    QUEUE_CAP,
    REPORTS_BYTES,
    Carried,
    Message,
    TurnAccepted,
    TurnReport,
    TurnState,
)
from workflows.reports import CARRIED_TEXT, shortened

# Enough to answer a sender that comes back after a crash; each report may hold 64 KiB of text.
REMEMBERED: Final = 50
# A sentence or two: what went wrong is said first.
ERROR_TEXT: Final = 300


class Full(ValueError):
    """Nothing more can be queued until something has been answered."""


class Turns:
    """The queue of one session. A turn id is taken once, however often it is sent."""

    def __init__(
        self, carried: Carried | None = None, on_end: Callable[[TurnReport, str], None] = lambda report, asked: None
    ) -> None:
        carried = carried or Carried()
        self._on_end = on_end
        self.current = carried.current
        self.done = carried.done
        self.cost_usd = carried.cost_usd
        self._queue = deque(carried.queue)
        self._reports = {report.turn_id: report for report in carried.reports}

    @property
    def queue(self) -> list[Message]:
        """The turns that wait, the next one first."""
        return list(self._queue)

    @property
    def reports(self) -> list[TurnReport]:
        """The remembered turns, so shortened that they fit into the input of the next run; the latest keep most."""
        left, kept = REPORTS_BYTES, deque[TurnReport]()
        for report in reversed(self._reports.values()):
            carried = shortened(report, CARRIED_TEXT)
            left -= _size(carried.ended.text) if carried.ended else 0
            kept.appendleft(carried if left >= 0 else shortened(report, 0))
        return list(kept)

    @property
    def last_error(self) -> str:
        """What went wrong with the latest turn that went wrong, among the remembered; one sentence."""
        failed = (sentence for report in reversed(self._reports.values()) if (sentence := _error(report)))
        return next(failed, "")

    @property
    def waiting(self) -> int:
        """How many turns are queued behind the current one."""
        return len(self._queue)

    def accept(self, message: Message) -> TurnAccepted:
        """Enqueue the message, or answer again for one that is known."""
        if self.report(message.turn_id).state == "unknown":
            self._queue.append(message)
        return TurnAccepted(turn_id=message.turn_id, place=self.report(message.turn_id).place)

    def refuse_when_full(self, message: Message) -> None:
        """Raise Full when the turn is new and no further one can be queued."""
        if self.report(message.turn_id).state != "unknown":
            return
        if self.waiting >= QUEUE_CAP:
            raise Full(f"{QUEUE_CAP} messages are queued already: wait for some to be answered, or stop")
        before = [*self._queue, *([self.current] if self.current else [])]
        if before and sum(_weight(each) for each in [*before, message]) > QUEUE_BYTES:
            raise Full("the queued messages are too large together: wait for some to be answered, or use files")

    def begin(self) -> Message | None:
        """Make the oldest queued turn the current one; an interrupted current one stays."""
        if self.current is None and self._queue:
            self.current = self._queue.popleft()
        return self.current

    def finish(self, ended: TurnEnded) -> None:
        """Record the current turn's result."""
        self.done += 1
        self.cost_usd += ended.cost_usd
        self._close(TurnReport(turn_id=ended.turn_id, state="done", ended=ended))

    def give_up(self, why: str, state: TurnState) -> None:
        """Close the current turn without a result."""
        if self.current is not None:
            self._close(TurnReport(turn_id=self.current.turn_id, state=state, error=why))

    def abandon(self, why: str, state: TurnState) -> None:
        """Give up the current turn and all queued ones, each with the reason."""
        while self.begin():
            self.give_up(why, state)

    def cancel(self, turn_id: str) -> TurnReport:
        """Take a queued turn back; ValueError when it is not queued."""
        report = self.report(turn_id)
        if report.state == "running":
            raise ValueError(f"turn {turn_id!r} is running: interrupt it")
        if report.state != "queued":
            raise ValueError(f"turn {turn_id!r} is not queued: it is {report.state}")
        [message] = [turn for turn in self._queue if turn.turn_id == turn_id]
        self._queue.remove(message)
        report = TurnReport(turn_id=turn_id, state="cancelled", error="taken back before it began")
        self._end(report, message)
        return report

    def report(self, turn_id: str) -> TurnReport:
        """Where the turn stands."""
        if self.current is not None and self.current.turn_id == turn_id:
            return TurnReport(turn_id=turn_id, state="running")
        ahead = 1 if self.current is not None else 0
        for place, turn in enumerate(self._queue, ahead):
            if turn.turn_id == turn_id:
                return TurnReport(turn_id=turn_id, state="queued", place=place)
        return self._reports.get(turn_id, TurnReport(turn_id=turn_id, state="unknown"))

    def ended(self, turn_id: str) -> TurnEnded:
        """The turn's result; ValueError when it has none."""
        report = self.report(turn_id)
        if report.ended is None:
            raise ValueError(f"turn {turn_id!r} has no answer: it is {report.state}")
        return report.ended

    def _close(self, report: TurnReport) -> None:
        message, self.current = self.current, None
        self._end(report, message)

    def _end(self, report: TurnReport, message: Message | None) -> None:
        self._remember(report)
        self._on_end(report, message.text if message else "")

    def _remember(self, report: TurnReport) -> None:
        self._reports[report.turn_id] = report
        while len(self._reports) > REMEMBERED:
            del self._reports[next(iter(self._reports))]


def _error(report: TurnReport) -> str:
    ended = report.ended
    if report.state == "failed":
        return f"turn {report.turn_id!r}: {report.error}"
    if ended is None or not (ended.is_error or ended.error_kind) or ended.error_kind == "interrupted":
        return ""
    return f"turn {report.turn_id!r} ({ended.error_kind or ended.subtype}): {ended.text[:ERROR_TEXT]}".rstrip(": ")


def _weight(message: Message) -> int:
    return _size(message.text) + sum(_size(path) for path in message.attachments)


def _size(text: str) -> int:
    """Bytes in history, where a character that is not ASCII takes six or twelve."""
    return len(json.dumps(text))
