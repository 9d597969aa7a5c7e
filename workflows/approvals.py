"""Questions of claude that wait for a person, and what became of the answers. Knows no clock and no Temporal."""

# Annotations are types here and not text, which would be compiled anew for every value that is read.

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from activities.calls import PermissionNeeded

Decision = Literal["allow", "allow_turn", "allow_always", "deny"]

# The tool by which claude asks questions of its own.
ASKING_TOOL: Final = "AskUserQuestion"
# Enough to tell a person who answers late what became of the question.
REMEMBERED: Final = 100


@dataclass(frozen=True, kw_only=True)
class Approval:
    """One question, as the person sees it. Its id outlives the process that asked; `request_id` does not."""

    approval_id: str
    turn_id: str
    tool: str
    input: dict[str, Any]
    digest: str
    reason: str
    can_be_remembered: bool
    request_id: str
    deadline: float
    needs_person: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a person decided. `answers` are for claude's own questions: the question's text to the chosen one."""

    approval_id: str
    decision: Decision
    message: str = ""
    answers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CarriedApprovals:
    """What continues in the next run of the workflow."""

    count: int = 0
    open: list[Approval] = field(default_factory=list)
    given: list[Answer] = field(default_factory=list)
    settled: dict[str, str] = field(default_factory=dict)
    passed_on: list[str] = field(default_factory=list)
    allows_turn: str = ""


class Approvals:
    """The open questions of a session.

    When the process that asked is gone, its questions stay open: a claude that takes the turn up again asks the same
    thing under a new request id, and an answer that was given meanwhile goes to that request.
    """

    def __init__(
        self,
        carried: CarriedApprovals,
        on_settled: Callable[[Approval, str], None] = lambda approval, outcome: None,
    ) -> None:
        self._on_settled = on_settled
        self._count = carried.count
        self._open = {approval.approval_id: approval for approval in carried.open}
        self._given = {answer.approval_id: answer for answer in carried.given}
        self._settled = dict(carried.settled)
        self.passed_on = list(carried.passed_on)
        """Request ids that the running claude need not be asked for again."""
        self._allows_turn = carried.allows_turn

    def carry(self) -> CarriedApprovals:
        """Everything that the next run needs."""
        return CarriedApprovals(
            count=self._count,
            open=list(self._open.values()),
            given=list(self._given.values()),
            settled=self._settled,
            passed_on=self.passed_on,
            allows_turn=self._allows_turn,
        )

    @property
    def waiting(self) -> list[Approval]:
        """The questions that nobody has answered, the oldest first."""
        return [approval for approval in self._open.values() if approval.approval_id not in self._given]

    def known_to_claude(self, turn_id: str) -> list[Approval]:
        """The questions of a turn that the running claude waits for."""
        return [known for known in self._open.values() if known.turn_id == turn_id and known.request_id]

    def ask(self, needed: PermissionNeeded, deadline: float) -> Approval:
        """Take a question in; one that was asked before by a process that died is recognised."""
        known = next((orphan for orphan in self._open.values() if _asks_again(needed, orphan)), None)
        if known is not None:
            approval = replace(known, request_id=needed.request_id)
        else:
            self._count += 1
            approval = Approval(approval_id=f"a{self._count}", deadline=deadline, **vars(needed))
        self._open[approval.approval_id] = approval
        self.passed_on = [*self.passed_on, needed.request_id]
        if self._allows_turn == needed.turn_id and not needed.needs_person:
            self._given[approval.approval_id] = Answer(approval_id=approval.approval_id, decision="allow")
        return approval

    def refuse_unanswerable(self, answer: Answer) -> None:
        """Raise ValueError with a sentence when the answer cannot apply."""
        name = answer.approval_id
        if name in self._settled:
            raise ValueError(f"question {name!r} needs no answer any more: {self._settled[name]}")
        if name not in self._open:
            open_ones = ", ".join(approval.approval_id for approval in self.waiting) or "none"
            raise ValueError(f"there is no question {name!r}; open are: {open_ones}")
        if name in self._given:
            raise ValueError(f"question {name!r} was answered already: {self._given[name].decision}")
        if answer.answers and self._open[name].tool != ASKING_TOOL:
            raise ValueError(f"question {name!r} is about the tool {self._open[name].tool}: allow or deny it")
        if answer.decision == "allow_always" and not self._open[name].can_be_remembered:
            raise ValueError(f"claude offers no rule for question {name!r}: allow it once, or for this turn")

    def resolve(self, answer: Answer) -> Approval:
        """Take an answer that `refuse_unanswerable` let pass."""
        approval = self._open[answer.approval_id]
        self._given[answer.approval_id] = answer
        if answer.decision == "allow_turn":
            self._allows_turn = approval.turn_id
            for other in self.waiting:
                if other.turn_id == approval.turn_id and not other.needs_person:
                    self._given[other.approval_id] = Answer(approval_id=other.approval_id, decision="allow")
        return approval

    def answer_to(self, approval_id: str) -> Answer | None:
        """The answer that was given, if one was."""
        return self._given.get(approval_id)

    def is_open(self, approval_id: str) -> bool:
        """It was asked and nothing has become of it yet."""
        return approval_id in self._open

    def current(self, approval_id: str) -> Approval:
        """The question under the request id by which claude knows it now."""
        return self._open[approval_id]

    def orphan(self) -> None:
        """The process that asked is gone: no question can be answered before it is asked again."""
        self._open = {name: replace(approval, request_id="") for name, approval in self._open.items()}
        self.passed_on = []

    def settle(self, approval_id: str, outcome: str) -> None:
        """The question is over; `outcome` is what a person who answers late is told."""
        approval = self._open.pop(approval_id, None)
        self._given.pop(approval_id, None)
        self._settled[approval_id] = outcome
        while len(self._settled) > REMEMBERED:
            del self._settled[next(iter(self._settled))]
        if approval is not None:
            self._on_settled(approval, outcome)

    def settle_turn(self, turn_id: str, outcome: str) -> None:
        """The turn is over, and with it all its questions."""
        for approval in [known for known in self._open.values() if known.turn_id == turn_id]:
            self.settle(approval.approval_id, outcome)
        self.passed_on = []
        if self._allows_turn == turn_id:
            self._allows_turn = ""


def _asks_again(needed: PermissionNeeded, orphan: Approval) -> bool:
    same = (orphan.turn_id, orphan.tool, orphan.digest) == (needed.turn_id, needed.tool, needed.digest)
    return same and not orphan.request_id
