"""The line to a session, when whoever is on it goes away."""

from __future__ import annotations

import asyncio
import contextlib

from tests.workflow.conftest import Desk
from workflows.errors import SessionError

# Enough that some are called off at each moment of a query, also in the one in which its answer is there.
ASKING = 60


async def test_who_is_called_off_asks_no_more(desk: Desk) -> None:
    """A task that looks at a session again and again ends with its cancellation, whatever the query is at."""
    await desk.open()

    async def look() -> None:
        while True:
            with contextlib.suppress(SessionError):
                await desk.status()

    looking = []
    for number in range(ASKING):
        looking.append(asyncio.create_task(look()))
        # Not a wait for anything: the moments of the cancellations are to be different ones.
        await asyncio.sleep(0.0005 * number)
        looking[-1].cancel()
    ended, still = await asyncio.wait(looking, timeout=10)
    for task in still:
        task.cancel()

    assert (len(ended), len(still)) == (ASKING, 0)
