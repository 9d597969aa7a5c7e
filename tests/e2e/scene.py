"""One host with a worker, its server, and the scripted model: everything real that a session needs, to be killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
from temporalio.client import Client

from claude.command import find_executable
from demo.messages_api import MessagesApi
from demo.stage import Stage, Workers, claudes_environment, directories, free_ports, workers
from demo.trace import Trace
from runtime import dev_server
from runtime.dev_server import DevServer, DevServerPlan
from runtime.settings import Settings
from runtime.temporal import connect_once, temporal_binary
from workflows.approvals import Answer, Approval, Decision
from workflows.attributes import KINDS
from workflows.client import Sessions
from workflows.messages import Message, SessionOptions, SessionReport, TurnReport

PATIENCE_SECONDS = 60.0
# So long that no test passes by a heartbeat that ran out: what ends is seen to have ended.
OPTIONS = SessionOptions(heartbeat_timeout_seconds=600.0, host_away_seconds=60.0)


# The CLI that is tested: an older or newer one than the SDK package brings, when this is set.
CHOSEN = {name: value for name in ("DURABLE_CLAUDE_EXECUTABLE",) if (value := os.environ.get(name))}


def the_claude(path: str) -> Path:
    """The chosen CLI, or the first one found."""
    chosen = CHOSEN.get("DURABLE_CLAUDE_EXECUTABLE")
    return find_executable(Path(chosen) if chosen else None, path)


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """The condition's value, once it is true."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (value := await condition()):
            await asyncio.sleep(0.05)
    return value


@dataclass(kw_only=True)
class Scene:
    """One host with one worker, its server, and the model that claude talks to."""

    stage: Stage
    plan: DevServerPlan
    server: DevServer
    client: Client
    api: MessagesApi
    workers: Workers
    worker: asyncio.subprocess.Process | None = None
    options: SessionOptions = OPTIONS

    @property
    def sessions(self) -> Sessions:
        return Sessions(self.client, self.options)

    async def new_worker(self) -> None:
        self.worker = await self.workers.start()

    async def kill_worker(self) -> None:
        assert self.worker is not None
        await self.workers.kill(self.worker)

    async def drain_worker(self) -> int:
        """SIGTERM for the worker; its exit code."""
        assert self.worker is not None
        self.worker.terminate()
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.worker.wait()

    async def kill_server(self) -> None:
        assert self.server.record is not None
        server = psutil.Process(self.server.record.pid)
        server.kill()
        await asyncio.to_thread(psutil.wait_procs, [server], PATIENCE_SECONDS)

    async def bring_server_back(self) -> None:
        self.server = await dev_server.start(self.plan)

    async def open(self) -> SessionReport:
        session_id = f"fault-{uuid.uuid4().hex[:8]}"
        await self.sessions.open(str(self.stage.project), session_id=session_id)
        report = await self.sessions.wait_ready(session_id)
        assert report.status == "ready", report.note
        return report

    async def begin(self, session: SessionReport, prompt: str) -> None:
        """Send the prompt and return once the model has been asked for it."""
        await self.sessions.send(session.session_id, Message(turn_id=prompt, text=prompt))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.api.wait_asked(prompt)

    async def until_result(self, session: SessionReport) -> None:
        """Return once claude has written its first result, whether anybody looks or not."""

        async def has_result() -> bool:
            return self.trace(session).results() == 1

        await until(has_result)

    async def end(self, session: SessionReport, turn_id: str) -> TurnReport:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.sessions.wait_turn(session.session_id, turn_id)

    async def asked(self, session: SessionReport, count: int = 1) -> Approval:
        """The newest question, once this many wait for a person."""

        report = session

        async def look() -> bool:
            nonlocal report
            report = await self.sessions.status(session.session_id)
            return len(report.approvals) == count

        try:
            await until(look)
        except TimeoutError:
            raise AssertionError(f"{count} questions were to wait: {report}") from None
        return report.approvals[-1]

    async def answer(self, session: SessionReport, approval: Approval, decision: Decision, **more: Any) -> None:
        answer = Answer(approval_id=approval.approval_id, decision=decision, **more)
        await self.sessions.resolve(session.session_id, answer)

    async def kill_claude(self, session: SessionReport) -> None:
        """SIGKILL for the session's claude; returns when the next one is up."""
        psutil.Process(session.pid).kill()

        async def is_back() -> bool:
            status = await self.sessions.status(session.session_id)
            return status.status == "ready" and status.pid != session.pid

        await until(is_back)

    async def stop(self, session: SessionReport) -> SessionReport:
        report = await self.sessions.stop(session.session_id)
        assert self.trace(session).processes() == []
        return report

    def trace(self, session: SessionReport) -> Trace:
        return Trace(session_id=session.session_id, host=self.stage.host)


@contextlib.asynccontextmanager
async def playing(server_options: str = "", **settings: str) -> AsyncIterator[Scene]:
    """A scene without a worker yet; `settings` are added to the environment of its workers."""
    with directories() as stage:
        port, ui_port = free_ports()
        plan = DevServerPlan(state_directory=stage.host.state, port=port, ui_port=ui_port, search_attributes=KINDS)
        if server_options:
            binary = stage.root / "temporal"
            binary.write_text(f'#!/bin/sh\nexec {temporal_binary()} "$@" {server_options}\n')
            binary.chmod(0o700)
            plan = replace(plan, binary=binary)
        async with MessagesApi() as api:
            server = await dev_server.start(plan)
            environment = stage.environment(plan.address, claudes_environment(stage, Settings.from_env({}), api.url))
            async with workers(stage, {**environment, **CHOSEN, **settings}) as cast:
                client = await connect_once(environ=plan.connection)
                scene = Scene(stage=stage, plan=plan, server=server, client=client, api=api, workers=cast)
                try:
                    yield scene
                finally:
                    await cast.end()
                    await scene.server.stop()
