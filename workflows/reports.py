"""What a session says of itself and of its turns."""

# Annotations are types here and not text, which would be compiled anew for every value that is read.

from dataclasses import dataclass, field, replace
from typing import Final, Literal

from activities.calls import TurnEnded
from workflows.approvals import Approval

# 50 of these fit into the input of a run many times over; the journal has the whole text.
CARRIED_TEXT: Final = 2000

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
TurnState = Literal["queued", "running", "done", "failed", "stopped", "cancelled", "unknown"]


@dataclass(frozen=True, kw_only=True)
class TurnReport:
    """Where a turn stands. `ended` is there once claude gave a result, `error` says why there is none."""

    turn_id: str
    state: TurnState
    place: int = 0
    ended: TurnEnded | None = None
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class SessionReport:
    """What a session is and does."""

    session_id: str
    project_path: str
    status: Status
    conversation_id: str = ""
    host_id: str = ""
    pid: int = 0
    generation: int = 0
    restarts: int = 0
    turn_id: str = ""
    queued: int = 0
    turns_done: int = 0
    cost_usd: float = 0.0
    last_error: str = ""
    survivors: list[int] = field(default_factory=list)
    approvals: list[Approval] = field(default_factory=list)
    note: str = ""
    warnings: list[str] = field(default_factory=list)


def shortened(report: TurnReport, length: int) -> TurnReport:
    """The report with so many characters of the answer at most."""
    if report.ended is None or len(report.ended.text) <= length:
        return report
    return replace(report, ended=replace(report.ended, text=report.ended.text[:length], text_truncated=True))
