"""Everything that crosses the session workflow's edge, and the checks both sides apply to it."""

# Annotations are types here and not text, which would be compiled anew for every value that is read.

from dataclasses import dataclass, field
from typing import Final, Literal

from activities.calls import ClaudeStarted, Earlier, Origin
from workflows.approvals import CarriedApprovals
from workflows.notices import CarriedNotices, Listener

# They cross the edge as well, and are apart because notices hold them.
from workflows.reports import SessionReport as SessionReport  # noqa: PLC0414
from workflows.reports import Status as Status  # noqa: PLC0414
from workflows.reports import TurnReport as TurnReport  # noqa: PLC0414
from workflows.reports import TurnState as TurnState  # noqa: PLC0414

SHARED_QUEUE: Final = "claude-sessions"
WORKFLOW_TYPE: Final = "SessionWorkflow"
SESSION_FAILED: Final = "SessionFailed"
MESSAGE_REFUSED: Final = "MessageRefused"
QUEUE_FULL: Final = "QueueFull"
SESSION_OVER: Final = "SessionOver"

# An update argument over 2 MB is admitted by the server and then wedges the workflow; larger texts go by file.
MESSAGE_CAP_BYTES: Final = 256 * 1024
TURN_ID_CAP: Final = 200
ATTACHMENTS_CAP: Final = 20
PATHS_CAP: Final = 20_000
# A person who queues more than this has lost sight of it, and every queued text is carried in history.
QUEUE_CAP: Final = 100
# The next run of the workflow starts with all of it, and the server ends a workflow whose input exceeds 2 MB. One
# message alone is always taken: it has 1.5 MB at the very most.
QUEUE_BYTES: Final = 1024 * 1024
REPORTS_BYTES: Final = 256 * 1024


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
    # A person who does not answer in this time is not looking; claude goes on without the tool.
    approval_seconds: float = 600.0
    # An idle process holds 160 MB and more; a resumed one answers half a second later.
    idle_seconds: float = 1800.0
    # Longer turns are more often stuck than busy. Time that a person is asked for does not count.
    max_turn_seconds: float = 7200.0
    # The API's own retries last up to some minutes, and each says something; tools may be silent for as long as they like.
    quiet_seconds: float = 900.0
    # Events after which the workflow continues as a new run even before Temporal suggests it; 0 leaves it to Temporal.
    history_limit: int = 0
    # 0 means no limit.
    lifetime_seconds: float = 0.0
    cost_budget_usd: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message to claude, with files of the host. The sender names the turn, so that a resend is recognised."""

    turn_id: str
    text: str
    attachments: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Carried:
    """What a session takes along when its workflow continues as a new run; the defaults are those of a new session."""

    opened_at: float = 0.0
    status: Status = "starting"
    note: str = ""
    generation: int = 0
    offset: int = 0
    before: Earlier | None = None
    started: ClaudeStarted | None = None
    restarts: int = 0
    spent: list[float] = field(default_factory=list)
    paused_until: float = 0.0
    current: Message | None = None
    turn_seconds: float = 0.0
    idle_since: float = 0.0
    queue: list[Message] = field(default_factory=list)
    reports: list[TurnReport] = field(default_factory=list)
    done: int = 0
    cost_usd: float = 0.0
    approvals: CarriedApprovals = field(default_factory=CarriedApprovals)
    warned: list[str] = field(default_factory=list)
    notices: CarriedNotices = field(default_factory=CarriedNotices)


@dataclass(frozen=True, kw_only=True)
class OpenSession:
    """What a session is started with. `origin` is a conversation to go on with, `carried` an earlier run's state.

    `host_id` names the host that must take the session first; empty is any. `handler` is the medium that opened it, and
    `listener` is told what happens. Clients of today say `writes_less`; whoever does not is served by a patch.
    """

    session_id: str
    project_path: str
    options: SessionOptions = field(default_factory=SessionOptions)
    origin: Origin | None = None
    host_id: str = ""
    handler: str = "cli"
    listener: Listener | None = None
    carried: Carried | None = None
    writes_less: bool = False


@dataclass(frozen=True, kw_only=True)
class TurnAccepted:
    """The message is enqueued; `place` counts the turns before it."""

    turn_id: str
    place: int


@dataclass(frozen=True, kw_only=True)
class AskTurn:
    """A message, and how long its sender waits for the end of its turn."""

    message: Message
    seconds: float = 20.0


@dataclass(frozen=True, kw_only=True)
class AwaitTurn:
    """A bounded wait for one turn."""

    turn_id: str
    seconds: float = 20.0


@dataclass(frozen=True, kw_only=True)
class ReadTurn:
    """Ask for a turn's whole answer, from character `start` on."""

    turn_id: str
    start: int = 0


@dataclass(frozen=True, kw_only=True)
class StopSession:
    """Stop the session and every process of it, now or when the running turn has ended; queued turns are not run.

    `by` is the address of the listener that asks and needs no telling, `why` a reason for everybody else.
    """

    timeout_seconds: float | None = None
    when: Literal["now", "after_turn"] = "now"
    by: str = ""
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class CancelTurn:
    """Take a queued turn back."""

    turn_id: str


@dataclass(frozen=True, kw_only=True)
class Interrupt:
    """End a turn, if it is the one that runs; without a name whichever runs."""

    turn_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Listen:
    """Who is told from now on what happens; None is nobody."""

    listener: Listener | None = None


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
    if sum(len(path) for path in message.attachments) > PATHS_CAP:
        raise ValueError(f"the names of the attached files have more than {PATHS_CAP} characters together")
    if "\0" in message.text:
        raise ValueError("the message holds a NUL character: send text only")
    if len(message.attachments) > ATTACHMENTS_CAP:
        raise ValueError(f"{len(message.attachments)} files are attached and at most {ATTACHMENTS_CAP} are taken")
    if not 0 < len(message.turn_id) <= TURN_ID_CAP:
        raise ValueError(f"the turn id must have 1 to {TURN_ID_CAP} characters, not {len(message.turn_id)}")
