"""Arguments and results of the session's activities: plain values that are written into history."""

# Annotations are types here and not text, which would be compiled anew for every value that is read.

from dataclasses import dataclass, field
from typing import Any, Final, Literal

# How a denial begins that nobody decided.
UNANSWERED: Final = "Nobody answered within"

ErrorKind = Literal["", "interrupted", "not_logged_in", "no_credit", "overloaded", "limit", "other"]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A conversation of claude's that the session does not begin by itself.

    `conversation_id` is resumed under its own id (adopted), or copied into one of the session's own (forked).
    """

    conversation_id: str
    is_forked: bool = False


@dataclass(frozen=True, kw_only=True)
class StartClaude:
    """Bring up the claude of one session, or find the one that already lives."""

    session_id: str
    project_path: str
    generation: int
    origin: Origin | None = None


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
class Earlier:
    """Where a turn may have begun in the journal of an earlier process: of this generation, or the last one before."""

    generation: int
    offset: int


@dataclass(frozen=True, kw_only=True)
class SendTurn:
    """Deliver one message, unless it was delivered before, and follow its turn.

    `offset` is where in the journal the turn may begin. `asked` names the permission requests that were passed on
    already. `attachments` are paths of files on the host. A claude that neither works nor waits for anybody for
    `quiet_seconds` is reported as silent.
    """

    session_id: str
    project_path: str
    generation: int
    turn_id: str
    text: str
    offset: int
    before: Earlier | None = None
    asked: list[str] = field(default_factory=list)
    attachments: list[str] = field(default_factory=list)
    quiet_seconds: float = 600.0


@dataclass(frozen=True, kw_only=True)
class TurnEnded:
    """One turn's result. `text` is capped; the full text stays in the journal, in the line that ends at `journal_end`."""

    turn_id: str
    text: str
    text_truncated: bool = False
    is_error: bool = False
    error_kind: ErrorKind = ""
    subtype: str = "success"
    cost_usd: float = 0.0
    duration_ms: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    tool_calls: int = 0
    journal_end: int = 0
    generation: int = 0


@dataclass(frozen=True, kw_only=True)
class PermissionNeeded:
    """claude waits for leave to use a tool; the turn goes on when the request is answered.

    `input` is shortened for history; `digest` tells whether two requests ask for the same thing. What `needs_person`
    is a question of claude's own or a plan, which leave for tools in general does not answer.
    """

    turn_id: str
    request_id: str
    tool: str
    input: dict[str, Any]
    digest: str
    reason: str = ""
    can_be_remembered: bool = False
    needs_person: bool = False


@dataclass(frozen=True, kw_only=True)
class TurnStep:
    """What `send_turn` came back with: a result, a question, or the news that claude has fallen silent."""

    ended: TurnEnded | None = None
    permission: PermissionNeeded | None = None
    is_silent: bool = False


@dataclass(frozen=True, kw_only=True)
class InterruptTurn:
    """End the running turn; claude and its session live on. The same `request_id` interrupts once."""

    session_id: str
    project_path: str
    generation: int
    request_id: str


@dataclass(frozen=True, kw_only=True)
class AnswerPermission:
    """Allow or deny one tool use; the request itself is read from the journal, from `offset` on.

    `remember` takes up the rules that claude suggested with the request. `answers` are to claude's own questions.
    """

    session_id: str
    project_path: str
    generation: int
    request_id: str
    offset: int
    behavior: Literal["allow", "deny"]
    message: str = ""
    remember: bool = False
    answers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ReadAnswer:
    """Read a turn's answer from the journal, from character `start` on, in the line that ends at `journal_end`."""

    session_id: str
    project_path: str
    generation: int
    journal_end: int
    start: int = 0


@dataclass(frozen=True, kw_only=True)
class AnswerPart:
    """A part of an answer that has `total` characters."""

    text: str
    total: int


@dataclass(frozen=True, kw_only=True)
class StopClaude:
    """End the session's process tree; `timeout_seconds` bounds the polite part."""

    session_id: str
    project_path: str
    generation: int
    timeout_seconds: float = 5.0


@dataclass(frozen=True, kw_only=True)
class ReadJournal:
    """Read a part of what the session's processes wrote, and wait for more when there is none.

    `generation` 0 is the latest on disk; one that is not there stands for the next that is. `offset` -1 is the end.
    `since` is a message's uuid: reading begins where it is first named, at the end when nothing names it yet.
    `is_ended` says that the reader knows of the generation's end, so that it is news only once.
    """

    session_id: str
    generation: int = 0
    offset: int = 0
    since: str = ""
    is_ended: bool = False
    wait_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class JournalLine:
    """One line with the offset after it. Bytes that are no text are lone surrogates, as Python decodes file names.

    A line that had `cut_bytes` bytes was too long to travel: its long texts are shortened.
    """

    end: int
    text: str
    cut_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class JournalPart:
    """Lines of one generation, and where to read on. `generation` is 0 when none is on disk, `later` when none follows."""

    generation: int
    offset: int
    lines: list[JournalLine] = field(default_factory=list)
    is_ended: bool = False
    later: int = 0


@dataclass(frozen=True, kw_only=True)
class HostView:
    """What a worker sees of the sessions that it follows: by session what the heartbeats said last of its process.

    `turns_since` is when each turn that is under way was handed to the host, in seconds of the epoch.
    """

    loads: dict[str, dict[str, Any]]
    turns_since: dict[str, float]
