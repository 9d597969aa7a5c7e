"""How long to wait, and waiting that ends early when something happens."""

from __future__ import annotations

import asyncio
from typing import Final

# Doubled this often any pause is longer than its limit; unbounded the power would outgrow a float after a day's outage.
_DOUBLINGS: Final = 30


def growing(first: float, longest: float, tries: int) -> float:
    """The pause in seconds after so many tries: twice as long each time, up to a limit."""
    return min(longest, first * 2.0 ** min(tries, _DOUBLINGS))


async def at_most(seconds: float, event: asyncio.Event) -> None:
    """Wait until something happens, but no longer than this."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
