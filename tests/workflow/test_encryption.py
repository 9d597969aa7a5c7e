"""What Temporal keeps of a session when keys are set, and what becomes of it when a key is missing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer

import worker
from activities.calls import PermissionNeeded, SendTurn, TurnStep
from activities.health import Health
from runtime.codec import ENCODING, Locked, converter
from runtime.keys import Key
from runtime.settings import Settings
from tests.workflow.conftest import RUNNER, Desk, ScriptedHost, answer, host_working, workflows_working
from workflows.approvals import Answer
from workflows.client import Sessions
from workflows.errors import Refused
from workflows.messages import SessionOptions
from workflows.session import SessionWorkflow

OLD, NEW, OTHER = Key(secret=b"o" * 32), Key(secret=b"n" * 32), Key(secret=b"x" * 32)
# Stands in everything that a person or claude says in these tests, and in nothing else.
SECRET = "rosebud"


def as_client(environment: WorkflowEnvironment, keys: Sequence[Key]) -> Client:
    """The environment's client, with these keys."""
    config: dict[str, Any] = {**environment.client.config(), "data_converter": converter(keys)}
    return Client(**config)


def desk_of(environment: WorkflowEnvironment, keys: Sequence[Key], session_id: str = "") -> Desk:
    """A person with these keys, at a new session or at one that is open."""
    desk, client = Desk(environment, SessionOptions()), as_client(environment, keys)
    desk.session_id = session_id or desk.session_id
    desk.sessions = Sessions(client, SessionOptions())
    desk.handle = client.get_workflow_handle_for(SessionWorkflow.run, f"session-{desk.session_id}")
    return desk


@contextlib.asynccontextmanager
async def working(environment: WorkflowEnvironment, keys: Sequence[Key], host: ScriptedHost) -> AsyncIterator[None]:
    """All Workers of a host with these keys."""
    client = as_client(environment, keys)
    async with workflows_working(client, host), host_working(client, host):
        yield


def talkative(host: ScriptedHost) -> None:
    """claude beats with what it does, asks, answers, and fails a second message in words."""
    asks = PermissionNeeded(turn_id="t", request_id="r", tool="Bash", input={"command": SECRET}, digest="d")

    def script(call: SendTurn) -> TurnStep | Exception:
        activity.heartbeat({"doing": f"writes: {SECRET}"})
        if call.turn_id != "t":
            return ApplicationError(f"no {SECRET} here", f"detail of {SECRET}", type="Odd", non_retryable=True)
        if "r" not in call.asked:
            return TurnStep(permission=asks)
        return answer(call) if host.answers else host.busy()

    host.script = script


@dataclass(kw_only=True)
class Kept:
    """What Temporal holds of a session, byte for byte."""

    description: bytes = b""
    history: bytes = b""
    answer: str = ""
    failure: str = ""
    doing: list[str] = field(default_factory=list)

    def __contains__(self, text: str) -> bool:
        return text.encode() in self.description + self.history


async def everything_kept(environment: WorkflowEnvironment, keys: Sequence[Key]) -> Kept:
    """Live a session in which everything that can hold a text holds the secret; then look at what is kept."""
    host, kept = ScriptedHost(), Kept()
    host.pace = timedelta(milliseconds=200)
    talkative(host)
    desk = desk_of(environment, keys)
    async with working(environment, keys, host):
        await desk.sessions.open(f"/{SECRET}", session_id=desk.session_id)
        await desk.send(f"what is {SECRET}?", turn_id="t")
        await desk.reaches("awaiting_approval")
        doing: dict[str, str] = {}
        async with asyncio.timeout(30):
            while not doing:
                doing = await desk.sessions.doing(desk.session_id)
        kept.doing = list(doing.values())
        described = await desk.handle.describe()
        kept.description = described.raw_description.SerializeToString()
        await desk.sessions.resolve(
            desk.session_id, Answer(approval_id="a1", decision="allow", message=f"yes, {SECRET}")
        )
        report = await desk.sessions.wait_turn(desk.session_id, "t")
        kept.answer = report.ended.text if report.ended else ""
        await desk.send(f"fail with {SECRET}", turn_id="u")
        with pytest.raises(WorkflowFailureError) as failed:
            await desk.handle.result()
        kept.failure = getattr(failed.value.cause, "message", "")
    for event in (await desk.handle.fetch_history()).events:
        kept.history += event.SerializeToString()
    kept.description += (await desk.handle.describe()).raw_description.SerializeToString()
    return kept


async def test_with_a_key_nothing_that_was_said_is_kept_in_the_clear(environment: WorkflowEnvironment) -> None:
    """Prompt, answer, question, path, heartbeat, summary, memo, failure: with the key all is there, without it nothing."""
    kept = await everything_kept(environment, [NEW])

    assert (kept.answer, kept.failure) == (f"answer to what is {SECRET}?", f"no {SECRET} here")
    assert kept.doing == [f"writes: {SECRET}"]
    assert SECRET not in kept
    assert NEW.key_id in kept
    assert "Odd" in kept


async def test_without_a_key_all_of_it_is_in_the_clear(environment: WorkflowEnvironment) -> None:
    """The same life without encryption: what the test above looks for is really there to be found."""
    kept = await everything_kept(environment, [])

    for text in (
        *(f"what is {SECRET}?", f"answer to what is {SECRET}?", f"writes: {SECRET}", f"yes, {SECRET}", f'"/{SECRET}"'),
        *(f"no {SECRET} here", f"detail of {SECRET}", f"turn t: what is {SECRET}?", f'"command":"{SECRET}"'),
    ):
        assert text in kept, text


