"""The line to a session: its workflow asked by Temporal's means, and every failure of that as one sentence."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, Final

from temporalio.client import Client, WorkflowExecutionDescription, WorkflowUpdateHandle, WorkflowUpdateStage

from claude.identity import check_session_id
from workflows.asking import TRY_SECONDS, patiently
from workflows.errors import CALL_ERRORS, Refused, explain
from workflows.messages import workflow_id

# A worker that is up answers in milliseconds; after this long it is not.
ANSWER_SECONDS: Final = 15.0


class Line:
    """Calls on sessions by their ids."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def update(self, session_id: str, call: Any, *arguments: Any, patience: float = 0.0, **more: Any) -> Any:
        """Call an update. `patience` is how long it may take once a worker has it; to be taken is quick, or nobody is there."""
        handle = self._client.get_workflow_handle(workflow_id(known(session_id)))
        named = {"id": uuid.uuid4().hex, **more}

        def ask() -> Awaitable[WorkflowUpdateHandle[Any]]:
            return handle.start_update(
                call,
                args=arguments,
                wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                rpc_timeout=timedelta(seconds=TRY_SECONDS),
                **named,
            )

        try:
            taken = await patiently(ask, ANSWER_SECONDS)
            async with asyncio.timeout(patience + ANSWER_SECONDS):
                return await taken.result()
        except (TimeoutError, *CALL_ERRORS) as error:
            # The SDK turns a cancellation of the caller into one of these, and nobody may go on after it.
            if (task := asyncio.current_task()) and task.cancelling():
                raise asyncio.CancelledError from error
            raise explain(error, session_id) from error

    async def query(self, session_id: str, query: Any, *arguments: Any) -> Any:
        """Ask what the session, living or ended, knows."""
        handle = self._client.get_workflow_handle(workflow_id(known(session_id)))
        try:
            return await patiently(
                lambda: handle.query(query, *arguments, rpc_timeout=timedelta(seconds=ANSWER_SECONDS)), ANSWER_SECONDS
            )
        except (TimeoutError, *CALL_ERRORS) as error:
            raise explain(error, session_id) from error

    async def describe(self, session_id: str) -> WorkflowExecutionDescription:
        """What Temporal itself knows of the session."""
        handle = self._client.get_workflow_handle(workflow_id(known(session_id)))
        try:
            return await handle.describe(rpc_timeout=timedelta(seconds=ANSWER_SECONDS))
        except CALL_ERRORS as error:
            raise explain(error, session_id) from error


def known(session_id: str) -> str:
    """The id, if it can be one at all."""
    try:
        return check_session_id(session_id)
    except ValueError as error:
        raise Refused(str(error)) from error
