"""Handler, worker and server killed with SIGKILL at every step of a conversation: each command once, each reply once."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from demo.messages_api import Hold, Text, Tool
from handlers.signal.orders.answering import LOST_WORDS
from handlers.signal.postman import DOUBT_WORDS
from tests.e2e.post import Post, posting
from tests.e2e.scene import PATIENCE_SECONDS
from tests.signal.phone import Screen

Victim = Literal["handler", "worker", "server"]
Moment = Literal["before", "after"]


@pytest.fixture(scope="module")
async def post() -> AsyncIterator[Post]:
    """A scene with a handler, shared by all tests of the file. A dead worker is noticed by its heartbeats."""
    async with posting() as started:
        yield started


@dataclass
class Killer:
    """Kills one kind of process at every step, either before a thing happens or right after it has begun."""

    post: Post
    victim: Victim
    moment: Moment
    kills: int = 0
    commands: list[str] = field(default_factory=list)

    async def around(self, act: Callable[[], Awaitable[object]], has_begun: Callable[[], bool] = lambda: True) -> None:
        """The thing happens, and the victim dies and comes back."""
        if self.moment == "before":
            await self._kill()
            await act()
        else:
            await act()
            await until(has_begun)
            await self._kill()
        await self._bring_back()

    async def now(self) -> None:
        """The victim dies and comes back."""
        await self._kill()
        await self._bring_back()

    async def _kill(self) -> None:
        self.kills += 1
        match self.victim:
            case "handler":
                await self.post.kill()
            case "worker":
                await self.post.scene.kill_worker()
            case "server":
                await self.post.scene.kill_server()

    async def _bring_back(self) -> None:
        match self.victim:
            case "handler":
                await self.post.start()
            case "worker":
                await self.post.scene.new_worker()
            case "server":
                await self.post.scene.bring_server_back()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition of this process or its files."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


def stored(post: Post, timestamp: int) -> bool:
    """Whether the handler has a message on its disk."""
    with contextlib.closing(sqlite3.connect(f"file:{database(post)}?mode=ro", uri=True)) as db:
        return bool(db.execute("SELECT 1 FROM inbox WHERE key LIKE ?", (f"%-{timestamp}",)).fetchone())


def database(post: Post) -> Path:
    """The handler's file."""
    [path] = (post.scene.stage.host.state / "signal").glob("*/handler.db")
    return path


def is_doubted(screen: Screen, text: str) -> bool:
    """Whether this message is said to be perhaps missing."""
    return any(DOUBT_WORDS in told and text in told for told in screen.texts)


@dataclass
class Talk:
    """One conversation of Alice's, and what has become of it on her phone since it began."""

    post: Post
    killer: Killer
    name: str
    before: Counter[str]
    sent: list[int] = field(default_factory=list)

    @property
    def answers(self) -> tuple[str, str]:
        """What claude says in it."""
        return f"Done with {self.name}.", f"Glad of {self.name}."

    def file(self, kind: str) -> Path:
        """A file of the project that only this conversation knows."""
        return self.post.scene.stage.project / f"{self.name.replace(' ', '-')}.{kind}"

    def script(self) -> None:
        """The tool says that it began, waits for the gate, and says that it ended."""
        out, gate, api = self.file("out"), self.file("gate"), self.post.scene.api
        wait = f"echo began >> {out}; while [ ! -e {gate} ]; do sleep 0.05; done; echo ended >> {out}"
        call = Tool("Bash", {"command": f"bash -c {shlex.quote(wait)}", "description": "wait for the gate"})
        api.script[f"work {self.name}"] = [call, Hold(), Text(self.answers[0])]
        api.script[f"thanks {self.name}"] = [Text(self.answers[1])]

    async def says(self, text: str) -> None:
        """Alice writes something."""
        self.killer.commands.append(text)
        self.sent.append(await self.post.alice.says(text))

    async def reacts(self, to: int) -> None:
        """Alice lets claude go on."""
        self.killer.commands.append("👍")
        self.sent.append(await self.post.alice.reacts("👍", to))

    def is_stored(self) -> bool:
        """Whether the handler has the latest of it on its disk."""
        return stored(self.post, self.sent[-1])

    async def allows(self, prompt: int) -> None:
        """The tool runs, whatever the handler knows of the prompt."""
        out = self.file("out")
        await self.killer.around(lambda: self.reacts(prompt), self.is_stored)
        # Killed before it learnt by what time Signal knows the prompt, the handler says how to answer without it.
        await until(lambda: out.exists() or LOST_WORDS in self.post.alice.screen().texts[-1])
        if not out.exists():
            await self.says("/approve")
        await until(out.exists)

    async def hears(self, text: str) -> None:
        """The answer is on the phone, or said to be in doubt."""
        await self.post.alice.sees(lambda screen: text in screen.texts or is_doubted(screen, text))

    def told(self) -> tuple[list[str], int]:
        """Which answers are lost, and how often something was said again; prints both."""
        screen = self.post.alice.screen()
        new = Counter(screen.texts) - self.before
        stops = sum(count for text, count in new.items() if text.startswith("Stopped"))
        lost = [text for text in self.answers if not new[text] and not is_doubted(screen, text)]
        repeated = sum(max(0, count - 1) for count in [*(new[text] for text in self.answers), stops])
        doubted = sum(is_doubted(screen, text) for text in self.answers)
        print(
            f"{self.name}: {self.killer.kills} kills, {len(self.killer.commands)} commands, {len(lost)} lost, "
            f"{repeated} repeated, {doubted} answers in doubt"
        )
        return lost, repeated


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("victim", ["handler", "worker", "server"])
async def test_nothing_is_lost_or_repeated(post: Post, victim: Victim, moment: Moment) -> None:
    """Seven kills in one conversation: the tool runs once, and every answer is on the phone once or in doubt."""
    alice, api, name = post.alice, post.scene.api, f"{victim} {moment}"
    killer = Killer(post, victim, moment)
    talk = Talk(post, killer, name, Counter(alice.screen().texts))
    gate, out = talk.file("gate"), talk.file("out")
    talk.script()

    await killer.around(lambda: talk.says(f"/start app work {name}"), talk.is_stored)
    await api.wait_asked(f"work {name}")
    await killer.now()
    prompt = await alice.sees(lambda screen: next((m for m in screen.messages if str(gate) in m.text), None))
    assert prompt is not None
    await talk.allows(prompt.timestamp)
    await killer.around(lambda: asyncio.to_thread(gate.touch))
    await until(lambda: "ended" in out.read_text())
    await killer.around(lambda: asyncio.to_thread(api.release, f"work {name}"))
    await talk.hears(talk.answers[0])
    await killer.around(lambda: talk.says(f"thanks {name}"), talk.is_stored)
    await talk.hears(talk.answers[1])
    await killer.around(lambda: talk.says("/stop"), talk.is_stored)
    await alice.sees(lambda screen: any(text.startswith("Stopped") for text in screen.texts[-3:]))

    assert out.read_text() == "began\nended\n"
    assert api.asked[f"thanks {name}"] == 1
    assert talk.told() == ([], 0)
    assert "2 turns" in next(text for text in reversed(alice.screen().texts) if text.startswith("Stopped"))
