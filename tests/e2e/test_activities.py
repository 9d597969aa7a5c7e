"""The activities by themselves, on a real shim with the real CLI: what they return, and what they never end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psutil
import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.calls import ClaudeStarted, SendTurn, StartClaude, StopClaude, WatchClaude
from activities.failures import CLAUDE_GONE, EXITED_EARLY, FENCED, PROJECT_REFUSED, WORKER_DRAINING
from activities.host import Host
from activities.session import SessionActivities
from demo.messages_api import Hold, Text, Tool
from tests.e2e.conftest import LEASE_SECONDS, RealClaude

SESSION = "acts"


class Hands:
    """Runs activities as a worker would, and knows what they said in heartbeats."""

    def __init__(self, real: RealClaude, **changes: Any) -> None:
        self.project = str(real.project)
        self.host = Host(
            **{
                "host_id": "here",
                "directory": real.host,
                "executable": real.executable,
                "roots": (real.project,),
                "environment": real.environment,
                "lease_ttl_seconds": LEASE_SECONDS,
                **changes,
            }
        )
        self.activities = SessionActivities(self.host)
        self.beats: list[dict[str, Any]] = []
        self.environment = self.fresh_environment()

    def fresh_environment(self) -> ActivityEnvironment:
        environment = ActivityEnvironment()
        environment.on_heartbeat = lambda *details: self.beats.append(details[0])
        return environment

    async def start(self, generation: int = 1) -> ClaudeStarted:
        call = StartClaude(session_id=SESSION, project_path=self.project, generation=generation)
        return await self.environment.run(self.activities.start_claude, call)

    def send(
        self, text: str, generation: int = 1, environment: ActivityEnvironment | None = None, **more: Any
    ) -> Awaitable[Any]:
        call = SendTurn(
            session_id=SESSION,
            project_path=self.project,
            generation=generation,
            turn_id=text,
            text=text,
            offset=0,
            **more,
        )
        return (environment or self.environment).run(self.activities.send_turn, call)

    def watch(self, environment: ActivityEnvironment | None = None) -> Awaitable[Any]:
        call = WatchClaude(session_id=SESSION, project_path=self.project, generation=1)
        return (environment or self.environment).run(self.activities.watch_claude, call)

    async def stop(self, timeout: float = 5.0, generation: int = 9) -> Any:
        call = StopClaude(session_id=SESSION, project_path=self.project, generation=generation, timeout_seconds=timeout)
        return await self.fresh_environment().run(self.activities.stop_claude, call)


@pytest.fixture
async def hands(real_claude: RealClaude) -> AsyncIterator[Hands]:
    """Activities on a host of their own; its session is stopped at the end."""
    hands = Hands(real_claude)
    yield hands
    await hands.stop(0)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_second_start_adopts_the_process_of_the_first(hands: Hands) -> None:
    """A retried start finds what the lost attempt had started: one process, told to be adopted."""
    first, second = await hands.start(), await hands.start()

    assert (first.conversation, second.conversation) == ("new", "adopted")
    assert first.pid == second.pid
    assert (first.host_queue, first.watch_queue) == ("claude-host-here", "claude-host-here-watch")


async def test_a_start_after_an_end_resumes_the_conversation(hands: Hands, real_claude: RealClaude) -> None:
    """A transcript that exists is resumed, whoever asks; the turn that ended is answered from the journal."""
    await hands.start()
    await hands.send("remember")
    await hands.stop(generation=1)
    again = await hands.start(generation=2)
    await hands.send("what was it?", generation=2)

    assert again.conversation == "resumed"
    assert "remember" in str(real_claude.api.requests[-1]["messages"])


async def test_the_watch_ends_with_the_process_and_knows_why(hands: Hands) -> None:
    """A watcher reports pid and load while it looks, and the signal when the process is killed; so does a late one."""
    started = await hands.start()
    hands.beats.clear()
    watching = asyncio.ensure_future(hands.watch())
    await until(lambda: hands.beats)
    psutil.Process(started.pid).kill()
    ended, late = await watching, await hands.watch(hands.fresh_environment())

    assert (ended.signal, ended.code, ended.why) == (9, None, "exited")
    assert ended == late
    assert hands.beats[0]["pid"] == started.pid
    assert hands.beats[0]["rss_mb"] > 1


async def test_a_cancelled_follower_only_lets_go(hands: Hands, real_claude: RealClaude) -> None:
    """Cancelling a watcher and a turn leaves claude as it is; the next follower gets the turn's result."""
    real_claude.api.script["hold"] = [Hold(), Text("held")]
    started = await hands.start()
    environments = [hands.fresh_environment(), hands.fresh_environment()]
    following = [
        asyncio.ensure_future(hands.watch(environments[0])),
        asyncio.ensure_future(hands.send("hold", environment=environments[1])),
    ]
    await real_claude.api.wait_asked("hold")
    for environment in environments:
        environment.cancel()
    outcomes = await asyncio.gather(*following, return_exceptions=True)
    real_claude.api.release("hold")
    step = await hands.send("hold")

    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 2
    assert psutil.pid_exists(started.pid)
    assert step.ended.text == "held"
    assert real_claude.api.asked["hold"] == 1


