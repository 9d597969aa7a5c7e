"""The life of a session: start, turns, deaths of claude and of its host, stop. State and policy, no I/O."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Final, TypedDict, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities import failures
    from activities.calls import (
        AnswerPermission,
        ClaudeEnded,
        PermissionNeeded,
        SendTurn,
        StartClaude,
        StopClaude,
        TurnStep,
        WatchClaude,
    )
    from workflows.host import HostCalls, failure_sentence, failure_type, fence_of, is_host_away
    from workflows.messages import Message, OpenSession, SessionReport, Status, StopSession
    from workflows.page import memo, page
    from workflows.restarts import RestartBudget
    from workflows.turns import Turns

NOBODY_TO_ASK: Final = "This session has nobody to ask for permission: go on without this tool, or say what you need."

T = TypeVar("T")


class Address(TypedDict):
    """What names a session's claude in every call."""

    session_id: str
    project_path: str


class SessionFailed(Exception):
    """The session cannot go on; the text says why."""


class SessionLife:
    """One session from its first start to its end, run inside the workflow."""

    def __init__(self, opened: OpenSession) -> None:
        self.turns = Turns()
        self.status: Status = "starting"
        self._opened = opened
        self._host = HostCalls(opened.options)
        self._budget = RestartBudget(opened.options.restart_limit, opened.options.restart_window_seconds)
        self._stop: StopSession | None = None
        self._note = ""
        self._generation = 0
        self._restarts = 0
        self._offset = 0
        self._interrupted = False
        self._survivors: list[int] = []

    @property
    def is_ending(self) -> bool:
        """A stop was asked, or the session has ended."""
        return self._stop is not None or self.has_ended

    @property
    def has_ended(self) -> bool:
        """No process is left and none will be started."""
        return self.status in ("stopped", "failed")

    def ask_stop(self, call: StopSession) -> None:
        """Stop for good; the first one who asks sets the timeout."""
        self._stop = self._stop or call

    async def live(self) -> str:
        """The whole life; returns why it failed, or nothing."""
        try:
            while self._stop is None:
                watching = await self._start()
                if watching is not None:
                    await self._serve(watching)
                    watching.cancel()
        except SessionFailed as error:
            await self._end(str(error), "failed")
            return str(error)
        except ActivityError as error:
            await self._end(failure_sentence(error), "failed")
            return failure_sentence(error)
        await self._end("the session was stopped", "stopped")
        return ""

    async def _start(self) -> asyncio.Task[ClaudeEnded] | None:
        """Bring claude up and watch it. A start that fails after a first success counts as one more crash."""
        self._generation += 1
        if self.status != "host_lost":
            self._set("restarting" if self._host.started else "starting")
        call = StartClaude(generation=self._generation, **self._address())
        try:
            started = await self._unless_stopped(self._host.start(call))
        except ActivityError as error:
            await self._judge_failed_start(error)
            return None
        if started is None:
            return None
        if started.conversation != "adopted":
            self._offset = 0
        self._note = ""
        self._set("ready")
        return asyncio.create_task(self._host.watch(WatchClaude(generation=self._generation, **self._address())))

    async def _judge_failed_start(self, error: ActivityError) -> None:
        fence = fence_of(error)
        if is_host_away(error):
            self._away()
        elif self._host.started is None and fence:
            # An earlier life of this session, which failed or was terminated, has used the lower generations.
            self._generation = fence
        elif self._host.started is None or failure_type(error) in (failures.PROJECT_REFUSED, failures.FENCED):
            raise SessionFailed(failure_sentence(error)) from error
        else:
            await self._restart_after(failure_sentence(error))

    async def _serve(self, watching: asyncio.Task[ClaudeEnded]) -> None:
        """Run turns until claude ends, its host goes away, or the session is stopped."""
        while self._stop is None and not watching.done():
            turn = self.turns.begin()
            if turn is None:
                await workflow.wait_condition(
                    lambda: self._stop is not None or watching.done() or self.turns.waiting > 0
                )
            elif not await self._run_turn(turn):
                break
        self._interrupted = self.turns.current is not None
        try:
            ended = await self._unless_stopped(watching)
        except ActivityError as error:
            if not is_host_away(error):
                raise
            self._away()
            return
        if ended is not None:
            await self._restart_after(ended.sentence(), counted=ended.why != "lease")

    async def _run_turn(self, turn: Message) -> bool:
        """Take one turn to its end; False when claude or the session ended before it did."""
        self._set("busy")
        answered: list[str] = []
        while (step := await self._step(turn, answered)) is not None:
            if step.permission is not None:
                await self._deny(step.permission)
                answered = [*answered, step.permission.request_id]
            if step.ended is not None:
                self._offset = step.ended.journal_end
                self._interrupted = False
                self.turns.finish(step.ended)
                self._set("ready")
                return True
        return False

    async def _step(self, turn: Message, answered: list[str]) -> TurnStep | None:
        call = SendTurn(
            turn_id=turn.turn_id,
            text=turn.text,
            offset=self._offset,
            interrupted=self._interrupted,
            answered=answered,
            generation=self._generation,
            **self._address(),
        )
        try:
            return await self._unless_stopped(self._host.send(call))
        except ActivityError as error:
            if is_host_away(error) or failure_type(error) in (failures.CLAUDE_GONE, failures.FENCED):
                return None
            raise

    async def _deny(self, asked: PermissionNeeded) -> None:
        call = AnswerPermission(
            request_id=asked.request_id,
            behavior="deny",
            message=NOBODY_TO_ASK,
            generation=self._generation,
            **self._address(),
        )
        try:
            await self._host.answer(call)
        except ActivityError as error:
            if failure_type(error) != failures.CLAUDE_GONE:
                raise

    async def _restart_after(self, why: str, *, counted: bool = True) -> None:
        """Pause before the next start, or give up when the budget is spent."""
        self._note = why
        self._set("restarting")
        if not counted:
            return
        pause = self._budget.spend(workflow.time())
        if pause is None:
            options = self._opened.options
            window = f"{options.restart_limit + 1} times within {options.restart_window_seconds:.0f} seconds"
            raise SessionFailed(f"given up after claude ended {window}: {why}")
        self._restarts += 1
        await within(pause, lambda: self._stop is not None, summary="pause before the restart")

    async def _end(self, why: str, status: Status) -> None:
        """Stop claude, answer everybody who waits, and say how it ended."""
        self._note = why
        self._set("stopping")
        if self._host.started is not None:
            timeout = self._stop.timeout_seconds if self._stop else None
            ended = await self._host.stop(
                StopClaude(
                    generation=self._generation,
                    timeout_seconds=self._opened.options.stop_timeout_seconds if timeout is None else timeout,
                    **self._address(),
                )
            )
            self._survivors = ended.survivors if ended else []
        self.turns.abandon(why, "failed" if status == "failed" else "stopped")
        self._set(status)

    async def _unless_stopped(self, work: Coroutine[Any, Any, T] | asyncio.Task[T]) -> T | None:
        """The work's result, or None when a stop came first; the work is then cancelled and awaited."""
        task = asyncio.ensure_future(work)
        await workflow.wait_condition(lambda: task.done() or self._stop is not None)
        if task.done():
            return task.result()
        task.cancel()
        with contextlib.suppress(ActivityError, asyncio.CancelledError):
            return await task
        return None

    def _address(self) -> Address:
        return {"session_id": self._opened.session_id, "project_path": self._opened.project_path}

    def _away(self) -> None:
        if self._host.started is None:
            self._note = "no worker has taken this session yet: start one with `durable-claude up`"
            return
        self._note = f"no worker of host {self._host.started.host_id} answers: start it, or stop the session"
        self._set("host_lost")

    def _set(self, status: Status) -> None:
        self.status = status
        self.show()
        workflow.upsert_memo(memo(self.report()))

    def show(self) -> None:
        workflow.set_current_details(page(self.report()))

    def report(self) -> SessionReport:
        started = self._host.started
        return SessionReport(
            session_id=self._opened.session_id,
            project_path=self._opened.project_path,
            status=self.status,
            host_id=started.host_id if started else "",
            pid=started.pid if started else 0,
            generation=self._generation,
            restarts=self._restarts,
            turn_id=self.turns.current.turn_id if self.turns.current else "",
            queued=self.turns.waiting,
            turns_done=self.turns.done,
            cost_usd=self.turns.cost_usd,
            survivors=self._survivors,
            note=self._note,
        )


async def within(seconds: float, condition: Callable[[], bool], summary: str | None = None) -> None:
    """Wait for the condition, but no longer than some seconds."""
    with contextlib.suppress(asyncio.TimeoutError):
        await workflow.wait_condition(condition, timeout=timedelta(seconds=seconds), timeout_summary=summary)
