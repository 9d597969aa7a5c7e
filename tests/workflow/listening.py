"""A handler that is told things: it takes notices on a queue of its own, or does not, as a test scripts it."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from workflows.notices import NOTICE_REFUSED, NOTIFY, Listener, Notice


class Handler:
    """Writes down each attempt, with the run it came from, and each notice that was taken."""

    def __init__(self) -> None:
        self.queue = f"handler-{uuid.uuid4().hex[:8]}"
        self.attempts: list[tuple[str, str]] = []
        self.taken: list[Notice] = []
        self.is_deaf = False
        """It is up and its medium is not: an attempt fails and is made again."""
        self.refuses: Callable[[Notice], bool] = lambda _: False

    def listener(self, address: str = "d:somebody") -> Listener:
        """Who is told."""
        return Listener(queue=self.queue, address=address)

    @activity.defn(name=NOTIFY)
    async def notify(self, notice: Notice) -> None:
        self.attempts.append((notice.key, activity.info().workflow_run_id or ""))
        if self.is_deaf:
            raise ApplicationError("deaf", next_retry_delay=timedelta(milliseconds=100))
        if self.refuses(notice):
            raise ApplicationError("never", type=NOTICE_REFUSED)
        self.taken.append(notice)

    @contextlib.asynccontextmanager
    async def working(self, client: Client) -> AsyncIterator[None]:
        """It is up inside the block."""
        async with Worker(client, task_queue=self.queue, identity=uuid.uuid4().hex, activities=[self.notify]):
            yield

    @property
    def names(self) -> list[str]:
        """What was taken, without what all keys of a session share."""
        return [name_of(notice) for notice in self.taken]


def name_of(notice: Notice) -> str:
    """Kind and name of what a notice is about."""
    return "/".join(notice.key.removesuffix(f"/{notice.address}").split("/")[2:])
