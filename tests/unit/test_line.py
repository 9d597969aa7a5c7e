"""Asking a session, and leaving while it answers."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from temporalio.client import Client

from workflows import edge
from workflows.line import Line
from workflows.messages import SessionReport

REPORT = SessionReport(session_id="s", project_path="/project", status="ready")


async def test_who_leaves_together_with_the_answer_has_left() -> None:
    """A loop that asks again and again ends when it is cancelled, also in the moment of an answer."""
    answered: asyncio.Future[SessionReport] = asyncio.get_running_loop().create_future()

    async def query(*arguments: Any, **more: Any) -> SessionReport:
        return await asyncio.shield(answered)

    has_left = False
    line = Line(cast(Client, SimpleNamespace(get_workflow_handle=lambda _: SimpleNamespace(query=query))))

    async def look_on() -> None:
        while not has_left:
            await line.query("s", edge.STATUS)
            await asyncio.sleep(0)

    for steps in range(6):
        answered = asyncio.get_running_loop().create_future()
        looking = asyncio.create_task(look_on())
        await asyncio.sleep(0.01)
        answered.set_result(REPORT)
        for _ in range(steps):
            await asyncio.sleep(0)
        looking.cancel()
        done, _ = await asyncio.wait([looking], timeout=1)
        has_left = not done

        assert done == {looking}, f"it went on when it was cancelled {steps} steps after the answer"
