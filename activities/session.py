"""The activities of a session. They hold no state: any worker on the host can run any of them, any number of times."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.answer import answer_part
from activities.calls import (
    AnswerPart,
    AnswerPermission,
    ClaudeEnded,
    ClaudeStarted,
    InterruptTurn,
    ReadAnswer,
    SendTurn,
    StartClaude,
    StopClaude,
    TurnStep,
    WatchClaude,
)
from activities.conversation import Beginning, beginning, conversation_of
from activities.failures import FENCED, translated
from activities.follower import TurnFollower
from activities.gauge import Gauge
from activities.host import Host
from activities.outcomes import ended
from activities.permission import find_request, permission_answer
from activities.pulse import onlooker_seconds, pulsing
from claude import command, protocol
from claude.claim import Claim
from claude.process import (
    ClaudeProcess,
    ConversationRefused,
    ConversationTaken,
    ConversationUnknown,
    Fenced,
    NotReady,
    NotRunning,
)
from shim.client import read_fence

# The handshake takes half a second; eight cold starts at once on two cores took 4.6 s, MCP servers add their own.
READY_SECONDS: Final = 90.0
STDERR_CAP: Final = 4 * 1024

log = structlog.get_logger(__name__)
Conversation = Literal["new", "resumed", "adopted"]


class SessionActivities:
    """The activities, bound to the host they run on."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @activity.defn
    @translated
    async def start_claude(self, call: StartClaude) -> ClaudeStarted:
        """Launch claude, or attach to the one that lives, and return when it has answered the handshake."""
        project = command.project_directory(call.project_path, self._host.roots)
        since = time.monotonic()

        def details() -> dict[str, Any]:
            return {"doing": "waiting for claude to be ready", "seconds": round(time.monotonic() - since, 1)}

        try:
            return await pulsing(self._start(call, project), details)
        except Fenced as error:
            fence = read_fence(self._host.directory.session(call.session_id))
            raise ApplicationError(str(error), fence, type=FENCED, non_retryable=True) from error
        finally:
            self._host.launcher.refill()

    @activity.defn
    @translated
    async def watch_claude(self, call: WatchClaude) -> ClaudeEnded:
        """Return when the process ends; until then only look."""
        process = self._process(call.session_id, call.project_path, call.generation)
        try:
            await process.attach()
        except NotRunning:
            return ended(await process.exited(), process.stderr_tail(STDERR_CAP))
        gauge = Gauge(process)
        try:
            exit_record = await pulsing(process.exited(), gauge.read, onlooker_seconds())
        finally:
            await process.detach()
        return ended(exit_record, process.stderr_tail(STDERR_CAP))

    @activity.defn
    @translated
    async def send_turn(self, call: SendTurn) -> TurnStep:
        """Deliver the message once and follow the journal to the turn's end, also when that lies in the past."""
        if (ended_before := await self._ended_before(call)) is not None:
            return ended_before
        process = self._process(call.session_id, call.project_path, call.generation)
        follower = TurnFollower(process, call, self._host.attachable)
        try:
            await process.attach()
        except NotRunning:
            return await follower.recorded()
        gauge = Gauge(process, follower)
        try:
            return await pulsing(follower.run(), lambda: gauge.read() | {"turn_id": call.turn_id})
        finally:
            await process.detach()

    @activity.defn
    @translated
    async def answer_permission(self, call: AnswerPermission) -> None:
        """Hand claude the answer to one permission request; the same request is answered once."""
        async with self._attached(call.session_id, call.project_path, call.generation) as process:
            asked = await find_request(process, call)
            await process.send(f"answer-{call.request_id}", permission_answer(call, asked))

    @activity.defn
    @translated
    async def interrupt_turn(self, call: InterruptTurn) -> None:
        """Ask claude to end the running turn; the turn's follower sees the result."""
        async with self._attached(call.session_id, call.project_path, call.generation) as process:
            await process.send(call.request_id, protocol.interrupt(call.request_id))

    @activity.defn
    @translated
    async def read_answer(self, call: ReadAnswer) -> AnswerPart:
        """A part of a turn's whole answer, of which history has only the beginning."""
        return await asyncio.to_thread(answer_part, self._host.directory, call)

    @activity.defn
    @translated
    async def stop_claude(self, call: StopClaude) -> ClaudeEnded | None:
        """Run the stop ladder; return when no descendant is left. None when nothing ever ran."""
        process = self._process(call.session_id, call.project_path, call.generation)
        exit_record = await pulsing(process.stop(call.timeout_seconds), lambda: {"doing": "stopping claude"})
        return None if exit_record is None else ended(exit_record, process.stderr_tail(STDERR_CAP))

    async def _ended_before(self, call: SendTurn) -> TurnStep | None:
        """The turn's result, if it ended on the process before this one while nobody looked."""
        if call.before is None:
            return None
        dead = self._process(call.session_id, call.project_path, call.before.generation)
        try:
            step = await TurnFollower(dead, replace(call, offset=call.before.offset), self._host.attachable).recorded()
        except NotRunning:
            return None
        # The next turn begins where this one would have, in the journal of the process that lives.
        return step if step.ended is None else replace(step, ended=replace(step.ended, journal_end=call.offset))

    @contextlib.asynccontextmanager
    async def _attached(self, session_id: str, project_path: str, generation: int) -> AsyncIterator[ClaudeProcess]:
        process = self._process(session_id, project_path, generation)
        await process.attach()
        try:
            yield process
        finally:
            await process.detach()

    def _process(self, session_id: str, project_path: str | Path, generation: int, **more: Any) -> ClaudeProcess:
        return ClaudeProcess(
            session_id,
            project_path,
            host=self._host.directory,
            launcher=self._host.launcher,
            environment=self._host.environment,
            generation=generation,
            lease_ttl_seconds=self._host.lease_ttl_seconds,
            **more,
        )

    async def _start(self, call: StartClaude, project: Path) -> ClaudeStarted:
        begin = beginning(call.session_id, call.origin, self._host.environment)
        Claim(self._host.directory, conversation_of(call.session_id, call.origin), call.session_id).take()
        try:
            return await self._launch(call, project, begin)
        except ConversationUnknown as error:
            if call.origin is not None:
                raise ConversationRefused(f"claude does not know the conversation any more: {error}") from error
            return await self._launch(call, project, Beginning(how="new"))
        except ConversationTaken:
            return await self._launch(call, project, Beginning(how="resume"))

    async def _launch(self, call: StartClaude, project: Path, begin: Beginning) -> ClaudeStarted:
        conversation_id = conversation_of(call.session_id, call.origin)
        arguments = command.arguments(
            command.find_executable(self._host.executable, self._host.environment.get("PATH", "")),
            conversation_id=conversation_id,
            resume=begin.how,
            permission_mode=self._host.permission_mode,
            forked_from=begin.forked_from,
        )
        process = self._process(call.session_id, project, call.generation, command=arguments)
        try:
            await process.start()
            Claim(self._host.directory, conversation_id, call.session_id).confirm()
            await process.ready(READY_SECONDS)
        except (NotReady, ConversationRefused):
            await process.stop(0)
            raise
        except asyncio.CancelledError:
            await self._abandon(process)
            raise
        finally:
            await process.detach()
        conversation: Conversation = "adopted" if process.adopted else "resumed" if begin.how == "resume" else "new"
        log.info("claude is ready", pid=process.pid, conversation=conversation)
        return self._started(process, conversation)

    def _started(self, process: ClaudeProcess, conversation: Conversation) -> ClaudeStarted:
        return ClaudeStarted(
            host_id=self._host.host_id,
            host_queue=self._host.queue,
            watch_queue=self._host.watch_queue,
            pid=process.pid or 0,
            generation=process.generation,
            journal_end=process.journal_end,
            conversation=conversation,
        )

    async def _abandon(self, process: ClaudeProcess) -> None:
        """A start that was called off by the workflow leaves nothing; one whose worker goes away is taken over."""
        details = activity.cancellation_details()
        if details is not None and details.cancel_requested:
            await process.stop(0)
