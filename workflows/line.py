"""The line to a session: its workflow asked by Temporal's means, and every failure of that as one sentence."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final, TypeVar, cast

from temporalio.client import Client, WorkflowExecutionDescription, WorkflowUpdateHandle, WorkflowUpdateStage
from temporalio.common import QueryRejectCondition
from temporalio.exceptions import WorkflowAlreadyStartedError

from claude.identity import check_session_id
from workflows.asking import TRY_SECONDS, patiently, read
from workflows.edge import Call
from workflows.errors import CALL_ERRORS, Refused, explain, is_called_off
from workflows.messages import OpenSession, workflow_id

T = TypeVar("T")

# A worker that is up answers in milliseconds; after this long it is not.
ANSWER_SECONDS: Final = 15.0


class Line:
    """Calls on sessions by their ids."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def update(
        self, session_id: str, call: Call[T], *arguments: Any, patience: float = 0.0, call_id: str = "", **more: Any
    ) -> T:
        """Call an update. `patience` is how long it may take once a worker has it; to be taken is quick, or nobody is there.

        A call that comes again under its id, to the same run of the workflow, is answered and not done twice.
        """
        # Ids are those of all calls together, and one message of a person may set off two of them.
        named = {"id": f"{call.name}-{call_id}" if call_id else uuid.uuid4().hex, **more}
        return await answer(session_id, await self.taken(session_id, call, *arguments, **named), patience)

    async def taken(self, session_id: str, call: Call[T], *arguments: Any, **named: Any) -> WorkflowUpdateHandle[T]:
        """Call an update and return as soon as the session has it."""
        handle = self._client.get_workflow_handle(workflow_id(known(session_id)))

        async def ask() -> WorkflowUpdateHandle[T]:
            taken: WorkflowUpdateHandle[T] = await handle.start_update(
                call.name,
                args=arguments,
                result_type=call.answer,
                wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                rpc_timeout=timedelta(seconds=TRY_SECONDS),
                **named,
            )
            return read(taken)

        with explaining(session_id):
            return await patiently(ask, ANSWER_SECONDS)

    async def query(self, session_id: str, call: Call[T], *arguments: Any, of_living: bool = False) -> T:
        """Ask what the session, living or ended, knows; `of_living` raises SessionEnded for one that has ended."""
        handle = self._client.get_workflow_handle(workflow_id(known(session_id)))
        rejected = QueryRejectCondition.NOT_OPEN if of_living else None

        async def ask() -> T:
            # The SDK tries again by itself with ever longer pauses, up to half a minute: that is too polite here.
            # Not `wait_for`: before Python 3.12 that forgets a cancellation which comes together with the answer.
            async with asyncio.timeout(TRY_SECONDS):
                answered: T = await handle.query(
                    call.name, args=arguments, result_type=call.answer, reject_condition=rejected
                )
                return answered

        with explaining(session_id):
            return await patiently(ask, ANSWER_SECONDS)

    async def opened(self, session_id: str) -> OpenSession:
        """What the session's latest run was started with."""
        handle = self._client.get_workflow_handle(workflow_id(known(session_id)))
        with explaining(session_id):
            begun = await anext(handle.fetch_history_events(page_size=1))
        payloads = begun.workflow_execution_started_event_attributes.input.payloads
        [opened] = await self._client.data_converter.decode(payloads, [OpenSession])
        return cast(OpenSession, opened)

    async def describe(self, session_id: str) -> WorkflowExecutionDescription:
        """What Temporal itself knows of the session."""
        handle = self._client.get_workflow_handle(workflow_id(known(session_id)))
        with explaining(session_id):
            return await handle.describe(rpc_timeout=timedelta(seconds=ANSWER_SECONDS))


async def answer(session_id: str, taken: WorkflowUpdateHandle[T], patience: float = 0.0) -> T:
    """What an update answers that the session has; `patience` is how long that may take."""
    with explaining(session_id):
        async with asyncio.timeout(patience + ANSWER_SECONDS):
            return await taken.result()


@contextlib.contextmanager
def explaining(session_id: str) -> Iterator[None]:
    """What goes wrong with a call in the block, as one sentence."""
    try:
        yield
    except (TimeoutError, *CALL_ERRORS, WorkflowAlreadyStartedError) as error:
        if is_called_off():
            raise asyncio.CancelledError from error
        raise explain(error, session_id) from error


def known(session_id: str) -> str:
    """The id, if it can be one at all."""
    try:
        return check_session_id(session_id)
    except ValueError as error:
        raise Refused(str(error)) from error
