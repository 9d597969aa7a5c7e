"""Calls that meet a workflow in the moment in which its worker lets go of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client, WorkflowUpdateHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from tests.workflow.conftest import Desk, ScriptedHost, host_working, poke, workflows_working
from workflows import asking
from workflows.messages import SessionOptions, TurnReport

# One call in five comes back unread; so many of them leave no doubt that some did.
ENOUGH = 3
PATIENCE_SECONDS = 60.0


class Counted:
    """How often a call came back unread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        monkeypatch.setattr("workflows.line.read", self._read)

    def _read(self, taken: WorkflowUpdateHandle[TurnReport]) -> WorkflowUpdateHandle[TurnReport]:
        try:
            return asking.read(taken)
        except asking.Unread:
            self.times += 1
            raise


@pytest.fixture
async def forgotten(client: Client, environment: WorkflowEnvironment) -> AsyncIterator[Desk]:
    """A session that somebody looks at, and whose worker has forgotten it after each look."""
    host = ScriptedHost()
    worker = workflows_working(client, host)
    async with worker, host_working(client, host):
        desk = Desk(environment, SessionOptions())
        await desk.open()
        run_id = (await desk.handle.describe()).run_id
        forgetting = asyncio.create_task(forget(worker, desk, run_id))
        yield desk
        forgetting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await forgetting
        await desk.sessions.stop(desk.session_id)


async def forget(worker: Worker, desk: Desk, run_id: str) -> None:
    while True:
        await desk.sessions.status(desk.session_id)
        assert worker._bridge_worker is not None
        worker._bridge_worker.request_workflow_eviction(run_id)


async def test_a_call_that_came_back_unread_is_made_again(
    forgotten: Desk, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Temporal refuses what no worker read, as if the session had: who calls hears only what the session says."""
    counted, calls = Counted(monkeypatch), 0
    give_up = time.monotonic() + PATIENCE_SECONDS
    while counted.times < ENOUGH and time.monotonic() < give_up:
        await poke(client, forgotten.session_id)
        calls += 1
    report = await forgotten.turn(await forgotten.send("and now?"))

    assert counted.times >= ENOUGH, f"{calls} calls did not meet it"
    assert report.state == "done"
