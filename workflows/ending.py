"""Waiting for a turn's end from outside: at once for the one who asked, and without a trace in history for all others."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from temporalio.client import WorkflowUpdateHandle

from workflows import edge
from workflows.errors import SessionEnded
from workflows.line import Line, answer
from workflows.messages import AskTurn, Message, TurnReport

# How long the session itself keeps an answer back; longer would be longer than proxies keep a call open.
ASKED_SECONDS: Final = 15.0
# A query costs the server and a worker some milliseconds, and nothing is written: soon at first, as short turns end
# soon, then a tenth of the time already waited, at most a second.
SOONEST_SECONDS: Final = 0.05
LATE_BY: Final = 0.1
LATEST_SECONDS: Final = 1.0
OPEN: Final = ("queued", "running")


class Asked:
    """A message that a session has taken, and answers by itself if its turn is short."""

    def __init__(self, session_id: str, taken: WorkflowUpdateHandle[TurnReport]) -> None:
        self._session_id = session_id
        self._taken = taken

    async def report(self) -> TurnReport:
        """Where its turn stands as soon as it has ended, and after a while in any case."""
        return await answer(self._session_id, self._taken, patience=ASKED_SECONDS)


async def ask(line: Line, session_id: str, message: Message) -> Asked:
    """Enqueue a message; returns as soon as the session has taken it."""
    call = AskTurn(message=message, seconds=ASKED_SECONDS)
    taken = await line.taken(session_id, edge.ASK, call, id=f"ask-{message.turn_id}")
    return Asked(session_id, taken)


async def turn_ended(line: Line, session_id: str, turn_id: str, seconds: float | None = None) -> TurnReport:
    """Return when the turn has ended, or after some seconds where it stands; SessionEnded when nobody will end it."""
    began = time.monotonic()
    while True:
        report = await _look(line, session_id, turn_id)
        waited = time.monotonic() - began
        if report.state not in OPEN or (seconds is not None and waited >= seconds):
            return report
        pause = min(LATEST_SECONDS, max(SOONEST_SECONDS, LATE_BY * waited))
        await asyncio.sleep(pause if seconds is None else min(pause, seconds - waited))


async def _look(line: Line, session_id: str, turn_id: str) -> TurnReport:
    try:
        report = await line.query(session_id, edge.TURN, turn_id, of_living=True)
    except SessionEnded:
        report = await line.query(session_id, edge.TURN, turn_id)
        if report.state in OPEN:
            # It was terminated: nobody closed its turns.
            raise
    return report
