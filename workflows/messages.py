"""Everything that crosses the session workflow's edge, and the checks both sides apply to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from activities.calls import TurnEnded

SHARED_QUEUE: Final = "claude-sessions"
WORKFLOW_TYPE: Final = "SessionWorkflow"
SESSION_FAILED: Final = "SessionFailed"
MESSAGE_REFUSED: Final = "MessageRefused"

# An update argument over 2 MB is admitted by the server and then wedges the workflow; larger texts go by file.
MESSAGE_CAP_BYTES: Final = 256 * 1024
TURN_ID_CAP: Final = 200
# A person who queues more than this has lost sight of it, and every queued text is carried in history.
QUEUE_CAP: Final = 100

Status = Literal[
    "starting",
    "ready",
    "busy",
    "awaiting_approval",
    "restarting",
    "hibernated",
    "host_lost",
    "stopping",
    "stopped",
    "failed",
]
TurnState = Literal["queued", "running", "done", "failed", "stopped", "unknown"]


def workflow_id(session_id: str) -> str:
    """The workflow that is this session."""
    return f"session-{session_id}"


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """Policy of one session; the defaults suit a host that reboots now and then."""

    # A worker is taken for dead after this long without a heartbeat; re-attaching by mistake does no harm.
    heartbeat_timeout_seconds: float = 5.0
    # How long a host may be silent before the session says so: a reboot takes minutes.
    host_away_seconds: float = 600.0
    # How long one attempt to start may take, with cold caches and MCP servers.
    start_timeout_seconds: float = 120.0
    # A claude that dies more often than this in the window has a cause that another restart does not cure.
    restart_limit: int = 5
    restart_window_seconds: float = 600.0
    stop_timeout_seconds: float = 5.0


@dataclass(frozen=True, kw_only=True)
class OpenSession:
    """What a session is started with."""

    session_id: str
    project_path: str
    options: SessionOptions = field(default_factory=SessionOptions)


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message to claude. The sender names the turn, so that a resend is recognised."""

    turn_id: str
    text: str


@dataclass(frozen=True, kw_only=True)
class TurnAccepted:
    """The message is enqueued; `place` counts the turns before it."""

    turn_id: str
    place: int


@dataclass(frozen=True, kw_only=True)
class AwaitTurn:
    """A bounded wait for one turn."""

    turn_id: str
    seconds: float = 20.0


@dataclass(frozen=True, kw_only=True)
class TurnReport:
    """Where a turn stands. `ended` is there once claude gave a result, `error` says why there is none."""

    turn_id: str
    state: TurnState
    place: int = 0
    ended: TurnEnded | None = None
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class StopSession:
    """Stop the session and every process of it."""

    timeout_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class SessionReport:
    """What a session is and does."""

    session_id: str
    project_path: str
    status: Status
    host_id: str = ""
    pid: int = 0
    generation: int = 0
    restarts: int = 0
    turn_id: str = ""
    queued: int = 0
    turns_done: int = 0
    cost_usd: float = 0.0
    survivors: list[int] = field(default_factory=list)
    note: str = ""


def check_message(message: Message) -> None:
    """Raise ValueError with a sentence when the message cannot be taken."""
    if not message.text.strip():
        raise ValueError("the message is empty: say what claude should do")
    size = len(message.text.encode("utf-8", "surrogatepass"))
    if size > MESSAGE_CAP_BYTES:
        raise ValueError(
            f"the message has {size} bytes and at most {MESSAGE_CAP_BYTES} are taken: "
            "put the text into a file of the project and name the file"
        )
    if "\0" in message.text:
        raise ValueError("the message holds a NUL character: send text only")
    if not 0 < len(message.turn_id) <= TURN_ID_CAP:
        raise ValueError(f"the turn id must have 1 to {TURN_ID_CAP} characters, not {len(message.turn_id)}")
