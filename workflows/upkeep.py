"""Keeping a claude up: starts, restarts after a death, sleep. Says what it does through `on_status`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities import failures
    from activities.calls import ClaudeEnded
    from workflows.host import ClaudeOnHost, failure_sentence, failure_type, fence_of, is_host_away
    from workflows.messages import Carried, SessionOptions, Status
    from workflows.restarts import RestartBudget
    from workflows.waiting import unless, within

Watching = asyncio.Task[ClaudeEnded]


class SessionFailed(Exception):
    """The session cannot go on; the text says why."""


class Upkeep:
    """The process side of a session's life."""

    def __init__(
        self,
        claude: ClaudeOnHost,
        options: SessionOptions,
        carried: Carried,
        *,
        is_stopped: Callable[[], bool],
        leaves: Callable[[], bool],
        on_status: Callable[[Status, str], None],
        on_loss: Callable[[], None],
    ) -> None:
        self.restarts = carried.restarts
        self.paused_until = carried.paused_until
        """No start before this time; in the past when there is nothing to wait for."""
        self._lack = ""
        """What the first start waits for, told also while it is tried again."""
        self._claude = claude
        self._options = options
        self._budget = RestartBudget(options.restart_limit, options.restart_window_seconds, carried.spent)
        self._is_stopped = is_stopped
        self._leaves = leaves
        self._on_status = on_status
        self._on_loss = on_loss

    @property
    def spent(self) -> list[float]:
        """The restarts that still count."""
        return self._budget.spent

    def watch(self) -> Watching:
        """Follow the process that is up."""
        watching = asyncio.create_task(self._claude.watch())
        # Nobody asks how a watch ended that was called off, and asyncio would log that as an error.
        watching.add_done_callback(lambda task: task.cancelled() or task.exception())
        return watching

    async def start(self, status: Status) -> Watching | None:
        """Bring claude up and follow it. A start that fails after a first success counts as one more death."""
        if status not in ("host_lost", "restarting"):
            self._on_status("starting", self._lack)
        if (pause := self.paused_until - workflow.time()) > 0 and await within(
            pause, self._leaves, "pause before the restart"
        ):
            return None
        try:
            started = await unless(self._is_stopped, self._claude.start())
        except ActivityError as error:
            self._judge(error)
            return None
        if started is None:
            return None
        if started.conversation != "adopted":
            self._on_loss()
        self._on_status("ready", "")
        return self.watch()

    async def after(self, watching: Watching) -> None:
        """What follows the end of a process, or the silence of its host."""
        try:
            ended = await unless(self._leaves, watching)
        except ActivityError as error:
            if not is_host_away(error):
                raise
            self.away()
            return
        if ended is not None:
            self._restart_after(ended.sentence(), counted=ended.why != "lease")

    async def hibernate(self) -> None:
        """End the process; the next message brings it back, also when another run of the workflow takes it."""
        await self._claude.stop(self._options.stop_timeout_seconds)
        self._on_status("hibernated", "")

    def _judge(self, error: ActivityError) -> None:
        fence, never_started = fence_of(error), self._claude.started is None
        if is_host_away(error):
            self.away()
        elif never_started and fence > self._claude.generation:
            # An earlier life of this session, which failed or was terminated, has used the lower generations.
            self._claude.generation = fence
        elif never_started or failure_type(error) in (failures.PROJECT_REFUSED, failures.FENCED):
            raise SessionFailed(failure_sentence(error)) from error
        else:
            self._restart_after(failure_sentence(error))

    def _restart_after(self, why: str, *, counted: bool = True) -> None:
        """Set the pause before the next start, or give up when the budget is spent."""
        self._on_status("restarting", why)
        if not counted:
            return
        pause = self._budget.spend(workflow.time())
        if pause is None:
            window = (
                f"{self._options.restart_limit + 1} times within {self._options.restart_window_seconds:.0f} seconds"
            )
            raise SessionFailed(f"given up after claude ended {window}: {why}")
        self.restarts += 1
        self.paused_until = workflow.time() + pause

    def away(self) -> None:
        """Say that the host does not answer; the next start finds out how claude fared."""
        started = self._claude.started
        if started is None:
            self._lack = "no worker has taken this session yet: start one with `durable-claude up`"
            self._on_status("starting", self._lack)
        else:
            note = f"no worker of host {started.host_id} answers: start it, or stop the session"
            self._on_status("host_lost", note)
