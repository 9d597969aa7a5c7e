"""The worker of one host: settings → logs → client → Workers → run until SIGTERM. claude processes live on without it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final

import structlog
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.service import RPCError
from temporalio.worker import Worker, WorkerDeploymentConfig
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.host import Host
from activities.lease import LeaseKeeper
from activities.orphans import OrphanWatch
from activities.session import SessionActivities
from activities.takeover import SESSIONS_OF_A_HOST, identity, take_over
from claude.command import environment
from runtime import logs, temporal
from runtime.codec import Locked
from runtime.host import host_id
from runtime.settings import Settings, SettingsError
from shim.paths import HostDirectory
from workflows.messages import SHARED_QUEUE
from workflows.session import SessionWorkflow

# A starting or stopping activity gets this long to end by itself; followers hand over at once.
DRAIN: Final = timedelta(seconds=10)
# How long a cancellation may take to reach a follower: the price is one RPC per follower in this time.
CANCEL_LATENCY: Final = timedelta(seconds=1)
# A session's next step waits this long for the dead worker that had the session in memory; the default is 10 s.
STICKY: Final = timedelta(seconds=1)
# Imported once and shared by all workflow runs: a fresh import per session costs four times the CPU.
SHARED_MODULES: Final = ("activities", "claude", "shim", "workflows", "runtime", "psutil", "structlog")
# A key that is missing shows at once; the newest sessions say which keys are in use.
LOOKED_AT: Final = 100

log = structlog.get_logger(__name__)


def main() -> int:
    """Run until SIGTERM or SIGINT; 0 after a drain, 2 for settings that cannot be meant, 1 for anything fatal."""
    try:
        settings = Settings.from_env()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    logs.configure(settings.log_format, settings.log_level, sys.stderr)
    try:
        asyncio.run(run(settings))
    except Exception:
        log.exception("the worker ends on an error it cannot mend")
        return 1
    return 0


async def run(settings: Settings) -> None:
    """Connect and work until a signal says stop; raises what ends the worker otherwise."""
    stopping = stop_signals()
    log.info("settings", **settings.describe())
    connecting = asyncio.create_task(temporal.connect(log, keys=settings.encryption_keys))
    await first(connecting, stopping)
    if not connecting.done():
        connecting.cancel()
        return
    async with working(connecting.result(), settings) as workers:
        await first(workers, stopping)


@contextlib.asynccontextmanager
async def working(client: Client, settings: Settings) -> AsyncIterator[asyncio.Future[Any]]:
    """The Workers of this host and what cares for it; yields what ends only when one of them fails."""
    await refuse_locked(client)
    host = host_of(settings)
    keeper = LeaseKeeper(client, host.directory.lease, host.lease_ttl_seconds)
    # Before the first process starts, so that no shim ever sees the lease of a worker that is long gone.
    await keeper.renew()
    with identity(host) as name:
        workers = workers_of(client, host, settings, name)
        care = [asyncio.create_task(job) for job in (keeper.keep(), OrphanWatch(client, host).watch())]
        jobs = [asyncio.create_task(worker.run()) for worker in workers]
        log.info("worker is up", worker=name, host=host.host_id, queues=[worker.task_queue for worker in workers])
        if settings.build_id:
            log.info(
                "sessions come to this worker while its build is the current one", make_it_current=_current(settings)
            )
        everything = asyncio.gather(*care, *jobs)
        try:
            await take_over(client, host)
            yield everything
        finally:
            log.info("worker drains; claude processes go on")
            await asyncio.gather(*(worker.shutdown() for worker in workers), return_exceptions=True)
            for task in care:
                task.cancel()
            await asyncio.gather(everything, *jobs, return_exceptions=True)


async def refuse_locked(client: Client) -> None:
    """Raise Locked when no living session can be read with the keys that are here.

    A worker without the key would fail what it cannot read, again and again, in place of one that can. A single
    session that cannot be read is somebody's mistake, and must not keep the others from their worker.
    """
    locked: dict[str, Locked] = {}
    looked_at = 0
    with contextlib.suppress(RPCError):
        async for session in client.list_workflows(SESSIONS_OF_A_HOST, limit=LOOKED_AT):
            looked_at += 1
            try:
                await session.memo()
            except Locked as error:
                locked[session.id] = error
    for name, why in locked.items():
        log.warning("a session cannot be read here", workflow_id=name, why=str(why))
        if looked_at == len(locked):
            raise Locked(f"{why}; or give the session up: `temporal workflow terminate --workflow-id {name}`")


def host_of(settings: Settings) -> Host:
    """This host, with its directories made."""
    directory = HostDirectory(state=settings.state_directory, run=settings.run_directory)
    directory.prepare()
    return Host(
        host_id=host_id(settings.state_directory),
        directory=directory,
        executable=settings.executable,
        roots=settings.roots,
        environment=environment(settings.environ, settings.pass_environment),
        permission_mode=settings.permission_mode,
        lease_ttl_seconds=settings.lease_ttl_seconds,
    )


def workers_of(client: Client, host: Host, settings: Settings, name: str) -> list[Worker]:
    """One Worker per queue: followers hold a slot for life and must never keep a stop from starting."""
    activities = SessionActivities(host)
    shared = Worker(
        client,
        task_queue=SHARED_QUEUE,
        workflows=[SessionWorkflow],
        activities=[activities.start_claude],
        sticky_queue_schedule_to_start_timeout=STICKY,
        workflow_runner=SandboxedWorkflowRunner(
            restrictions=SandboxRestrictions.default.with_passthrough_modules(*SHARED_MODULES)
        ),
        identity=name,
        graceful_shutdown_timeout=DRAIN,
        max_heartbeat_throttle_interval=CANCEL_LATENCY,
        deployment_config=deployment(settings),
    )
    control = Worker(
        client,
        task_queue=host.queue,
        activities=[
            activities.start_claude,
            activities.answer_permission,
            activities.interrupt_turn,
            activities.read_answer,
            activities.stop_claude,
        ],
        identity=name,
        graceful_shutdown_timeout=DRAIN,
        max_heartbeat_throttle_interval=CANCEL_LATENCY,
    )
    watch = Worker(
        client,
        task_queue=host.watch_queue,
        activities=[activities.watch_claude, activities.send_turn],
        # A watcher and a turn's follower for each session.
        max_concurrent_activities=2 * settings.max_sessions,
        identity=name,
        graceful_shutdown_timeout=DRAIN,
        max_heartbeat_throttle_interval=CANCEL_LATENCY,
    )
    return [shared, control, watch]


def deployment(settings: Settings) -> WorkerDeploymentConfig | None:
    """How the Worker of workflows is versioned, if it is. The host's own Workers never are.

    Sessions live for weeks, so none is pinned to a build: each moves on to the current one with its next step.
    """
    if not settings.build_id:
        return None
    version = WorkerDeploymentVersion(deployment_name=settings.deployment_name, build_id=settings.build_id)
    return WorkerDeploymentConfig(
        version=version,
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    )


def _current(settings: Settings) -> str:
    return (
        "temporal worker deployment set-current-version "
        f"--deployment-name {settings.deployment_name} --build-id {settings.build_id}"
    )


def stop_signals() -> asyncio.Future[None]:
    """Done at the first SIGTERM or SIGINT; a second one ends the worker at once."""
    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[None] = loop.create_future()

    def stop(number: signal.Signals) -> None:
        loop.remove_signal_handler(number)
        if not stopping.done():
            stopping.set_result(None)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    return stopping


async def first(job: asyncio.Future[Any], stopping: asyncio.Future[None]) -> None:
    """Wait for either; a job that fails raises."""
    await asyncio.wait([job, stopping], return_when=asyncio.FIRST_COMPLETED)
    if job.done():
        await job


if __name__ == "__main__":
    exit_code = main()
    sys.stderr.flush()
    # The SDK's threads can abort an interpreter that is taken down in the usual way, and a drain would look like a crash.
    os._exit(exit_code)
