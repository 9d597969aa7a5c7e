"""What runs on this host now, as far as this worker follows it. Knows no clock and no Temporal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one claude uses, without the tools it runs."""

    rss_bytes: int = 0
    cpu_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class FollowedTurn:
    """A turn that is under way, handed to the host at `since` (seconds of the epoch), with its last heartbeat."""

    turn_id: str
    since: float
    details: Mapping[str, Any] = field(default_factory=dict)


class Roster:
    """Processes, turns and questions by session. A worker that takes over learns of them from its own followers."""

    def __init__(self) -> None:
        self.turns: dict[str, FollowedTurn] = {}
        """The turn that each busy session is at."""
        self.cpu_seconds = 0.0
        """What all processes have used while this worker looked."""
        self._counted: dict[str, tuple[int, float]] = {}
        self._questions: dict[tuple[str, str], float] = {}
        self._watched: dict[str, Mapping[str, Any]] = {}

    @property
    def processes(self) -> dict[str, Load]:
        """What each process uses that is watched here."""
        return {
            name: Load(rss_bytes=round(seen.get("rss_mb", 0.0) * 2**20), cpu_seconds=seen.get("cpu_seconds", 0.0))
            for name, seen in self._watched.items()
        }

    @property
    def loads(self) -> dict[str, dict[str, Any]]:
        """What the heartbeats of each process say; those of a turn say more."""
        told = {name: turn.details for name, turn in self.turns.items()}
        return {name: {**seen, **told.get(name, {})} for name, seen in self._watched.items()}

    @property
    def asked_since(self) -> list[float]:
        """Since when each question waits that nobody has answered."""
        return sorted(self._questions.values())

    def started(self, session_id: str, pid: int) -> None:
        """A process that is new: all that it uses counts."""
        self._counted[session_id] = (pid, 0.0)

    def seen(self, session_id: str, details: Mapping[str, Any]) -> None:
        """Take what a watcher's heartbeat says."""
        pid, seconds = details.get("pid") or 0, details.get("cpu_seconds", 0.0)
        known, counted = self._counted.get(session_id, (0, 0.0))
        # What an adopted process has used before is another worker's to count.
        self.cpu_seconds += max(0.0, seconds - counted) if known == pid else 0.0
        self._counted[session_id] = (pid, max(seconds, counted) if known == pid else seconds)
        self._watched[session_id] = details

    def unwatched(self, session_id: str) -> None:
        """Nobody looks at the process any more."""
        self._watched.pop(session_id, None)

    def begins(self, session_id: str, turn_id: str, since: float) -> None:
        """A turn is followed."""
        self.turns[session_id] = FollowedTurn(turn_id=turn_id, since=since)

    def followed(self, session_id: str, details: Mapping[str, Any]) -> None:
        """Take what the heartbeat of a turn's follower says."""
        if turn := self.turns.get(session_id):
            self.turns[session_id] = replace(turn, details=details)

    def unfollowed(self, session_id: str) -> None:
        """No turn is followed any more."""
        self.turns.pop(session_id, None)

    def ended(self, session_id: str) -> None:
        """The process is gone, and whatever it asked."""
        self.unwatched(session_id)
        self._counted.pop(session_id, None)
        self.turn_ended(session_id)

    def asked(self, session_id: str, request_id: str, now: float) -> None:
        """A question waits; one that is known waits since it was asked first."""
        self._questions.setdefault((session_id, request_id), now)

    def answered(self, session_id: str, request_id: str) -> None:
        """A question has its answer."""
        self._questions.pop((session_id, request_id), None)

    def turn_ended(self, session_id: str) -> None:
        """No question outlives its turn."""
        self._questions = {key: since for key, since in self._questions.items() if key[0] != session_id}
