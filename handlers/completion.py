"""What a shell offers for the name of a session. Whatever goes wrong, nothing is offered and nothing is said."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from handlers.connection import connect
from runtime.settings import Settings

# Who pressed a key waits for this; a server that takes longer does not answer.
_PATIENCE_SECONDS: Final = 1.0


def living(beginning: str) -> list[str]:
    """The sessions that live and whose ids begin so."""
    return _offered(beginning, ended=False)


def known(beginning: str) -> list[str]:
    """The same with those that have ended."""
    return _offered(beginning, ended=True)


def _offered(beginning: str, *, ended: bool) -> list[str]:
    with contextlib.suppress(Exception):
        return asyncio.run(_listed(beginning, ended=ended))
    return []


async def _listed(beginning: str, *, ended: bool) -> list[str]:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        sessions = await connect(Settings.from_env())
        return [row.session_id async for row in sessions.list(ended=ended, beginning=beginning)]