async def test_a_draining_worker_hands_a_turn_over(hands: Hands, real_claude: RealClaude) -> None:
    """A follower of a worker that shuts down ends at once with a retry that the next worker takes."""
    real_claude.api.script["hold"] = [Hold(), Text("held")]
    await hands.start()
    following = asyncio.ensure_future(hands.send("hold"))
    await real_claude.api.wait_asked("hold")
    hands.environment.worker_shutdown()
    with pytest.raises(ApplicationError) as handed_over:
        await following

    assert handed_over.value.type == WORKER_DRAINING
    assert not handed_over.value.non_retryable


@pytest.mark.parametrize("cause", ["cancel_requested", "worker_shutdown"])
async def test_a_start_that_is_called_off_leaves_nothing_and_a_lost_one_is_left(
    hands: Hands, real_claude: RealClaude, cause: str
) -> None:
    """Cancelled by the workflow, a start ends what it began; cancelled by its worker's end, it leaves it to the next."""
    slow = real_claude.project.parent / "slow-claude"
    slow.write_text("#!/bin/sh\nexec sleep 300\n")
    slow.chmod(0o755)
    waiting = Hands(real_claude, executable=slow)
    starting = asyncio.ensure_future(waiting.start())
    session = real_claude.host.session(SESSION)
    await until(session.socket.exists)
    waiting.environment.cancel(ActivityCancellationDetails(**{cause: True}))
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert session.socket.exists() is (cause == "worker_shutdown")


async def test_a_turn_on_a_process_that_is_gone_says_so_for_good(hands: Hands) -> None:
    """No retry can help: the workflow has to start another process."""
    await hands.start()
    await hands.stop()
    with pytest.raises(ApplicationError) as gone:
        await hands.send("too late")

    assert (gone.value.type, gone.value.non_retryable) == (CLAUDE_GONE, True)


async def test_what_a_start_cannot_mend_is_not_retried(hands: Hands, real_claude: RealClaude) -> None:
    """A refused project and a claude that exits at once are told in words, each with its own type."""
    broken = real_claude.project.parent / "broken-claude"
    broken.write_text("#!/bin/sh\necho 'no such thing' >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(ApplicationError, match="outside the allowed roots") as refused:
        await Hands(real_claude, roots=(real_claude.project / "elsewhere",)).start()
    with pytest.raises(ApplicationError, match="no such thing") as early:
        await Hands(real_claude, executable=broken).start()

    assert (refused.value.type, early.value.type) == (PROJECT_REFUSED, EXITED_EARLY)
    assert refused.value.non_retryable
    assert early.value.non_retryable


DEAF = """#!/usr/bin/env python3
import json, sys
for line in sys.stdin:
    record = json.loads(line)
    if record["type"] == "control_request":
        answer = {"subtype": "success", "request_id": record["request_id"], "response": {}}
        print(json.dumps({"type": "control_response", "response": answer}), flush=True)
"""


async def test_a_claude_that_does_not_take_its_message_is_silent(hands: Hands, real_claude: RealClaude) -> None:
    """A process that answers the handshake and nothing else is noticed."""
    deaf = real_claude.project.parent / "deaf-claude"
    deaf.write_text(DEAF)
    deaf.chmod(0o755)
    await Hands(real_claude, executable=deaf).start()
    step = await hands.send("hello?", quiet_seconds=1.0)

    assert step.is_silent


async def test_a_model_that_says_nothing_is_silent_and_a_tool_at_work_is_not(
    hands: Hands, real_claude: RealClaude
) -> None:
    """Silence counts only when claude waits for nobody: a tool may take as long as it likes."""
    real_claude.api.script["think"] = [Hold(), Text("thought")]
    real_claude.api.script["work"] = [Tool("Bash", {"command": "echo begin; sleep 6; echo end"}), Text("worked")]
    await hands.start()
    worked = await hands.send("work", quiet_seconds=4.0)
    silent = await hands.send("think", quiet_seconds=4.0)
    real_claude.api.release("think")

    assert worked.ended is not None
    assert worked.ended.text == "worked"
    assert silent.is_silent


async def test_an_older_generation_is_told_which_one_replaced_it(hands: Hands) -> None:
    """A late call of an earlier life does nothing, and learns from where to count on."""
    await hands.start(generation=4)
    with pytest.raises(ApplicationError) as fenced:
        await hands.start(generation=3)

    assert (fenced.value.type, list(fenced.value.details)) == (FENCED, [4])


async def test_stop_is_idempotent_and_says_how_it_ended(hands: Hands) -> None:
    """A retried stop finds the record of the first one; a stop of what never ran is nothing."""
    assert await hands.stop() is None
    await hands.start()
    first, second = await hands.stop(), await hands.stop()

    assert first == second
    assert (first.why, first.survivors) == ("stopped", [])
