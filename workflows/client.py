"""Sessions: the API that handlers use. It knows the workflow's edge and nothing of processes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.calls import AnswerPart, Origin
from claude.identity import check_conversation_id
from workflows.approvals import Answer, Approval
from workflows.asking import patiently
from workflows.errors import CALL_ERRORS, NoWorker, Refused, SessionEnded, explain
from workflows.line import ANSWER_SECONDS, Line, known
from workflows.messages import (
    SHARED_QUEUE,
    WORKFLOW_TYPE,
    AwaitTurn,
    CancelTurn,
    Message,
    OpenSession,
    ReadTurn,
    SessionOptions,
    SessionReport,
    StopSession,
    TurnAccepted,
    TurnReport,
    check_message,
    workflow_id,
)
from workflows.page import memo
from workflows.rows import SessionRow, refreshed, row
from workflows.session import SessionWorkflow

# One long poll: short enough to leave room for others (ten updates may be in flight per session).
POLL_SECONDS: Final = 15.0
# A session that moves on to its next run answers at once; asking again at once would fill its history.
HURRIED_SECONDS: Final = 0.2
# Once may be a session that moved on in that moment; a session that has ended says so again.
ENDED_ANSWERS: Final = 3
# A list is looked at often; a session that takes longer than this has no worker.
OVERVIEW_SECONDS: Final = 2.0
# A stop takes seconds; a host that is away makes it take longer, which is told and not waited for here.
STOP_SECONDS: Final = 90.0


class Sessions:
    """Open, talk to, look at and stop sessions through Temporal."""

    def __init__(self, client: Client, options: SessionOptions | None = None) -> None:
        self._client = client
        self._line = Line(client)
        self._options = options or SessionOptions()

    async def open(self, project_path: str, *, session_id: str, origin: Origin | None = None) -> None:
        """Start a session, perhaps with a conversation of claude's. Opening one that is open already raises Refused."""
        if origin is not None:
            check_origin(origin)
        await self._start(replace(self._opened(project_path, session_id), origin=origin))

    async def adopt(self, project_path: str, conversation_id: str, *, session_id: str) -> None:
        """Start a session that goes on with a conversation claude already has on its host."""
        await self.open(project_path, session_id=session_id, origin=Origin(conversation_id=conversation_id))

    async def fork(self, session_id: str, new_id: str) -> None:
        """Start a second session with a copy of what was said in this one, which goes on as it is."""
        report = await self.status(session_id)
        origin = Origin(conversation_id=report.conversation_id, is_forked=True)
        # Only its own host has the transcript.
        await self._start(replace(self._opened(report.project_path, new_id), origin=origin, host_id=report.host_id))

    async def _start(self, opened: OpenSession) -> None:
        try:
            await self._client.start_workflow(SessionWorkflow.run, opened, **self._start_arguments(opened))
        except (*CALL_ERRORS, WorkflowAlreadyStartedError) as error:
            raise explain(error, opened.session_id) from error

    async def open_with(self, project_path: str, message: Message, *, session_id: str) -> TurnAccepted:
        """Start a session with its first message in one step; a resend of the same message is answered alike."""
        check(message)
        opened = self._opened(project_path, session_id)
        try:
            return await patiently(lambda: self._start_with(opened, message), ANSWER_SECONDS)
        except (TimeoutError, *CALL_ERRORS, WorkflowAlreadyStartedError) as error:
            raise explain(error, session_id) from error

    async def _start_with(self, opened: OpenSession, message: Message) -> TurnAccepted:
        start = WithStartWorkflowOperation(
            SessionWorkflow.run,
            opened,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            **self._start_arguments(opened),
        )
        try:
            return await self._client.execute_update_with_start_workflow(
                SessionWorkflow.send, message, start_workflow_operation=start, id=message.turn_id
            )
        except Exception:
            # The SDK tells the start's fate a second time, to whoever asks for its handle: nobody would.
            with contextlib.suppress(Exception):
                await start.workflow_handle()
            raise

    async def send(self, session_id: str, message: Message) -> TurnAccepted:
        """Enqueue a message; returns as soon as the session has taken it."""
        check(message)
        accepted: TurnAccepted = await self._line.update(session_id, SessionWorkflow.send, message, id=message.turn_id)
        return accepted

    async def wait_ready(self, session_id: str) -> SessionReport:
        """Return when claude is up, or the session has ended."""
        while True:
            try:
                report: SessionReport = await self._line.update(
                    session_id, SessionWorkflow.wait_ready, POLL_SECONDS, patience=POLL_SECONDS
                )
            except SessionEnded:
                return await self.status(session_id)
            if report.status not in ("starting", "restarting") or report.note:
                return report

    async def wait_turn(self, session_id: str, turn_id: str, seconds: float | None = None) -> TurnReport:
        """Return when the turn has ended, whatever became of it, or after some seconds where it stands."""
        deadline = None if seconds is None else time.monotonic() + seconds
        answers_left = ENDED_ANSWERS
        while True:
            asked_at = time.monotonic()
            left = POLL_SECONDS if deadline is None else min(POLL_SECONDS, deadline - time.monotonic())
            try:
                call = AwaitTurn(turn_id=turn_id, seconds=max(0.0, left))
                report: TurnReport = await self._line.update(
                    session_id, SessionWorkflow.wait_turn, call, patience=POLL_SECONDS
                )
            except SessionEnded:
                report = await self._line.query(session_id, SessionWorkflow.turn, turn_id)
                answers_left -= 1
                if report.state in ("queued", "running") and not answers_left:
                    # It was terminated: nobody closed its turns.
                    raise
            if report.state not in ("queued", "running") or (deadline is not None and time.monotonic() >= deadline):
                return report
            if time.monotonic() - asked_at < HURRIED_SECONDS:
                await asyncio.sleep(HURRIED_SECONDS)

    async def full_text(self, session_id: str, turn_id: str) -> str:
        """The whole answer of a turn, of which reports have the beginning; an ended session gives no more than that."""
        report: TurnReport = await self._line.query(session_id, SessionWorkflow.turn, turn_id)
        if report.ended is None:
            raise Refused(f"turn {turn_id!r} has no answer: it is {report.state}")
        if not report.ended.text_truncated:
            return report.ended.text
        text = ""
        while True:
            call = ReadTurn(turn_id=turn_id, start=len(text))
            part: AnswerPart = await self._line.update(
                session_id, SessionWorkflow.read_answer, call, patience=POLL_SECONDS
            )
            text += part.text
            if len(text) >= part.total or not part.text:
                return text

    async def resolve(self, session_id: str, answer: Answer) -> Approval:
        """Answer a question of claude's; Refused says why an answer cannot apply."""
        approval: Approval = await self._line.update(session_id, SessionWorkflow.resolve_permission, answer)
        return approval

    async def interrupt(self, session_id: str) -> SessionReport:
        """End the running turn; the session lives on."""
        report: SessionReport = await self._line.update(session_id, SessionWorkflow.interrupt)
        return report

    async def cancel_turn(self, session_id: str, turn_id: str) -> TurnReport:
        """Take a queued turn back; Refused when it runs already."""
        report: TurnReport = await self._line.update(
            session_id, SessionWorkflow.cancel_turn, CancelTurn(turn_id=turn_id)
        )
        return report

    async def stop(
        self, session_id: str, timeout_seconds: float | None = None, *, when: Literal["now", "after_turn"] = "now"
    ) -> SessionReport:
        """Return when no process of the session is left. Stopping a stopped session is not an error.

        `after_turn` waits for the running turn first, for as long as that takes.
        """
        call = StopSession(timeout_seconds=timeout_seconds, when=when)
        while True:
            try:
                report: SessionReport = await self._line.update(
                    session_id, SessionWorkflow.stop, call, patience=STOP_SECONDS
                )
                return report
            except SessionEnded:
                return await self.status(session_id)
            except NoWorker:
                if when == "now":
                    raise

    async def status(self, session_id: str) -> SessionReport:
        """What the session is and does; answered by a worker, also after the session's end."""
        report: SessionReport = await self._line.query(session_id, SessionWorkflow.status)
        return report

    async def doing(self, session_id: str) -> dict[str, Any]:
        """What the running turn's follower said last, straight from Temporal; empty when no turn runs."""
        description = await self._line.describe(session_id)
        # Who lacks the session's key learns it here, before they write to it in the clear.
        await description.memo()
        for pending in description.raw_description.pending_activities:
            if pending.activity_type.name == "send_turn" and pending.heartbeat_details.payloads:
                [details] = await self._client.data_converter.decode(pending.heartbeat_details.payloads)
                return dict(details)
        return {}

    async def list(self, *, ended: bool = False) -> AsyncIterator[SessionRow]:
        """The sessions that live, newest first; with `ended` all that Temporal still knows."""
        query = f"WorkflowType = '{WORKFLOW_TYPE}'" + ("" if ended else " AND ExecutionStatus = 'Running'")
        async for execution in self._client.list_workflows(query):
            yield await row(execution)

    async def overview(self, *, ended: bool = False) -> Sequence[SessionRow]:
        """The list with what the living sessions say of themselves; those that do not answer in time stay as listed."""
        rows = [row async for row in self.list(ended=ended)]
        asking = {row.session_id: asyncio.create_task(self.status(row.session_id)) for row in rows if not row.has_ended}
        if asking:
            _, silent = await asyncio.wait(asking.values(), timeout=OVERVIEW_SECONDS)
            for task in silent:
                task.cancel()
            await asyncio.gather(*asking.values(), return_exceptions=True)
        return [refreshed(row, asking.get(row.session_id)) for row in rows]

    def _opened(self, project_path: str, session_id: str) -> OpenSession:
        return OpenSession(session_id=known(session_id), project_path=project_path, options=self._options)

    def _start_arguments(self, opened: OpenSession) -> dict[str, Any]:
        first = SessionReport(session_id=opened.session_id, project_path=opened.project_path, status="starting")
        return {
            "id": workflow_id(opened.session_id),
            "task_queue": SHARED_QUEUE,
            # A failed session may be opened again and resumes its conversation; a stopped one stays stopped.
            "id_reuse_policy": WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            "static_summary": f"claude in {opened.project_path}"[:200],
            "memo": memo(first),
        }


def check(message: Message) -> None:
    """Refuse a message before it travels: a too large one would wedge the session it is sent to."""
    try:
        check_message(message)
    except ValueError as error:
        raise Refused(str(error)) from error


def check_origin(origin: Origin) -> None:
    """Refuse an id that cannot be a conversation's."""
    try:
        check_conversation_id(origin.conversation_id)
    except ValueError as error:
        raise Refused(str(error)) from error
