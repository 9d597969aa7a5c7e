"""What a session tells its listener: values only, for whoever delivers them to a person."""

# Annotations are types here and not text, which would be compiled anew for every value that is read.

from dataclasses import dataclass, field
from typing import Final, Literal

from workflows.approvals import Approval
from workflows.reports import Status, TurnReport

# The activity by which a handler takes a notice, on its own queue.
NOTIFY: Final = "notify"
# The type of the error by which it says that it will never take this one.
NOTICE_REFUSED: Final = "NoticeRefused"
# What a stop says that somebody asked for, and that has no other reason.
STOP_ASKED_FOR: Final = "the session was stopped"
# Both are Temporal's to store with every notice; names of queues and places in a medium are short.
NAME_CAP: Final = 200
# Enough to recognise a message by; the sender has the rest.
ASKED_TEXT: Final = 200

NoticeKind = Literal["turn", "question", "settled", "status", "warning"]


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Who is told: the task queue of a handler, and where in its medium. Only the handler reads the address."""

    queue: str
    address: str


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One thing that happened, for one address. It may come more than once, and then under the same key.

    The key is `<session>/<life>/<kind>/<name>/<address>`: a session that failed and is opened again has another life.
    `turn` has a report and what was asked; `question` and `settled` an approval; `status` the status; `text` says the
    rest in a sentence.
    """

    key: str
    address: str
    session_id: str
    project_path: str
    kind: NoticeKind
    at: float
    report: TurnReport | None = None
    asked: str = ""
    approval: Approval | None = None
    status: Status | Literal[""] = ""
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Undelivered:
    """A notice on its way. `dropped` counts what it stands for, when it says that others were dropped."""

    queue: str
    notice: Notice
    dropped: int = 0


@dataclass(frozen=True, kw_only=True)
class CarriedNotices:
    """What continues in the next run of the workflow."""

    count: int = 0
    asked: list[str] = field(default_factory=list)
    undelivered: list[Undelivered] = field(default_factory=list)


def told_apart(run_id: str) -> str:
    """Enough of a run's id to tell it from the other runs of its session."""
    # It begins with the time, which runs that follow each other share.
    return run_id[-12:]


def check_listener(listener: Listener) -> None:
    """Raise ValueError with a sentence when nobody can be told there: such a queue would wedge the session."""
    for what, name in (("queue", listener.queue), ("address", listener.address)):
        if not 0 < len(name) <= NAME_CAP or not name.isprintable():
            raise ValueError(f"the listener's {what} must have 1 to {NAME_CAP} characters that can be printed")
    # Temporal keeps these for itself.
    if listener.queue.startswith("/_sys/"):
        raise ValueError(f"{listener.queue!r} is no queue of a handler")
