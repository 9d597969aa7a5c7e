"""`signal`: one account's handler, from the socket of signal-cli to the sessions and back, until a signal says stop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog
from temporalio.client import Client
from temporalio.worker import Worker

from handlers.alone import alone
from handlers.connection import environ_of, here, options
from handlers.failure import REFUSED, CommandFailed
from handlers.signal.chats import Chats
from handlers.signal.desk import Desk, Reach
from handlers.signal.envelope import Received, account_hash, read
from handlers.signal.grammar import parse
from handlers.signal.handling import Handling
from handlers.signal.hearing import is_quiet
from handlers.signal.inbox import Inbox
from handlers.signal.letters import SEEN, Letter
from handlers.signal.news import News, catch_up
from handlers.signal.outbox import Outbox
from handlers.signal.people import People
from handlers.signal.postman import Postman
from handlers.signal.presence import Presence
from handlers.signal.progress import Progress
from handlers.signal.projects import Projects
from handlers.signal.prompts import Prompts
from handlers.signal.store import Store
from handlers.signal_api import Signal, SignalCli, parse_endpoint
from runtime import temporal, tracing
from runtime.settings import Settings
from runtime.signal_settings import hidden
from runtime.signals import first, stop_signals
from workflows.client import Sessions
from workflows.traced import traced

LOCK: Final = "lock"
MEMORY: Final = "handler.db"
# What is on its way to Signal gets this long to arrive; after it nobody can know whether it did.
DRAIN_SECONDS: Final = 20.0
# Quiet hours end to the minute, and a file of a month's keys is swept in milliseconds.
LOOK_SECONDS: Final = 30.0
# A note about one stranger a minute is enough to know; a line for each message would be theirs to fill the disk with.
STRANGER_SECONDS: Final = 60.0

log = structlog.get_logger(__name__)


async def serve(settings: Settings, on_up: Callable[[str], None]) -> None:
    """Serve until a signal says stop; `on_up` is told the task queue. Messages are taken before Temporal is reached."""
    stopping = stop_signals()
    async with service(settings) as running:
        log.info("the Signal handler is up", queue=running.desk.queue, waiting=running.desk.inbox.waiting)
        on_up(running.desk.queue)
        await first(running.job, stopping)


@contextlib.asynccontextmanager
async def service(settings: Settings) -> AsyncIterator[Service]:
    """The handler, working in the block; at its end what is on its way is finished first."""
    if not settings.signal.account:
        raise CommandFailed(
            "no Signal account is set: `durable-claude signal --guide` says how to begin, "
            "and DURABLE_CLAUDE_SIGNAL_ACCOUNT names it",
            REFUSED,
        )
    if not settings.signal.people and not settings.signal.owns_account:
        raise CommandFailed("nobody may write to it: set DURABLE_CLAUDE_SIGNAL_OWNERS to your number or ACI", REFUSED)
    directory = directory_of(settings)
    # Two would do everything twice.
    taken = "a Signal handler runs already for this account: stop it first"
    with alone(directory / LOCK, taken), contextlib.closing(Store(directory / MEMORY)) as store:
        signal = SignalCli(endpoint_of(settings), settings.signal.account)
        try:
            running = Service(settings, store, signal)
            async with running.working():
                yield running
        finally:
            await signal.aclose()


def endpoint_of(settings: Settings) -> Any:
    """Where signal-cli's daemon listens."""
    runtime = settings.environ.get("XDG_RUNTIME_DIR") or "/run"
    try:
        return parse_endpoint(settings.signal.daemon or f"{runtime}/signal-cli/socket")
    except ValueError as error:
        raise CommandFailed(f"DURABLE_CLAUDE_SIGNAL_DAEMON: {error}", REFUSED) from error


def directory_of(settings: Settings) -> Path:
    """Where the account's handler keeps what it must not forget."""
    return settings.state_directory / "signal" / account_hash(settings.signal.account)


