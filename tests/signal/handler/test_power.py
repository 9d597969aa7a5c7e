"""The handler dies at every one of its commits, before it or right after it: nothing is lost, and nothing done twice."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import ActivityFailureError
from temporalio.testing import WorkflowEnvironment

from handlers.signal.envelope import account_hash
from handlers.signal.postman import DOUBT_WORDS
from tests.signal.daemon import FakeDaemon
from tests.signal.handler.power import FragileStore, PowerCut
from tests.signal.handler.scene import Scene, prompts, until
from tests.workflow.conftest import ScriptedHost
from workflows.notices import NOTIFY, Notice

# What a person is to read in a conversation of a start, an answer to a question, and the end.
EXPECTED = ("Session shop-", "❓ a1", "answer to ask", "Stopped shop-")
# So many handlers at a time keep the machine busy, and keep nobody waiting.
AT_ONCE = 16

_ACCOUNTS = (f"+1555{number}" for number in itertools.count(4000000))


@dataclass
class Conversation:
    """One person's conversation with a handler that may die once; whoever gets no answer sends the same again."""

    scene: Scene
    store: FragileStore

    async def run(self) -> None:
        """All of it, to the end."""
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._bring_back())
            await self._talk()
            try:
                await self._rest()
            except PowerCut:
                await watching
                await self._rest()
            watching.cancel()

    async def _rest(self) -> None:
        """Return when nothing is to come any more; the last commits are those of the notice that the session has ended."""
        assert self.scene.environment is not None
        session = self.scene.environment.client.get_workflow_handle(f"session-{self.scene.session()}")
        await session.result()
        await self.scene.settled()

    async def _talk(self) -> None:
        owner = self.scene.owner
        await owner.says("/start shop ask")
        await self._reads("❓ a1")
        if shown := prompts(owner.screen()):
            await owner.reacts("👍", shown[0].timestamp)
            await owner.sees(lambda screen: self.answers or "I cannot tell" in "".join(screen.texts))
        if not self.answers:
            await owner.says("/approve")
        await self._reads("answer to ask")
        await owner.says("/stop")
        await self._reads("Stopped shop-")

    async def _reads(self, text: str) -> None:
        """A message with it, or one that says that such a message may be missing."""
        await self.scene.owner.sees(lambda screen: any(text in shown for shown in screen.texts))

    async def _bring_back(self) -> None:
        await until(lambda: self.store.is_dead)
        await self.scene.stop()
        await self.scene.start()
        await until_heard(self.scene)
        # A message that Signal had handed over, and that was not kept, comes only if its sender sends it again.
        for told in list(self.scene.daemon.acked):
            self.scene.daemon.repeats(told["envelope"]["timestamp"])

    @property
    def answers(self) -> list[str]:
        """What claude was told about this conversation's question."""
        mine = f"sig-{account_hash(self.scene.daemon.account)}-"
        return [call.behavior for call in self.scene.host.answers if call.request_id.startswith(mine)]


async def until_heard(scene: Scene) -> None:
    """Return when sessions can tell the handler something: it says that it tells strangers nothing."""
    notice = Notice(key="x", address="d:nobody", session_id="x", project_path="/x", kind="warning", at=0)
    assert scene.environment is not None
    with pytest.raises(ActivityFailureError):
        await scene.environment.client.execute_activity(
            NOTIFY,
            notice,
            id=uuid.uuid4().hex,
            task_queue=scene.desk.queue,
            start_to_close_timeout=timedelta(seconds=1),
        )


async def held(
    environment: WorkflowEnvironment, host: ScriptedHost, directory: Path, cut_at: int, *, after: bool
) -> Counter[str]:
    """A conversation whose handler dies at this commit; checked, and summed up."""
    directory.mkdir()
    async with FakeDaemon(next(_ACCOUNTS), path=directory / "signal") as daemon:
        scene = Scene(daemon, host, environment, directory)
        async with _running(scene, cut_at, after=after) as store:
            try:
                await Conversation(scene, store).run()
            except BaseException as error:
                error.add_note(
                    f"killed at commit {cut_at}, after it: {after}; on the phone: {scene.owner.screen().texts}"
                )
                raise
            found = _verdict(scene)
        assert daemon.violations == []
    return found + Counter(kills=int(store.is_dead), commits=store.commits)


@contextlib.asynccontextmanager
async def _running(scene: Scene, cut_at: int, *, after: bool) -> AsyncIterator[FragileStore]:
    try:
        await scene.start(FragileStore)
        assert isinstance(scene.store, FragileStore)
        await until_heard(scene)
        scene.store.arm(cut_at, after=after)
        yield scene.store
    finally:
        await scene.stop()


def _verdict(scene: Scene) -> Counter[str]:
    """Each command had its effect once, and each message is there once, or is said to be in doubt."""
    session_id, texts = scene.session(), scene.owner.screen().texts
    turns = {call.turn_id for call in scene.host.sent if call.session_id == session_id}
    given = [call.behavior for call in scene.host.answers if call.session_id == session_id]
    doubts = [text for text in texts if DOUBT_WORDS in text]
    said = [text for text in texts if text not in doubts and not text.startswith("I cannot tell")]
    assert len(turns) == 1
    assert given == ["allow"]
    assert scene.desk.inbox.waiting == 0
    assert len(doubts) <= 1
    for text in EXPECTED:
        assert sum(one.startswith(text) for one in said) <= 1, (text, texts)
        assert any(text in one for one in texts), (text, texts)
    begun = scene.owner.screen().messages[0]
    assert scene.owner.screen().reaction(begun.timestamp) == "✅"
    return Counter(doubts=len(doubts))


async def test_the_handler_dies_at_every_commit(
    environment: WorkflowEnvironment, host: ScriptedHost, short_path: Path
) -> None:
    """Each command is effective once and each reply arrives once, or is declared uncertain, wherever the power fails."""
    whole = await held(environment, host, short_path / "whole", 0, after=False)
    assert whole == Counter(commits=whole["commits"])
    room = asyncio.Semaphore(AT_ONCE)

    async def one(cut_at: int, *, after: bool) -> Counter[str]:
        async with room, asyncio.timeout(40):
            return await held(environment, host, short_path / f"{cut_at}-{int(after)}", cut_at, after=after)

    # Right after a commit what follows has not happened; right before the next one it has, and is not written down.
    cuts = [(number, number % 2 == 0) for number in range(1, whole["commits"] + 1)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number, after=after)) for number, after in cuts]
    total = sum((task.result() for task in tasks), Counter[str]())
    print(f"kills {total['kills']}, conversations {len(cuts)}, in doubt {total['doubts']}, lost 0, repeated 0")
    # How many commits there are depends a little on what happens first.
    assert total["kills"] >= 0.8 * len(cuts)
    assert 0 < total["doubts"] <= total["kills"]
