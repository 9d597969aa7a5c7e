"""Whether a session is to stop: now, or when its running turn has ended."""

from __future__ import annotations

from typing import Final

from workflows.messages import StopSession
from workflows.notices import STOP_ASKED_FOR

# A longer polite stop is a wait, and an endless one cannot be told to Temporal.
LONGEST_STOP_SECONDS: Final = 3600.0


class Stops:
    """The stops that were asked for; of each kind the first one counts."""

    def __init__(self) -> None:
        self.now: StopSession | None = None
        self.after_turn: StopSession | None = None

    @property
    def are_asked_for(self) -> bool:
        """A stop is to come."""
        return self.now is not None or self.after_turn is not None

    def ask(self, call: StopSession, *, is_busy: bool) -> None:
        """Stop for good; the first one who asks for it now sets the timeout."""
        if call.when == "after_turn" and is_busy:
            self.after_turn = self.after_turn or call
        else:
            self.now = self.now or call

    def turn_ended(self) -> None:
        """Whoever waited for the turn need not wait any more."""
        self.now = self.now or self.after_turn

    @property
    def by(self) -> str:
        """Where the stop that is under way was asked for."""
        return self.now.by if self.now else ""

    @property
    def why(self) -> str:
        """The reason of the stop that is under way."""
        return (self.now.why if self.now else "") or STOP_ASKED_FOR

    def seconds(self, otherwise: float) -> float:
        """How long claude has to end politely."""
        asked = self.now.timeout_seconds if self.now else None
        return min(LONGEST_STOP_SECONDS, max(0.0, otherwise if asked is None else asked))