class Service:
    """All parts of one account's handler."""

    def __init__(self, settings: Settings, store: Store, signal: Signal) -> None:
        chosen = settings.signal
        self._settings = settings
        self._signal = signal
        self._people = People(store, chosen.people, owns_account=chosen.owns_account)
        self._strangers: dict[str, float] = {}
        place = here(settings)
        self.desk = Desk(
            account=chosen.account,
            queue=f"claude-signal-{account_hash(chosen.account)}",
            reach=Reach(),
            signal=signal,
            presence=Presence(signal),
            progress=Progress(signal),
            store=store,
            inbox=Inbox(store),
            outbox=Outbox(store),
            chats=Chats(store),
            prompts=Prompts(store),
            projects=Projects(chosen.projects, settings.roots),
            files=settings.state_directory / "received" / account_hash(chosen.account),
            host_id=place.host_id if place else "",
        )
        self._postman = Postman(store, self.desk.outbox, self.desk.prompts, signal)
        self._handling = Handling(self.desk, self._people)
        self.job: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Everything at work; `job` ends only when a part of it fails."""
        lanes = [asyncio.create_task(part.run()) for part in (self._postman, self._handling)]
        others = [asyncio.create_task(part) for part in self._endless()]
        self.job = asyncio.gather(*lanes, *others)
        try:
            yield
        finally:
            for task in others:
                task.cancel()
            await self.desk.progress.close()
            self._handling.close()
            self._postman.close()
            await asyncio.wait(lanes, timeout=DRAIN_SECONDS)
            for task in lanes:
                task.cancel()
            await asyncio.gather(self.job, *lanes, *others, return_exceptions=True)

    def _endless(self) -> list[Coroutine[Any, Any, None]]:
        return [self._take(), self._tell(), self.desk.presence.keep(), self._look()]

    async def _take(self) -> None:
        """Keep what arrives. The next one is read only when this one is on the disk."""
        async with contextlib.aclosing(self._signal.envelopes()) as envelopes:
            async for told in envelopes:
                self.take(told)

    def take(self, told: Mapping[str, object]) -> None:
        """Keep one thing that arrived, if it is from somebody who may say something here."""
        received = read(told, self.desk.account)
        if received is None:
            return
        if not self._is_welcome(received):
            self._mind_the_stranger(received)
            return
        with self.desk.store.change():
            is_new = self.desk.inbox.take(received.key, received.chat.key, told)
            # On a message that is edited it stands already.
            if is_new and received.kind == "text":
                self.desk.outbox.put(_seen(received))

    def _is_welcome(self, received: Received) -> bool:
        """In a group somebody who may must have said what it is for, before anybody is heard there."""
        role = self._people.role(received)
        if role is None or not received.chat.group:
            return role is not None
        is_mapped = bool(self.desk.chats.of(received.chat.key).project_path)
        opens = received.kind == "text" and parse(received.text).name in ("start", "resume")
        return is_mapped or (role == "owner" and opens)

    def _mind_the_stranger(self, received: Received) -> None:
        now = time.monotonic()
        if now - self._strangers.get(received.author, -STRANGER_SECONDS) < STRANGER_SECONDS:
            return
        if len(self._strangers) > 1000:
            self._strangers.clear()
        self._strangers[received.author] = now
        log.warning(
            "somebody who may not wrote here", aci=received.aci, number=hidden(received.number), kind=received.kind
        )

    async def _tell(self) -> None:
        """Hear what sessions tell, as soon as Temporal is there."""
        settings = self._settings
        client = await temporal.connect(
            log,
            environ=lambda: environ_of(settings),
            keys=settings.encryption_keys,
            interceptors=traced(tracing.tracer()),
        )
        sessions = Sessions(client, options(settings), here(settings), handler="signal")
        self.desk.reach.open(sessions)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.desk.presence.remember(self.desk.chats, sessions))
            await self._worker(client).run()

    def _worker(self, client: Client) -> Worker:
        news = News(self.desk, self._people)
        return Worker(
            client,
            task_queue=self.desk.queue,
            activities=[news.notify],
            graceful_shutdown_timeout=timedelta(seconds=5),
        )

    async def _look(self) -> None:
        """What comes with time: the end of quiet hours, and of what is remembered."""
        while True:
            now = datetime.now().astimezone()
            for chat in self.desk.outbox.held_chats():
                state = self.desk.chats.of(chat)
                if not state.is_muted and not is_quiet(state, now):
                    with self.desk.store.change():
                        catch_up(self.desk.outbox, chat, f"{chat}/{now:%Y%m%dT%H%M%S}")
            self.desk.inbox.forget()
            self.desk.outbox.forget()
            self.desk.store.tidy()
            await asyncio.sleep(LOOK_SECONDS)


def _seen(received: Received) -> Letter:
    """👀 on the message: it is on our disk, and nobody has to send it again."""
    return Letter(
        key=SEEN + received.key,
        chat=received.chat.key,
        emoji="👀",
        author=received.author,
        target=received.timestamp,
    )
