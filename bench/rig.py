"""The whole product in a private place: the embedded Temporal server, a worker process, the API of handlers."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator

from temporalio.client import Client

from bench.place import Place
from bench.worker_process import WorkerProcess
from demo.stage import free_ports
from runtime import dev_server
from runtime.dev_server import DevServerPlan
from runtime.server_record import read_record
from runtime.temporal import connect_once
from workflows.attributes import KINDS
from workflows.client import Sessions
from workflows.messages import Message, SessionOptions, TurnReport


class Rig:
    """What a subject that needs Temporal works with."""

    def __init__(self, place: Place, plan: DevServerPlan, client: Client, worker: WorkerProcess) -> None:
        self.place = place
        self.plan = plan
        self.client = client
        self.worker = worker
        self.sessions = Sessions(client)
        self.environ = worker_environ(place, plan)
        """Of a worker, or of a command beside it."""

    async def start_worker(self) -> None:
        """A new worker in the place of one that was ended."""
        self.worker = await WorkerProcess.start(self.environ)

    @contextlib.asynccontextmanager
    async def session(self, options: SessionOptions | None = None) -> AsyncIterator[str]:
        """The id of an open session that is ready; stopped afterwards."""
        session_id = f"bench-{uuid.uuid4().hex[:8]}"
        opener = Sessions(self.client, options)
        report = await opener.open_ready(str(self.place.project), session_id=session_id)
        try:
            if report.status != "ready":
                raise RuntimeError(f"session {session_id!r} is {report.status}: {report.note}")
            yield session_id
        finally:
            # Without a worker nobody answers the stop; what is left then ends with the place.
            if self.worker.is_running:
                await self.sessions.stop(session_id, timeout_seconds=0)

    async def turn(self, session_id: str, text: str) -> TurnReport:
        """One turn from the message to its result, sent and waited for in one call."""
        turn_id = uuid.uuid4().hex
        report = await self.sessions.ask(session_id, Message(turn_id=turn_id, text=text))
        if report.ended is None or report.ended.is_error:
            raise RuntimeError(f"turn {turn_id!r} of session {session_id!r} went wrong: {report}")
        return report


@contextlib.asynccontextmanager
async def full_rig(place: Place) -> AsyncIterator[Rig]:
    """A server and a worker, both gone afterwards."""
    port, ui_port = free_ports()
    plan = DevServerPlan(
        state_directory=place.settings.state_directory, port=port, ui_port=ui_port, search_attributes=KINDS
    )
    try:
        await dev_server.start(plan)
        worker = await WorkerProcess.start(worker_environ(place, plan))
        rig = Rig(place, plan, await connect_once(environ=plan.connection), worker)
        try:
            yield rig
        finally:
            await rig.worker.end()
    finally:
        # By its record, since a start that is called off in the middle leaves a server too.
        if record := read_record(plan.record):
            await asyncio.to_thread(record.end)


def worker_environ(place: Place, plan: DevServerPlan) -> dict[str, str]:
    """The environment of a worker of this place."""
    return {**place.settings.environ, **plan.connection}
