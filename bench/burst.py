"""Ten thousand messages from fifty chats while the server is down: what it costs to keep them, and to do them then.

Signal's network is a fake, and so is claude: the handler is a process, the server a real one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from asyncio.subprocess import DEVNULL
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from bench.place import Place, private_place
from bench.report import Bar, Row
from demo.stage import free_ports
from handlers.signal.envelope import account_hash
from handlers.signal.store import Store
from handlers.signal_api import SignalCli, parse_endpoint
from runtime import dev_server
from runtime.dev_server import DevServerPlan
from runtime.server_record import read_record
from runtime.temporal import connect_once
from tests.signal.daemon import FakeDaemon
from tests.signal.phone import Person
from tests.workflow.conftest import ScriptedHost, host_working, workflows_working
from workflows.attributes import KINDS
from workflows.client import Sessions
from workflows.messages import Message

CHATS: Final = 50
PER_ROUND: Final = 1000
# The handler keeps one message of each chat in memory, SQLite its cache, and the SDK some calls at a time: no more for
# ten times as many messages. 10 000 large ones in memory would be several times that.
MEMORY_BAR: Final = Bar(limit=48.0)
NONE: Final = Bar(limit=0.0)
ROOT: Final = Path(__file__).parents[1]
# Sending without a handler: enough for a median.
BASELINE_SENDS: Final = 200


@dataclass(kw_only=True)
class Burst:
    """The handler, its daemon, and what was written to it."""

    place: Place
    plan: DevServerPlan
    daemon: FakeDaemon
    count: int
    people: list[Person] = field(default_factory=list)
    process: asyncio.subprocess.Process | None = None
    most: float = 0.0
    """The most memory that the handler was seen to have, in MB."""

    @property
    def environ(self) -> dict[str, str]:
        """Of the handler."""
        return {
            "PATH": os.defpath,
            "HOME": str(self.place.project.parent),
            "PYTHONPATH": str(ROOT),
            "TEMPORAL_ADDRESS": self.plan.address,
            "TEMPORAL_CONFIG_FILE": os.devnull,
            "DURABLE_CLAUDE_LOG_LEVEL": "error",
            "DURABLE_CLAUDE_STATE_DIRECTORY": str(self.place.settings.state_directory),
            "DURABLE_CLAUDE_RUN_DIRECTORY": str(self.place.settings.run_directory),
            "DURABLE_CLAUDE_PROJECTS": f"app={self.place.project}",
            "DURABLE_CLAUDE_SIGNAL_ACCOUNT": self.daemon.account,
            "DURABLE_CLAUDE_SIGNAL_DAEMON": self.daemon.endpoint,
            "DURABLE_CLAUDE_SIGNAL_OWNERS": ",".join(person.aci for person in self.people),
        }

    async def start(self) -> None:
        """Start the handler; returns when it takes messages."""
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "handlers.cli", "signal"), env=self.environ, stdin=DEVNULL, stdout=DEVNULL
        )
        await self.daemon.until_subscribed()

    async def end(self) -> None:
        """End the handler."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()

    def memory(self) -> float:
        """Of the handler, in MB."""
        assert self.process is not None
        return psutil.Process(self.process.pid).memory_info().rss / 1e6

    def kept(self) -> int:
        """How many messages the handler has on its disk, done or not."""
        return self._count("SELECT count(*) AS n FROM inbox")

    def undone(self) -> int:
        """How many of them are not done."""
        return self._count("SELECT count(*) AS n FROM inbox WHERE is_done = 0")

    def _count(self, query: str) -> int:
        path = self.place.settings.state_directory / "signal" / account_hash(self.daemon.account) / "handler.db"
        store = Store(path)
        try:
            row = store.row(query)
        finally:
            store.close()
        return int(row["n"]) if row else 0

    async def until(self, condition: Callable[[], bool]) -> float:
        """Wait for a condition and mind the handler's memory; the seconds it took."""
        began = time.perf_counter()
        # Longer than any of this takes on any machine.
        async with asyncio.timeout(3600):
            while not condition():
                self.most = max(self.most, self.memory())
                await asyncio.sleep(0.2)
        return time.perf_counter() - began

    async def write(self) -> None:
        """Everybody opens a session and then writes, all at the same time."""
        for person in self.people:
            await person.says("/start app")
        for number in range(self.count // CHATS - 1):
            for person in self.people:
                await person.says(f"{person.name} {number:05}")


async def measure(place: Place, rounds: int) -> list[Row]:
    """Rows of keeping, of memory, of doing, and of what went wrong."""
    count = PER_ROUND * rounds
    async with private_place({}) as own, FakeDaemon(path=own.project.parent / "signal-cli") as daemon:
        port, ui_port = free_ports()
        plan = DevServerPlan(
            state_directory=own.settings.state_directory, port=port, ui_port=ui_port, search_attributes=KINDS
        )
        burst = Burst(place=own, plan=plan, daemon=daemon, count=count)
        burst.people = [daemon.person(f"p{number:02}") for number in range(CHATS)]
        only_read = await _only_read(burst)
        try:
            return await _rows(burst, only_read)
        finally:
            await burst.end()
            if record := read_record(plan.record):
                record.end()


async def _only_read(burst: Burst) -> float:
    """Seconds to read so many messages and forget them."""
    stranger = burst.daemon.person("stranger")
    signal = SignalCli(parse_endpoint(burst.daemon.endpoint), burst.daemon.account)
    async with aclosing(signal), aclosing(signal.envelopes()) as envelopes:
        for number in range(burst.count):
            await stranger.says(str(number))
        began = time.perf_counter()
        for _ in range(burst.count):
            await anext(envelopes)
        return time.perf_counter() - began


async def _rows(burst: Burst, only_read: float) -> list[Row]:
    await burst.start()
    await burst.write()
    keeping = await burst.until(lambda: burst.kept() >= burst.count)
    expected = burst.count - CHATS
    await dev_server.start(burst.plan)
    client = await connect_once(environ=burst.plan.connection)
    host = ScriptedHost()
    # Its watchers have nothing to see, which the SDK tells as failures.
    logging.getLogger("temporalio").setLevel(logging.CRITICAL)
    async with workflows_working(client, host), host_working(client, host):
        doing = await burst.until(lambda: burst.undone() == 0 and len(_told(host)) >= expected)
        sending = await _only_send(Sessions(client), str(burst.place.project))
        most, idle = burst.most, await _idle(burst)
    note = f"{burst.count} messages from {CHATS} chats"
    one_by_one = f"{note}, each a turn and an answer; baseline: send one and wait for its turn, one after the other"
    only_keep = f"{note}; baseline: read and forget it"
    each = 1e3 / burst.count
    return [
        Row(name="burst: keep a message", value=keeping * each, unit="ms", baseline=only_read * each, note=only_keep),
        Row(name="burst: memory over that of an idle handler", value=most - idle, unit="MB", bar=MEMORY_BAR, note=note),
        Row(name="burst: do a message", value=doing * each, unit="ms", baseline=sending * 1e3, note=one_by_one),
        *_faults(_told(host), expected),
    ]


def _faults(told: list[str], expected: int) -> list[Row]:
    faults = {
        "lost": expected - len(set(told)),
        "done twice": len(told) - len(set(told)),
        "out of order": _out_of_order(told),
    }
    return [
        Row(name=f"burst: messages {what}", value=float(count), unit="", bar=NONE) for what, count in faults.items()
    ]


async def _idle(burst: Burst) -> float:
    """The memory of a handler that has done next to nothing."""
    await burst.end()
    await burst.start()
    person = burst.people[0]
    known = len(person.screen().texts)
    await person.says("/sessions")
    await person.sees(lambda screen: len(screen.texts) > known)
    return burst.memory()


async def _only_send(sessions: Sessions, project: str) -> float:
    """Seconds for a turn without a handler."""
    await sessions.open(project, session_id="baseline")
    began = time.perf_counter()
    for number in range(BASELINE_SENDS):
        await sessions.ask("baseline", Message(turn_id=str(number), text="baseline"))
    return (time.perf_counter() - began) / BASELINE_SENDS


def _told(host: ScriptedHost) -> list[str]:
    """What reached the hosts, in the order in which it did; a call that is tried again is the same message."""
    first: dict[str, str] = {}
    for call in host.sent:
        if call.text != "baseline":
            first.setdefault(call.turn_id, call.text)
    return list(first.values())


def _out_of_order(told: list[str]) -> int:
    latest: dict[str, str] = {}
    wrong = 0
    for text in told:
        chat, number = text.split()
        wrong += number < latest.get(chat, "")
        latest[chat] = number
    return wrong
