"""Calls that reach their handler without their validator, as the SDK lets them after a task that failed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import (
    HandleUpdateInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from tests.workflow.conftest import Desk, ScriptedHost, host_working, workflows_working
from workflows import edge
from workflows.approvals import Answer
from workflows.errors import SessionError
from workflows.messages import Listen, Message, SessionOptions
from workflows.notices import Listener

Act = Callable[[Desk], Awaitable[Any]]


class SkipsValidators(WorkflowInboundInterceptor):
    """Lets every update pass."""

    def handle_update_validator(self, input: HandleUpdateInput) -> None:
        return


class Unvalidated(Interceptor):
    """A worker whose workflows validate nothing."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        return SkipsValidators


@pytest.fixture
async def desk(client: Client, environment: WorkflowEnvironment) -> AsyncIterator[Desk]:
    """An open session of such a worker."""
    host = ScriptedHost()
    async with workflows_working(client, host, Unvalidated()), host_working(client, host):
        sitting = Desk(environment, SessionOptions())
        await sitting.open()
        yield sitting
        await sitting.sessions.stop(sitting.session_id)


async def answers_nothing(desk: Desk) -> None:
    await desk.sessions.resolve(desk.session_id, Answer(approval_id="a1", decision="allow"))


async def interrupts_nothing(desk: Desk) -> None:
    await desk.sessions.interrupt(desk.session_id)


async def sends_nothing(desk: Desk) -> None:
    # As somebody does who has a client of their own: ours refuses it before it travels.
    await desk.sessions._line.update(desk.session_id, edge.SEND, Message(turn_id="t", text=""))


async def tells_nobody(desk: Desk) -> None:
    listener = Listener(queue="", address="")
    await desk.sessions._line.update(desk.session_id, edge.LISTEN, Listen(listener=listener))


@pytest.mark.parametrize("act", [answers_nothing, interrupts_nothing, sends_nothing, tells_nobody])
async def test_what_cannot_be_done_is_refused_all_the_same(desk: Desk, act: Act) -> None:
    """The handler refuses it itself; failing the workflow's task in its place would wedge the session for good."""
    with pytest.raises(SessionError) as refused:
        await act(desk)
    report = await desk.turn(await desk.send("and now?"))

    assert "no worker answered" not in str(refused.value)
    assert report.state == "done"
