"""Arguments and results of the session's activities: plain values that are written into history."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class StartClaude:
    """Bring up the claude of one session, or find the one that already lives."""

    session_id: str
    project_path: str
    generation: int


@dataclass(frozen=True, kw_only=True)
class ClaudeStarted:
    """A claude that answered the handshake, and the queues on which its host is reached."""

    host_id: str
    host_queue: str
    watch_queue: str
    pid: int
    generation: int
    journal_end: int
    conversation: Literal["new", "resumed", "adopted"]


@dataclass(frozen=True, kw_only=True)
class WatchClaude:
    """Follow one claude until it ends."""

    session_id: str
    project_path: str
    generation: int


@dataclass(frozen=True, kw_only=True)
class ClaudeEnded:
    """How a claude ended. `code` and `signal` are both None when nobody can know (`why` is then `lost`)."""

    generation: int
    code: int | None = None
    signal: int | None = None
    why: str = "lost"
    survivors: list[int] = field(default_factory=list)
    stderr_tail: str = ""

    def sentence(self) -> str:
        """What happened, for a person."""
        how = {
            "stopped": "was stopped",
            "lease": "was stopped because its host lost contact with Temporal",
            "lost": "is gone and nobody can say how it ended",
        }.get(self.why) or (f"died of signal {self.signal}" if self.signal else f"exited with code {self.code}")
        last = self.stderr_tail.strip().rsplit("\n", 1)[-1]
        return f"claude {how}" + (f": {last}" if last else "")


@dataclass(frozen=True, kw_only=True)
class SendTurn:
    """Deliver one message, unless it was delivered before, and follow its turn.

    `offset` is where in the journal of `generation` the turn may begin. `interrupted` says that an earlier
    process died in this turn, so the message may already stand in claude's transcript. `answered` names the
    permission requests that need no second answer.
    """

    session_id: str
    project_path: str
    generation: int
    turn_id: str
    text: str
    offset: int
    interrupted: bool = False
    answered: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class TurnEnded:
    """One turn's result. `text` is capped; the full text stays in the journal."""

    turn_id: str
    text: str
    text_truncated: bool = False
    is_error: bool = False
    subtype: str = "success"
    cost_usd: float = 0.0
    duration_ms: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    tool_calls: int = 0
    journal_end: int = 0


@dataclass(frozen=True, kw_only=True)
class PermissionNeeded:
    """claude waits for leave to use a tool; the turn goes on when the request is answered."""

    turn_id: str
    request_id: str
    tool: str
    input: dict[str, Any]
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class TurnStep:
    """What `send_turn` came back with: exactly one of the two."""

    ended: TurnEnded | None = None
    permission: PermissionNeeded | None = None


@dataclass(frozen=True, kw_only=True)
class AnswerPermission:
    """Deny (or later allow) one tool use that claude asked leave for."""

    session_id: str
    project_path: str
    generation: int
    request_id: str
    behavior: Literal["allow", "deny"]
    message: str = ""
    input: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StopClaude:
    """End the session's process tree; `timeout_seconds` bounds the polite part."""

    session_id: str
    project_path: str
    generation: int
    timeout_seconds: float = 5.0
