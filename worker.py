"""The worker of one host: settings → logs → client → Workers → run until SIGTERM. claude processes live on without it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import structlog
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.runtime import Runtime
from temporalio.service import RPCError
from temporalio.worker import Worker, WorkerDeploymentConfig

from activities.census import Census
from activities.figures import Figures
from activities.health import Health
from activities.host import Host
from activities.lease import LeaseKeeper
from activities.observer import Observer
from activities.orphans import OrphanWatch
from activities.reading import ReadingActivities
from activities.retention import Retention
from activities.roster import Roster
from activities.self_check import SelfCheck
from activities.session import SessionActivities
from activities.takeover import SESSIONS_OF_A_HOST, identity, take_over
from claude.command import environment
from runtime import logs, signals, telling, temporal, tracing
from runtime.codec import Locked
from runtime.door import answering
from runtime.host import host_id
from runtime.metrics import MetricsRefused
from runtime.query_guard import QueryGuard
from runtime.settings import Settings, SettingsError
from shim.paths import HostDirectory
from workflows.courier import CourierWorkflow
from workflows.messages import SHARED_QUEUE
from workflows.session import SessionWorkflow
from workflows.traced import traced

# A starting or stopping activity gets this long to end by itself; followers hand over at once.
DRAIN: Final = timedelta(seconds=10)
# How long a cancellation may take to reach a follower: the price is one RPC per follower in this time.
CANCEL_LATENCY: Final = timedelta(seconds=1)
# A session's next step waits this long for the dead worker that had the session in memory; the default is 10 s.
STICKY: Final = timedelta(seconds=1)
# A collector answers in milliseconds, and whoever stops the worker waits for it.
FLUSH_SECONDS: Final = 2.0
# People who look on, on all terminals together; one more waits up to a long poll for its place, and nothing else does.
READERS: Final = 64
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
    logs.configure(settings.log_format, settings.log_level, sys.stderr, content=settings.log_content)
    try:
        telling.prepare(settings, host_of(settings).host_id)
        asyncio.run(run(settings))
    except MetricsRefused as error:
        print(error, file=sys.stderr)
        return 2
    except Exception:
        log.exception("the worker ends on an error it cannot mend")
        return 1
    return 0


async def run(settings: Settings) -> None:
    """Connect and work until a signal says stop; raises what ends the worker otherwise."""
    stopping = signals.stop_signals()
    log.info("settings", **settings.describe())
    async with seen_from_outside(settings) as health:
        connecting = asyncio.create_task(
            temporal.connect(log, keys=settings.encryption_keys, interceptors=traced(tracing.tracer()))
        )
        await signals.first(connecting, stopping)
        if not connecting.done():
            connecting.cancel()
            return
        async with working(connecting.result(), settings, health) as workers:
            await signals.first(workers, stopping)


@contextlib.asynccontextmanager
async def seen_from_outside(settings: Settings) -> AsyncIterator[Health]:
    """Answer /live and /ready, if that is wanted; also while there is no server yet."""
    health = Health()
    beating = asyncio.create_task(health.beat())
    try:
        with contextlib.ExitStack() as doors:
            if settings.health_address:
                where = doors.enter_context(answering(settings.health_address, health.answer))
                log.info("health is answered", live=f"http://{where}/live", ready=f"http://{where}/ready")
            yield health
    finally:
        beating.cancel()


@contextlib.asynccontextmanager
async def working(client: Client, settings: Settings, health: Health) -> AsyncIterator[asyncio.Future[Any]]:
    """The Workers of this host and what cares for it; yields what ends only when one of them fails."""
    await refuse_locked(client)
    host = host_of(settings)
    keeper = LeaseKeeper(client, host.directory.lease, host.lease_ttl_seconds)
    # Before the first process starts, so that no shim ever sees the lease of a worker that is long gone.
    await keeper.renew()
    roster, figures = Roster(), Figures(Runtime.default().metric_meter)
    observer = Observer(host, roster, figures, tells_content=settings.log_content)
    with identity(host) as name:
        self_check = SelfCheck(client, host, SHARED_QUEUE, name, health)
        workers = workers_of(client, host, settings, name, self_check, observer)
        retention = Retention(client, host, settings.keep_days)
        cares = [keeper.keep(), host.launcher.keep(), OrphanWatch(client, host).watch(), retention.watch()]
        if settings.health_address:
            cares.append(self_check.keep())
        if settings.metrics_address:
            cares.append(Census(client, host, roster, figures).keep())
        care = [asyncio.create_task(job) for job in cares]
        jobs = [asyncio.create_task(worker.run()) for worker in workers]
        for worker, job in zip(workers, jobs, strict=True):
            health.watch(worker.task_queue, job)
        health.keeper, health.state = keeper, "working"
        # What is loaded by now lives as long as the worker: looked through again and again it would cost every turn.
        gc.collect()
        gc.freeze()
        log.info("worker is up", worker=name, queues=[worker.task_queue for worker in workers])
        if settings.build_id:
            log.info(
                "sessions come to this worker while its build is the current one", make_it_current=_current(settings)
            )
        everything = asyncio.gather(*care, *jobs)
        try:
            await take_over(client, host)
            yield everything
        finally:
            health.state = "draining"
            log.info("worker drains; claude processes go on")
            figures.draining.set(1)
            await asyncio.gather(*(worker.shutdown() for worker in workers), return_exceptions=True)
            for task in care:
                task.cancel()
            await asyncio.gather(everything, *care, *jobs, return_exceptions=True)


async def refuse_locked(client: Client) -> None:
    """Raise Locked when no living session can be read with the keys that are here.

    A worker without the key would fail what it cannot read, again and again, in place of one that can. A single
    session that cannot be read is somebody's mistake, and must not keep the others from their worker.
    """
    try:
        looked_at, locked = await locked_sessions(client)
    except RPCError:
        return
    for name, why in locked.items():
        log.warning("a session cannot be read here", workflow_id=name, why=str(why))
        if looked_at == len(locked):
            raise Locked(f"{why}; or give the session up: `temporal workflow terminate --workflow-id {name}`")


async def locked_sessions(client: Client) -> tuple[int, dict[str, Locked]]:
    """How many of the newest living sessions there are, and which of them cannot be read, and why."""
    locked: dict[str, Locked] = {}
    looked_at = 0
    async for session in client.list_workflows(SESSIONS_OF_A_HOST, limit=LOOKED_AT):
        looked_at += 1
        try:
            await session.memo()
        except Locked as error:
            locked[session.id] = error
    return looked_at, locked


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


def workers_of(
    client: Client, host: Host, settings: Settings, name: str, self_check: SelfCheck, observer: Observer
) -> list[Worker]:
    """One Worker per queue: followers hold a slot for life, readers for seconds, and no stop may wait for either."""
    activities = SessionActivities(host)
    reading = ReadingActivities(host, observer.roster)
    guard = QueryGuard()
    shared = guard.worker = Worker(
        client,
        task_queue=SHARED_QUEUE,
        workflows=[SessionWorkflow, CourierWorkflow],
        activities=[activities.start_claude],
        sticky_queue_schedule_to_start_timeout=STICKY,
        # The sandbox watches for code that is not deterministic. The tests run in it; here it would cost each turn 6 ms.
        workflow_runner=guard,
        identity=name,
        interceptors=[observer],
        graceful_shutdown_timeout=DRAIN,
        max_heartbeat_throttle_interval=CANCEL_LATENCY,
        deployment_config=deployment(settings),
    )
    for_readers: list[Callable[..., Any]] = [reading.read_journal, reading.view_host, self_check.echo]
    control: list[Callable[..., Any]] = [
        activities.start_claude,
        activities.answer_permission,
        activities.interrupt_turn,
        activities.read_answer,
        activities.stop_claude,
        self_check.echo,
    ]
    return [
        shared,
        _at_home(client, host.queue, control, name, observer),
        # A watcher and a turn's follower for each session.
        _at_home(
            client,
            host.watch_queue,
            [activities.watch_claude, activities.send_turn, self_check.echo],
            name,
            observer,
            places=2 * settings.max_sessions,
        ),
        _at_home(client, host.read_queue, for_readers, name, observer, places=READERS),
    ]


def _at_home(
    client: Client,
    queue: str,
    activities: Sequence[Callable[..., Any]],
    name: str,
    observer: Observer,
    places: int | None = None,
) -> Worker:
    """A Worker of one of the host's own queues."""
    return Worker(
        client,
        task_queue=queue,
        activities=activities,
        max_concurrent_activities=places,
        identity=name,
        interceptors=[observer],
        graceful_shutdown_timeout=DRAIN,
        max_heartbeat_throttle_interval=CANCEL_LATENCY,
    )


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


if __name__ == "__main__":
    exit_code = main()
    tracing.flush(FLUSH_SECONDS)
    sys.stderr.flush()
    # The SDK's threads can abort an interpreter that is taken down in the usual way, and a drain would look like a crash.
    os._exit(exit_code)
