"""One turn on its way: its follower, the questions it raises, and the limit on its length."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.calls import UNANSWERED, PermissionNeeded, TurnEnded, TurnStep
    from workflows.alarm import Alarm
    from workflows.approvals import Answer, Approval, Approvals
    from workflows.host import ClaudeOnHost, is_claude_gone, is_host_away
    from workflows.messages import Carried, Message, SessionOptions
    from workflows.waiting import let_go, within

# An interrupt ends a healthy turn in milliseconds; whoever ignores it this long does not hear it.
INTERRUPT_GRACE_SECONDS: Final = 30.0


class HostAway(Exception):
    """No worker of the host takes the turn; how claude fares is not known."""


class TurnRun:
    """Runs turns, one at a time, on whatever process there is."""

    def __init__(
        self,
        claude: ClaudeOnHost,
        approvals: Approvals,
        options: SessionOptions,
        carried: Carried,
        alarm: Alarm,
        *,
        is_called_off: Callable[[], bool],
        on_change: Callable[[], None],
        on_warning: Callable[[str], None],
    ) -> None:
        self._claude = claude
        self._approvals = approvals
        self._options = options
        self._alarm = alarm
        self._is_called_off = is_called_off
        self._on_change = on_change
        self._on_warning = on_warning
        self.given_up = ""
        """Why the last turn was ended by force; empty when it was not."""
        self.seconds = carried.turn_seconds
        """How long the latest turn has worked, also in earlier runs and on processes that died under it."""
        self._turn_id = carried.current.turn_id if carried.current else ""
        self._since: float | None = None
        self._beside: list[asyncio.Task[None]] = []
        self._following: asyncio.Task[TurnStep] | None = None

    async def run(self, turn: Message) -> TurnEnded | None:
        """The turn's result; None when claude is gone, the turn was given up, or the session calls it off.

        Raises HostAway; the turn stays as it is until the host is back.
        """
        self.given_up = ""
        if turn.turn_id != self._turn_id:
            self._turn_id, self.seconds = turn.turn_id, 0.0
        self._since = None
        known = self._approvals.known_to_claude(turn.turn_id)
        self._beside = [asyncio.create_task(self._settle(approval.approval_id)) for approval in known]
        self._beside.append(asyncio.create_task(self._limit(turn)))
        self._on_change()
        try:
            while (step := await self._step(turn)) is not None:
                if step.ended is not None:
                    return self._closed(step.ended)
                if step.permission is not None:
                    self._beside.append(asyncio.create_task(self._settle(self._take_in(step.permission))))
                    self._on_change()
                if step.is_silent:
                    self._on_warning(f"claude was silent in turn {turn.turn_id}: it was ended and starts again")
                    await self._claude.stop(self._options.stop_timeout_seconds)
            return None
        finally:
            for task in self._beside:
                task.cancel()

    @property
    def late(self) -> TurnEnded | None:
        """The result of the turn that was called off, if it came in the same moment.

        A stop is read before a result that is older, and a query between the two may have told somebody of the result.
        """
        following = self._following
        if following is None or not following.done() or following.cancelled() or following.exception():
            return None
        return following.result().ended

    async def _step(self, turn: Message) -> TurnStep | None:
        following = self._following = asyncio.create_task(self._claude.send(turn, self._approvals.passed_on))
        await workflow.wait_condition(lambda: following.done() or self._is_called_off() or self._failure() is not None)
        self._book()
        if not following.done():
            let_go(following)
            if failure := self._failure():
                raise failure
            return None
        try:
            return following.result()
        except ActivityError as error:
            if is_host_away(error):
                raise HostAway from error
            if is_claude_gone(error):
                return None
            raise

    def _failure(self) -> BaseException | None:
        """What a task beside the follower failed with: it must not be lost with the task."""
        return next((task.exception() for task in self._beside if task.done() and task.exception()), None)

    def _closed(self, ended: TurnEnded) -> TurnEnded:
        self._approvals.settle_turn(ended.turn_id, "its turn has ended")
        return replace(ended, error_kind="limit") if self.given_up else ended

    def _take_in(self, needed: PermissionNeeded) -> str:
        deadline = workflow.time() + self._options.approval_seconds
        return self._approvals.ask(needed, deadline).approval_id

    async def _settle(self, approval_id: str) -> None:
        """Wait for a person, but not for ever, and hand the answer to the claude that asked."""
        approvals = self._approvals
        left = approvals.current(approval_id).deadline - workflow.time()
        await within(left, lambda: approvals.answer_to(approval_id) is not None, f"question {approval_id} waits")
        answer = approvals.answer_to(approval_id)
        if answer is None:
            minutes = f"{self._options.approval_seconds / 60:.0f} minutes"
            self._on_warning(f"nobody answered question {approval_id} within {minutes}: denied")
            answer = Answer(approval_id=approval_id, decision="deny", message=f"{UNANSWERED} {minutes}.")
            approvals.resolve(answer)
        self._on_change()
        if await self._hand_over(approvals.current(approval_id), answer):
            is_late = answer.message.startswith(UNANSWERED)
            how = "nobody answered it in time" if is_late else "it was answered"
            approvals.settle(approval_id, f"{how}: {answer.decision}")
            self._on_change()

    async def _hand_over(self, approval: Approval, answer: Answer) -> bool:
        """Whether claude has the answer. One that is gone has not: the answer waits for the next who asks the same."""
        while True:
            try:
                await self._claude.answer(approval, answer)
            except ActivityError as error:
                # Or the turn has ended meanwhile, by an interrupt or otherwise, and calls the answer off.
                if is_claude_gone(error) or is_cancelled_exception(error):
                    return False
                if not is_host_away(error):
                    raise
            else:
                return True

    async def _limit(self, turn: Message) -> None:
        """Interrupt a turn that takes too long, and end claude when that is not heard."""
        longest = self._options.max_turn_seconds
        while self.seconds < longest:
            await workflow.wait_condition(lambda: not self._approvals.waiting)
            self._since = workflow.time()
            await self._alarm.within(longest - self.seconds, lambda: bool(self._approvals.waiting), "longest turn")
            self._book()
            self._since = None
        self.given_up = f"the turn took longer than {longest:.0f} seconds"
        self._on_warning(f"{self.given_up}: interrupted")
        # Whoever cannot be interrupted is ended.
        with contextlib.suppress(ActivityError):
            await self._claude.interrupt(f"limit-{turn.turn_id}")
        await workflow.sleep(timedelta(seconds=INTERRUPT_GRACE_SECONDS), summary="a moment to hear the interrupt")
        await self._claude.stop(0)

    def _book(self) -> None:
        if self._since is not None:
            now = workflow.time()
            self.seconds, self._since = self.seconds + now - self._since, now
