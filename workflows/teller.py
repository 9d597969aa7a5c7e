"""What a session tells its listener: which things, each once, and under which keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.approvals import Approval
    from workflows.courier import Courier
    from workflows.messages import OpenSession, Status, TurnReport
    from workflows.notices import ASKED_TEXT, CarriedNotices, Listener, Notice, NoticeKind, Undelivered, told_apart

# What a person has to know; the rest of a session's doings is for who looks at it.
_ENDS: Final = ("stopped", "failed")


class Teller:
    """Hands notices to the courier. Without a listener nothing is told, and nothing is written down."""

    def __init__(self, opened: OpenSession, carried: CarriedNotices, stopped_by: Callable[[], str]) -> None:
        self._stopped_by = stopped_by
        self.listener = opened.listener
        self._session_id, self._project_path = opened.session_id, opened.project_path
        self._courier = Courier(carried.undelivered)
        self._count = carried.count
        self._asked = list(carried.asked)

    def carry(self) -> CarriedNotices:
        """Everything that the next run needs. What is on its way is delivered again, under the same key."""
        return CarriedNotices(count=self._count, asked=self._asked, undelivered=self._courier.backlog.carry())

    def start(self) -> None:
        """Begin to deliver."""
        self._courier.start()

    async def finish(self) -> None:
        """The session is over: whoever delivers the last notices does not need it."""
        await self._courier.finish(self._session_id)

    def listen(self, listener: Listener | None, waiting: list[Approval]) -> None:
        """Somebody else takes over: what is not delivered, the questions that wait, and all that comes."""
        if listener == self.listener:
            return
        self.listener = listener
        self._courier.readdress(listener)
        self._asked = self._courier.backlog.questions
        for approval in waiting:
            self.asked(approval)

    def turn_ended(self, report: TurnReport, asked: str) -> None:
        """A turn is over, whatever became of it and whoever sent it."""
        self._tell("turn", report.turn_id, report=report, asked=asked[:ASKED_TEXT])

    def asked(self, approval: Approval) -> None:
        """A question waits. A claude that was started again asks it again, and the person knows it."""
        if self.listener is not None and approval.approval_id not in self._asked:
            self._asked = [*self._asked, approval.approval_id]
            self._tell("question", approval.approval_id, approval=approval)

    def settled(self, approval: Approval, outcome: str) -> None:
        """A question needs no answer any more; who was not asked is not told."""
        if approval.approval_id in self._asked:
            self._asked = [name for name in self._asked if name != approval.approval_id]
            self._tell("settled", approval.approval_id, approval=approval, text=outcome)

    def stands(self, before: Status, status: Status, note: str) -> None:
        """The session is something else now: told of an end, of a crash, and of a host that goes or comes back."""
        is_lost, was_lost = status == "host_lost", before == "host_lost"
        is_back = was_lost and status == "ready"
        if status in _ENDS or status == "restarting" or (is_lost and not was_lost) or is_back:
            # Whoever asked for the stop is answered, and has nothing more to hear of it.
            is_known = status == "stopped" and self.listener is not None and self.listener.address == self._stopped_by()
            self._tell("status", self._next(), status=status, text="" if is_known else note)

    def warned(self, text: str) -> None:
        """Something that needs no answer."""
        self._tell("warning", self._next(), text=text)

    def _next(self) -> str:
        self._count += 1
        return str(self._count)

    def _tell(self, kind: NoticeKind, name: str, **more: Any) -> None:
        if self.listener is None:
            return
        address = self.listener.address
        # A session that failed and is opened again begins anew with its questions and its count.
        life = told_apart(workflow.info().first_execution_run_id)
        notice = Notice(
            key=f"{self._session_id}/{life}/{kind}/{name}/{address}",
            address=address,
            session_id=self._session_id,
            project_path=self._project_path,
            kind=kind,
            at=workflow.time(),
            **more,
        )
        self._courier.backlog.add(Undelivered(queue=self.listener.queue, notice=notice))
