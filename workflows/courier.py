"""Delivery of notices to a handler, one after the other, however long the handler is away. No session waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from workflows.backlog import Backlog
    from workflows.host import failure_type
    from workflows.messages import SHARED_QUEUE
    from workflows.notices import NOTICE_REFUSED, NOTIFY, Listener, Notice, Undelivered, told_apart
    from workflows.waiting import let_go, within

COURIER_TYPE: Final = "CourierWorkflow"
# A handler keeps a notice at once; one that died over it is asked again after this.
NOTIFY_WITHIN: Final = timedelta(seconds=30)
# A handler that is down is not asked at all; one that is up and cannot deliver is asked once a minute.
NOTIFY_RETRY: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    maximum_interval=timedelta(seconds=60),
    non_retryable_error_types=[NOTICE_REFUSED],
)
# A handler that is up has taken the last notices by then; the session shall end all the same.
LAST_SECONDS: Final = 10.0
# News of a session that ended a week ago are none.
GIVE_UP_SECONDS: Final = 7 * 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class LastNotices:
    """What a session that is over could not deliver."""

    session_id: str
    undelivered: list[Undelivered]


class Courier:
    """Delivers in order and one at a time. Whoever has nothing to deliver leaves no trace in history."""

    def __init__(self, carried: list[Undelivered]) -> None:
        self.backlog = Backlog(carried)
        self._delivering: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Deliver what there is, and what comes."""
        if self._delivering is None:
            self._delivering = asyncio.create_task(self._deliver())

    def readdress(self, listener: Listener | None) -> None:
        """Somebody else takes what is not delivered, also what is on its way."""
        self._rest()
        self.backlog.readdress(listener)
        self.start()

    async def finish(self, session_id: str) -> None:
        """The session is over: wait for a moment, and leave the rest to a workflow of its own."""
        if not self.backlog:
            return
        # The session has ended already: a cancellation only says not to wait.
        with contextlib.suppress(asyncio.CancelledError):
            await within(LAST_SECONDS, lambda: not self.backlog, "the last notices")
        self._rest()
        if self.backlog:
            await workflow.start_child_workflow(
                COURIER_TYPE,
                LastNotices(session_id=session_id, undelivered=self.backlog.carry()),
                # A session that is opened again may fail again, while the notices of its first end wait.
                id=f"notices-{session_id}-{told_apart(workflow.info().run_id)}",
                task_queue=SHARED_QUEUE,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                static_summary=f"the last notices of session {session_id}",
            )

    def _rest(self) -> None:
        if self._delivering is not None:
            let_go(self._delivering)
            self._delivering = None

    async def _deliver(self) -> None:
        while True:
            await workflow.wait_condition(lambda: bool(self.backlog))
            await deliver(self.backlog.first)
            self.backlog.take_off()


@workflow.defn(name=COURIER_TYPE)
class CourierWorkflow:
    """Delivers what a session left behind."""

    @workflow.run
    async def run(self, last: LastNotices) -> int:
        """Return how many were delivered within a week."""
        until, delivered = workflow.time() + GIVE_UP_SECONDS, 0
        for one in last.undelivered:
            if (left := until - workflow.time()) > 0:
                delivered += await deliver(one, timedelta(seconds=left))
        return delivered


async def deliver(one: Undelivered, patience: timedelta | None = None) -> bool:
    """Whether the handler has it. False when it never will, which must not keep those behind from it."""
    try:
        await workflow.execute_activity(
            NOTIFY,
            one.notice,
            task_queue=one.queue,
            start_to_close_timeout=NOTIFY_WITHIN,
            schedule_to_close_timeout=patience,
            retry_policy=NOTIFY_RETRY,
            summary=_summary(one.notice),
        )
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise
        workflow.logger.warning("a notice was not taken: %s, %s", one.notice.kind, failure_type(error) or "no answer")
        return False
    return True


def _summary(notice: Notice) -> str:
    about = notice.approval.tool if notice.approval else notice.asked or notice.status or notice.text
    return f"tell {notice.kind}: {about[:80]}"
