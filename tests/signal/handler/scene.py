"""A Signal handler in this process, between a fake daemon and a real server whose host is scripted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from temporalio.testing import WorkflowEnvironment

from handlers.signal.service import Service
from handlers.signal.store import Store
from handlers.signal_api import SignalCli, parse_endpoint
from runtime.settings import Settings
from tests.signal.daemon import FakeDaemon
from tests.signal.handler.claude import Claude
from tests.signal.network import GroupOfPeople, Message
from tests.signal.phone import Person, Screen
from tests.workflow.conftest import ScriptedHost
from workflows.client import Sessions

# Far more than anything here takes: only a hang reaches it.
PATIENCE_SECONDS = 20.0
# Where nothing answers, and nothing ever will.
NOWHERE = "127.0.0.1:1"


@dataclass
class Scene:
    """One account's handler, which may be stopped, killed and started again on the same memory, and its people."""

    daemon: FakeDaemon
    host: ScriptedHost
    environment: WorkflowEnvironment | None
    """None where no Temporal answers, and none will."""
    directory: Path
    more: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.claude = Claude(self.host)
        self.host.script = self.claude
        self.owner = self.daemon.person("Ada", "+15550001111")
        self.approver = self.daemon.person("Bo")
        self.watcher = self.daemon.person("Cy", "+15550003333")
        self.stranger = self.daemon.person("Eve", "+15550009999")
        self.roots = self.directory / "roots"
        self.shop = self.roots / "shop"
        self.shop.mkdir(parents=True)
        self.state = self.directory / "state"
        self.state.mkdir(mode=0o700)
        (self.state / "host-id").write_text("here\n")
        self.settings = self._settings()
        self._running = contextlib.AsyncExitStack()
        self._is_running = False
        if self.environment:
            self.sessions = Sessions(self.environment.client)

    @property
    def database(self) -> Path:
        """The handler's memory."""
        return self.state / "signal" / "handler.db"

    async def start(self, make: Callable[[Path], Store] = Store) -> Service:
        """A handler, which takes messages and has reached Temporal, if there is one, when this returns."""
        self._is_running = True
        signal = SignalCli(parse_endpoint(self.daemon.endpoint), self.daemon.account)
        self._running.push_async_callback(signal.aclose)
        self.store = make(self.database)
        self._running.callback(self.store.close)
        self.service = Service(self.settings, self.store, signal)
        self.desk = self.service.desk
        await self._running.enter_async_context(self.service.working())
        await self.daemon.until_subscribed()
        if self.environment:
            await until(lambda: self.desk.reach._sessions)
        return self.service

    async def stop(self) -> None:
        """End it as SIGTERM does."""
        if self._is_running:
            self._is_running = False
            await self._running.aclose()
            await self.daemon.until(lambda: not self.daemon.clients)

    async def dies(self) -> None:
        """End it in the middle of what it does: nothing is written from now on."""
        self.store.close()
        await self.stop()

    def set(self, **more: str) -> None:
        """Settings of the next handler, by their names without the prefix."""
        self.more.update(more)
        self.settings = self._settings()

    async def restart(self) -> None:
        """Stop it and start another one on the same memory."""
        await self.stop()
        await self.start()

    # --- what people do and see ---

    async def asks(self, text: str, person: Person | None = None, to: GroupOfPeople | None = None) -> str:
        """Write this and return what the handler says to it next."""
        person = person or self.owner
        seen = len(person.screen(to).texts)
        await person.says(text, to)
        return await self.next(seen, person, to)

    async def next(self, seen: int, person: Person | None = None, to: GroupOfPeople | None = None) -> str:
        """What the handler says in the chat after it has said so many things."""
        return (await (person or self.owner).sees(lambda screen: screen.texts[seen:], to))[0]

    async def opens(self, text: str = "") -> str:
        """The id of a session in the project `shop` that the owner's chat is for; with a text it runs that turn."""
        told = await self.asks(f"/start shop {text}".strip())
        assert told.startswith("Session shop-"), told
        return self.session()

    async def prompt(self, text: str = "ask", to: GroupOfPeople | None = None) -> Message:
        """The message that asks for leave, after the owner wrote something that leads to a question."""
        known = len(prompts(self.owner.screen(to)))
        await self.owner.says(text, to)
        return (await self.owner.sees(lambda screen: prompts(screen)[known:], to))[0]

    async def barrier(self, person: Person | None = None) -> None:
        """Return when all that was written before, by anybody in any chat, has been taken and dealt with."""
        await self.asks("/help", person)
        await self.settled()

    async def settled(self) -> None:
        """Return when nothing waits, in neither direction."""
        await until(lambda: not self.desk.inbox.waiting and not self.desk.outbox.count("waiting", "sending"))

    def session(self, person: Person | None = None) -> str:
        """The session that a person's chat is for."""
        return self.desk.chats.of((person or self.owner).key()).session_id

    @property
    def ran(self) -> list[str]:
        """The texts that claude was given, each turn once, in order."""
        return list({call.turn_id: call.text for call in self.host.sent}.values())

    @property
    def decided(self) -> list[str]:
        """What claude was told about its questions."""
        return [call.behavior for call in self.host.answers]

    def _settings(self) -> Settings:
        address = self.environment.client.service_client.config.target_host if self.environment else NOWHERE
        own: Mapping[str, str] = {
            "STATE_DIRECTORY": str(self.state),
            "RUN_DIRECTORY": str(self.directory / "run"),
            "ROOTS": str(self.roots),
            "PROJECTS": f"named={self.shop}",
            "SIGNAL_ACCOUNT": self.daemon.account,
            "SIGNAL_DAEMON": self.daemon.endpoint,
            "SIGNAL_OWNERS": str(self.owner.number),
            "SIGNAL_APPROVERS": self.approver.aci,
            "SIGNAL_WATCHERS": str(self.watcher.number),
            **self.more,
        }
        return Settings.from_env(
            {
                "HOME": str(self.directory),
                "TEMPORAL_ADDRESS": address,
                **{f"DURABLE_CLAUDE_{name}": value for name, value in own.items()},
            }
        )


def prompts(screen: Screen) -> list[Message]:
    """The questions on the screen."""
    return [message for message in screen.messages if message.text.startswith("❓")]


async def until(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for a condition of this process."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
