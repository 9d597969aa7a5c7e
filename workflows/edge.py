"""What a session's workflow can be asked, by name: who asks need not be able to run it, and imports half as much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from activities.calls import AnswerPart
from workflows.approvals import Approval
from workflows.messages import SessionReport, TurnAccepted, TurnReport

T = TypeVar("T")


@dataclass(frozen=True)
class Call(Generic[T]):
    """An update or a query, and what it answers with. `workflows/session.py` has what it does."""

    name: str
    answer: type[T]


SEND: Final = Call("send", TurnAccepted)
ASK: Final = Call("ask", TurnReport)
RESOLVE_PERMISSION: Final = Call("resolve_permission", Approval)
INTERRUPT: Final = Call("interrupt", SessionReport)
CANCEL_TURN: Final = Call("cancel_turn", TurnReport)
READ_ANSWER: Final = Call("read_answer", AnswerPart)
WAIT_TURN: Final = Call("wait_turn", TurnReport)
WAIT_READY: Final = Call("wait_ready", SessionReport)
WAKE: Final = Call("wake", SessionReport)
STOP: Final = Call("stop", SessionReport)
LISTEN: Final = Call("listen", SessionReport)
UPDATES: Final = (
    *(SEND, ASK, RESOLVE_PERMISSION, INTERRUPT, CANCEL_TURN, READ_ANSWER),
    *(WAIT_TURN, WAIT_READY, WAKE, STOP, LISTEN),
)

STATUS: Final = Call("status", SessionReport)
TURN: Final = Call("turn", TurnReport)
QUERIES: Final = (STATUS, TURN)