async def test_a_session_lives_through_a_change_of_keys(environment: WorkflowEnvironment) -> None:
    """Begun under the old key it goes on under the new one, and its whole history can be replayed."""
    host = ScriptedHost()
    before = desk_of(environment, [OLD])
    async with working(environment, [OLD], host):
        await before.open()
        await before.turn(await before.send("one", turn_id="one"))
    after = desk_of(environment, [NEW, OLD], before.session_id)
    async with working(environment, [NEW, OLD], host):
        await after.turn(await after.send("two"))
        first = await after.sessions.wait_turn(after.session_id, "one")
        await after.sessions.stop(after.session_id)
    history = await after.handle.fetch_history()
    raw = b"".join(event.SerializeToString() for event in history.events)

    assert first.ended is not None
    assert first.ended.text == "answer to one"
    assert OLD.key_id.encode() in raw
    assert NEW.key_id.encode() in raw
    replayer = Replayer(workflows=[SessionWorkflow], workflow_runner=RUNNER, data_converter=converter([NEW, OLD]))
    await replayer.replay_workflow(history)


@pytest.mark.parametrize("keys", [[], [OTHER]], ids=["no key", "another key"])
async def test_who_lacks_the_key_is_told_and_disturbs_nothing(
    environment: WorkflowEnvironment, keys: list[Key]
) -> None:
    """Reading names the key; a message under a key that nobody has is refused; the session goes on."""
    host = ScriptedHost()
    desk = desk_of(environment, [NEW])
    stranger = desk_of(environment, keys, desk.session_id)
    async with working(environment, [NEW], host):
        await desk.open()
        with pytest.raises((Locked, Refused), match=f"encrypted with key '{NEW.key_id}'"):
            await stranger.send("hello")
        with pytest.raises((Locked, Refused)):
            await stranger.status()
        with pytest.raises(Locked, match=f"encrypted with key '{NEW.key_id}'"):
            await stranger.sessions.doing(stranger.session_id)
        await until_listed(desk)
        listed = {row.session_id: row for row in await stranger.sessions.overview()}[desk.session_id]
        report = await desk.turn(await desk.send("still there?"))
        stopped = await desk.sessions.stop(desk.session_id)

    assert (listed.status, NEW.key_id in listed.note) == ("locked", True)
    assert report.state == "done"
    assert stopped.status == "stopped"


async def test_a_session_that_nobody_can_read_keeps_nobody_from_theirs(environment: WorkflowEnvironment) -> None:
    """Opened with a wrong key by mistake, it takes no step; lists, other sessions and workers go on."""
    host = ScriptedHost()
    desk, mistaken = desk_of(environment, [NEW]), desk_of(environment, [OTHER])
    async with working(environment, [NEW], host):
        await desk.open()
        await mistaken.sessions.open("/project", session_id=mistaken.session_id)
        await until_listed(desk)
        await until_listed(mistaken)
        unprepared = [row async for row in Sessions(environment.client).list(beginning=desk.session_id)]
        await desk.eventually(lambda: task_failed(mistaken))
        report = await desk.turn(await desk.send("hello"))
        await worker.refuse_locked(as_client(environment, [NEW]))
        await desk.sessions.stop(desk.session_id)
    await mistaken.handle.terminate()

    assert report.state == "done"
    assert len(host.starts) == 1
    assert [(row.status, ENCODING in row.note) for row in unprepared] == [("locked", True)]


async def test_a_worker_that_lacks_the_key_breaks_nothing(environment: WorkflowEnvironment) -> None:
    """While only such a worker is there the session waits; with the key back it goes on where it was."""
    host, blind = ScriptedHost(), ScriptedHost()
    desk = desk_of(environment, [NEW])
    async with working(environment, [NEW], host):
        await desk.open()
        await desk.turn(await desk.send("one"))
    sending = asyncio.create_task(desk.send("two", turn_id="two"))
    async with workflows_working(as_client(environment, [OTHER]), blind):
        await desk.eventually(lambda: task_failed(desk))
    async with working(environment, [NEW], host):
        with contextlib.suppress(Exception):
            await sending
        await desk.send("two", turn_id="two")
        report = await desk.turn("two")
        await desk.sessions.stop(desk.session_id)

    assert report.state == "done"
    assert [call.text for call in host.sent] == ["one", "two"]
    assert blind.starts == []


async def task_failed(desk: Desk) -> bool:
    """A worker has tried the session's next step and could not do it."""
    description = await desk.handle.describe()
    return description.raw_description.pending_workflow_task.attempt > 1


async def test_a_worker_does_not_begin_without_the_key_of_a_living_session(
    environment: WorkflowEnvironment, tmp_path: Path
) -> None:
    """It ends with the sentence before it takes any work."""
    host = ScriptedHost()
    desk = desk_of(environment, [NEW])
    settings = Settings.from_env({"DURABLE_CLAUDE_STATE_DIRECTORY": str(tmp_path)})
    async with working(environment, [NEW], host):
        await desk.open()
        await until_listed(desk)
        with pytest.raises(Locked, match=f"encrypted with key '{NEW.key_id}'"):
            async with worker.working(as_client(environment, []), settings, Health()):
                pass
        await desk.sessions.stop(desk.session_id)

    assert list(tmp_path.iterdir()) == []


async def until_listed(desk: Desk) -> None:
    """Lists follow the session with a delay."""

    async def look() -> bool:
        return desk.session_id in [row.session_id for row in await desk.sessions.overview()]

    await desk.eventually(look)
