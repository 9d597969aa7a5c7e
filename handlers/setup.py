"""`setup`: what a Temporal server needs once before sessions can be opened there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Final, TypeVar

from handlers import console
from handlers.connection import environ_of
from runtime.namespace import create_namespace
from runtime.search_attributes import AttributesRefused, register
from runtime.settings import Settings
from runtime.temporal import TemporalAway, TemporalRefused, connect_once
from workflows.attributes import KINDS

T = TypeVar("T")

# A new namespace is known to all parts of a server within this long.
_SPREADS_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.2


@dataclass(frozen=True, kw_only=True)
class SetUp:
    """What was done, and what was there."""

    address: str
    namespace: str
    namespace_created: bool
    added: list[str]
    present: list[str]


async def setup(settings: Settings, *, create: bool, retention_days: int, as_json: bool) -> None:
    """Register the search attributes of sessions, in a namespace that is created only if that is asked for."""
    environ = environ_of(settings)
    created = create and await create_namespace(environ, retention_days)
    # One that was there is known to all parts of the server: what they refuse, they refuse for good.
    client = await _spread(lambda: connect_once(environ=environ), (TemporalAway, TemporalRefused) if created else ())
    registered = await _spread(lambda: register(client, KINDS), (AttributesRefused,) if created else ())
    done = SetUp(
        address=client.service_client.config.target_host,
        namespace=client.namespace,
        namespace_created=created,
        added=registered.added,
        present=registered.present,
    )
    if as_json:
        console.document(asdict(done))
    else:
        _tell(done)


async def _spread(work: Callable[[], Awaitable[T]], unknown: tuple[type[Exception], ...]) -> T:
    """Do it as soon as the part of the server that is asked knows the new namespace."""
    async with asyncio.timeout(_SPREADS_SECONDS):
        while True:
            try:
                return await work()
            except unknown:
                await asyncio.sleep(_PAUSE_SECONDS)


def _tell(done: SetUp) -> None:
    console.result(f"Temporal           {done.address}")
    console.result(f"namespace          {done.namespace} ({'created' if done.namespace_created else 'it was there'})")
    for name in (*done.added, *done.present):
        console.result(f"search attribute   {name} ({'added' if name in done.added else 'it was there'})")
    console.note("Sessions can be opened: durable-claude start PATH")
