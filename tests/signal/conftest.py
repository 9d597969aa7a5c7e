"""A fake daemon for each test, which must not have been asked for anything that a real one does not do."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from handlers.signal_api import SignalCli, parse_endpoint
from tests.signal.daemon import FakeDaemon


@pytest.fixture
async def daemon(short_path: Path) -> AsyncIterator[FakeDaemon]:
    """A daemon on a UNIX socket."""
    async with FakeDaemon(path=short_path / "signal") as daemon:
        yield daemon
    assert daemon.violations == []


@pytest.fixture
async def signal(daemon: FakeDaemon) -> AsyncIterator[SignalCli]:
    """The transport, on that daemon."""
    signal = SignalCli(parse_endpoint(daemon.endpoint), daemon.account)
    async with aclosing(signal):
        yield signal
