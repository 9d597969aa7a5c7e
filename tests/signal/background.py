"""The fake daemon for tests without a loop of their own, and for clients that are other processes."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.signal.daemon import FakeDaemon
from tests.signal.network import PATIENCE_SECONDS

Result = TypeVar("Result")


@dataclass(frozen=True)
class Background:
    """A daemon in a thread. What it has to do, and its people, goes through `run`; plain values may be looked at."""

    daemon: FakeDaemon
    loop: asyncio.AbstractEventLoop

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Do this in the daemon's loop and wait for what it gives."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(2 * PATIENCE_SECONDS)


@contextlib.contextmanager
def in_background(daemon: FakeDaemon) -> Iterator[Background]:
    """Run a daemon until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fake-signal-cli")
    thread.start()
    background = Background(daemon, loop)
    try:
        background.run(daemon.start())
        try:
            yield background
        finally:
            background.run(daemon.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
