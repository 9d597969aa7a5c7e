"""How a session is opened: what its workflow is started with."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import Any, TypeVar

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowUpdateHandle, WorkflowUpdateStage
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from workflows import attributes, edge
from workflows.asking import patiently, read
from workflows.edge import Call
from workflows.errors import Refused
from workflows.line import ANSWER_SECONDS, answer, explaining, known
from workflows.messages import (
    SHARED_QUEUE,
    WORKFLOW_TYPE,
    Message,
    OpenSession,
    SessionOptions,
    SessionReport,
    TurnAccepted,
    workflow_id,
)
from workflows.notices import Listener, check_listener
from workflows.page import introduction, memo, summary

T = TypeVar("T")


class Opening:
    """Starts sessions for one handler, and with a listener where none is named."""

    def __init__(self, client: Client, options: SessionOptions, handler: str, listener: Listener | None) -> None:
        self._client = client
        self._options = options
        self._handler = handler
        self._listener = listener

    def opened(self, project_path: str, session_id: str, listener: Listener | None = None) -> OpenSession:
        """What a new session is started with."""
        told = listener or self._listener
        return OpenSession(
            session_id=known(session_id),
            project_path=project_path,
            options=self._options,
            handler=self._handler,
            listener=checked(told) if told else None,
            writes_less=True,
        )

    async def start(self, opened: OpenSession) -> None:
        """Start a session; Refused when it is open already."""
        with explaining(opened.session_id):
            await self._client.start_workflow(WORKFLOW_TYPE, opened, **self._start_arguments(opened))

    async def start_with(self, opened: OpenSession, message: Message) -> TurnAccepted:
        """Start a session with its first message in one step; a resend of the same message is answered alike."""

        async def ask() -> WorkflowUpdateHandle[TurnAccepted]:
            policy = WorkflowIDConflictPolicy.USE_EXISTING
            return read(await self._start_and_ask(opened, policy, edge.SEND, message, message.turn_id))

        with explaining(opened.session_id):
            taken = await patiently(ask, ANSWER_SECONDS)
        return await answer(opened.session_id, taken)

    async def start_ready(self, opened: OpenSession, seconds: float) -> SessionReport:
        """Start a session and wait for a while until its claude is up; Refused when it is open already.

        The workflow's first task takes both up, which spares it one while claude starts.
        """
        policy = WorkflowIDConflictPolicy.FAIL
        # Tried once: a second try would find the session that the first one has opened.
        with explaining(opened.session_id):
            async with asyncio.timeout(ANSWER_SECONDS):
                taken = await self._start_and_ask(opened, policy, edge.WAIT_READY, seconds, uuid.uuid4().hex)
        return await answer(opened.session_id, taken, patience=seconds)

    async def _start_and_ask(
        self, opened: OpenSession, policy: WorkflowIDConflictPolicy, call: Call[T], argument: Any, call_id: str
    ) -> WorkflowUpdateHandle[T]:
        start: WithStartWorkflowOperation[Any, SessionReport] = WithStartWorkflowOperation(
            WORKFLOW_TYPE, opened, id_conflict_policy=policy, **self._start_arguments(opened)
        )
        try:
            taken: WorkflowUpdateHandle[T] = await self._client.start_update_with_start_workflow(
                call.name,
                argument,
                start_workflow_operation=start,
                wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                id=call_id,
                result_type=call.answer,
            )
            return taken
        except Exception:
            # The SDK tells the start's fate a second time, to whoever asks for its handle: nobody would.
            with contextlib.suppress(Exception):
                await start.workflow_handle()
            raise

    @property
    def _is_secret(self) -> bool:
        return self._client.data_converter.payload_codec is not None

    def _start_arguments(self, opened: OpenSession) -> dict[str, Any]:
        first = SessionReport(session_id=opened.session_id, project_path=opened.project_path, status="starting")
        return {
            "id": workflow_id(opened.session_id),
            "task_queue": SHARED_QUEUE,
            # A failed session may be opened again and resumes its conversation; a stopped one stays stopped.
            "id_reuse_policy": WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            "static_summary": summary(opened),
            "static_details": introduction(opened),
            "memo": memo(first),
            "search_attributes": attributes.at_start(opened, is_secret=self._is_secret),
        }


def checked(listener: Listener) -> Listener:
    """The listener, if somebody can be told there."""
    try:
        check_listener(listener)
    except ValueError as error:
        raise Refused(str(error)) from error
    return listener
