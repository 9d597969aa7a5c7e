"""The life of a session: start, turns, sleep, deaths of claude and of its host, stop. State and policy, no I/O."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.calls import AnswerPart
    from activities.conversation import conversation_of
    from workflows.approvals import Approvals
    from workflows.host import ClaudeOnHost, failure_sentence
    from workflows.limits import Limits
    from workflows.messages import Carried, Message, OpenSession, ReadTurn, SessionReport, Status, StopSession
    from workflows.page import memo, page
    from workflows.turn_run import HostAway, TurnRun
    from workflows.turns import Turns
    from workflows.upkeep import SessionFailed, Upkeep, Watching
    from workflows.waiting import let_go, within

# A memo written twice per turn would cost more than the rest of the turn's bookkeeping; lists ask the session itself,
# and fall back on the memo.
WITHIN_TURNS: Final = {"ready", "busy"}
# The latest ones; older warnings have been read or never will be.
WARNINGS_KEPT: Final = 10
# A run that may not even take up its work before it hands on would do nothing but hand on.
SHORTEST_HISTORY: Final = 20
# A longer polite stop is a wait, and an endless one cannot be told to Temporal.
LONGEST_STOP_SECONDS: Final = 3600.0


class SessionLife:
    """One session from its first start to its end, over as many runs of the workflow as it takes."""

    def __init__(self, opened: OpenSession) -> None:
        carried = opened.carried or Carried(opened_at=workflow.time())
        options = opened.options
        self.turns = Turns(carried)
        self.approvals = Approvals(carried.approvals)
        self.status: Status = carried.status
        self._opened = opened
        self._claude = ClaudeOnHost(opened, carried)
        self._limits = Limits(options, carried.opened_at)
        self._note = carried.note
        self._warnings = list(carried.warned)
        self._survivors: list[int] = []
        self._stop: StopSession | None = None
        self._stop_after_turn: StopSession | None = None
        self.moves_on = False
        """Work rests: those who wait are answered now, and the next run of the workflow goes on."""
        self._upkeep = Upkeep(
            self._claude,
            options,
            carried,
            is_stopped=lambda: self._stop is not None,
            leaves=lambda: self._leaves,
            on_status=self._set,
            on_loss=self.approvals.orphan,
        )
        self._run = TurnRun(
            self._claude,
            self.approvals,
            options,
            carried,
            is_called_off=lambda: self._leaves,
            on_change=self._turn_changed,
            on_warning=self.warn,
        )

    # --- what others may ask for ---------------------------------------------------------------------------------

    @property
    def is_ending(self) -> bool:
        """A stop was asked for, or the session has ended."""
        return self._stop is not None or self._stop_after_turn is not None or self.has_ended

    @property
    def has_ended(self) -> bool:
        """No process is left and none will be started."""
        return self.status in ("stopped", "failed")

    def ask_stop(self, call: StopSession) -> None:
        """Stop for good; the first one who asks for it now sets the timeout."""
        if call.when == "after_turn" and self.turns.current is not None:
            self._stop_after_turn = self._stop_after_turn or call
        else:
            self._stop = self._stop or call

    async def interrupt(self) -> None:
        """End the running turn; its result says that it was interrupted."""
        await self._claude.interrupt(f"interrupt-{workflow.uuid4()}")

    async def read(self, call: ReadTurn) -> AnswerPart:
        """A part of a turn's whole answer; ValueError when it has none."""
        return await self._claude.read(self.turns.ended(call.turn_id), call.start)

    def refuse_over_budget(self) -> None:
        """Raise ValueError when the session may cost no more."""
        if spent := self._limits.over_budget(self.turns.cost_usd):
            raise ValueError(f"{spent}: open another one, or fork this one")

    def next_run(self) -> OpenSession:
        """What the next run of the workflow starts with."""
        carried = Carried(
            opened_at=self._limits.opened_at,
            status=self.status,
            note=self._note,
            generation=self._claude.generation,
            offset=self._claude.offset,
            before=self._claude.before,
            started=self._claude.started,
            restarts=self._upkeep.restarts,
            spent=self._upkeep.spent,
            paused_until=self._upkeep.paused_until,
            current=self.turns.current,
            turn_seconds=self._run.seconds,
            queue=self.turns.queue,
            reports=self.turns.reports,
            done=self.turns.done,
            cost_usd=self.turns.cost_usd,
            approvals=self.approvals.carry(),
            warned=self._warnings,
        )
        return replace(self._opened, carried=carried)

    # --- the life ------------------------------------------------------------------------------------------------

    async def live(self) -> str:
        """Until the end, or until the session moves on; returns why it failed, or nothing."""
        ageing = asyncio.create_task(self._limits.age(lambda: self.is_ending, self.warn, self.ask_stop))
        try:
            await self._work()
            return "" if self._stop is None else await self._end("the session was stopped", "stopped")
        except (SessionFailed, ActivityError) as error:
            why = failure_sentence(error) if isinstance(error, ActivityError) else str(error)
            return await self._end(why, "failed")
        finally:
            ageing.cancel()

    @property
    def _leaves(self) -> bool:
        return self._stop is not None or self._is_long

    @property
    def _is_long(self) -> bool:
        """History is long enough for the next run. Whoever asked for a stop after the turn waits in this one."""
        info, limit = workflow.info(), self._opened.options.history_limit
        is_over = bool(limit) and info.get_current_history_length() >= max(limit, SHORTEST_HISTORY)
        return self._stop_after_turn is None and (is_over or info.is_continue_as_new_suggested())

    async def _work(self) -> None:
        """Work until a stop is asked for, or until nobody waits in this run any more and the next one may begin."""
        while True:
            await self._keep_going()
            self.moves_on = True
            await workflow.wait_condition(
                # A stop after the turn may come while others are still being answered: then the turn goes on here.
                lambda: self._stop is not None or not self._is_long or workflow.all_handlers_finished()
            )
            if self._leaves:
                return
            self.moves_on = False

    async def _keep_going(self) -> None:
        is_up = self.status in ("ready", "busy", "awaiting_approval")
        while not self._leaves:
            if self.status == "hibernated":
                await workflow.wait_condition(lambda: self._leaves or self.turns.waiting > 0)
                if self.turns.waiting > 0:
                    self.status = "starting"
                continue
            watching = self._upkeep.watch() if is_up else await self._upkeep.start(self.status)
            is_up = False
            if watching is not None:
                await self._serve(watching)
                let_go(watching)

    async def _serve(self, watching: Watching) -> None:
        """Run turns until claude ends, its host goes away, it has nothing to do for long, or the session leaves."""
        while not self._leaves and not watching.done():
            turn = self.turns.begin()
            if turn is not None:
                try:
                    if not await self._take(turn):
                        break
                except HostAway:
                    self._upkeep.away()
                    return
            elif not await self._wait_for_work(watching):
                await self._upkeep.hibernate()
                return
        if not self._leaves:
            await self._upkeep.after(watching)

    async def _wait_for_work(self, watching: Watching) -> bool:
        """Whether there is something to do; False when the session was idle for too long."""
        idle = self._opened.options.idle_seconds
        has_work = lambda: self._leaves or watching.done() or self.turns.waiting > 0  # noqa: E731
        if idle:
            return await within(idle, has_work, "idle until hibernation")
        await workflow.wait_condition(has_work)
        return True

    async def _take(self, turn: Message) -> bool:
        """Take one turn to its end; False when claude or the session ended before it did."""
        ended = await self._run.run(turn)
        if ended is not None:
            self._claude.turn_ended(ended.journal_end)
            self.turns.finish(ended)
            self._mind_the_cost()
        elif self._run.given_up and not self._leaves:
            self.turns.give_up(self._run.given_up, "failed")
        if self._stop_after_turn is not None and self.turns.current is None:
            self._stop = self._stop or self._stop_after_turn
        if ended is not None:
            self._set("ready", "")
        return ended is not None

    def _mind_the_cost(self) -> None:
        if spent := self._limits.over_budget(self.turns.cost_usd):
            self.turns.abandon(spent, "failed")
        elif nearly := self._limits.near_budget(self.turns.cost_usd):
            self.warn(nearly)

    async def _end(self, why: str, status: Status) -> str:
        """Stop claude, answer everybody who waits, and say how it ended; returns why it failed, or nothing."""
        self._set("stopping", why)
        try:
            await self._stop_claude()
        except ActivityError as error:
            why, status = f"{why}, but claude could not be ended: {failure_sentence(error)}", "failed"
        if self.turns.current is not None:
            self.approvals.settle_turn(self.turns.current.turn_id, why)
        self.turns.abandon(why, "failed" if status == "failed" else "stopped")
        self._set(status, why)
        return why if status == "failed" else ""

    async def _stop_claude(self) -> None:
        if self._claude.started is None:
            return
        timeout = self._stop.timeout_seconds if self._stop else None
        if timeout is None:
            timeout = self._opened.options.stop_timeout_seconds
        ended = await self._claude.stop(min(LONGEST_STOP_SECONDS, max(0.0, timeout)))
        self._survivors = ended.survivors if ended else []

    # --- small parts ---------------------------------------------------------------------------------------------

    def warn(self, text: str) -> None:
        """Tell the person something that needs no answer, once."""
        if text not in self._warnings:
            self._warnings = [*self._warnings, text][-WARNINGS_KEPT:]
            self.show()

    def _turn_changed(self) -> None:
        status: Status = "awaiting_approval" if self.approvals.waiting else "busy"
        if status != self.status:
            self._set(status, "")
        self.show()

    def _set(self, status: Status, note: str) -> None:
        is_worth_a_memo = not {status, self.status} <= WITHIN_TURNS
        self.status = status
        self._note = note
        self.show()
        if is_worth_a_memo:
            workflow.upsert_memo(memo(self.report()))

    def show(self) -> None:
        """Bring the page of the Web UI up to date."""
        workflow.set_current_details(page(self.report()))

    def report(self) -> SessionReport:
        """What the session is and does."""
        started = self._claude.started
        return SessionReport(
            session_id=self._opened.session_id,
            project_path=self._opened.project_path,
            status=self.status,
            conversation_id=conversation_of(self._opened.session_id, self._opened.origin),
            host_id=started.host_id if started else "",
            pid=started.pid if started and self.status != "hibernated" else 0,
            generation=self._claude.generation,
            restarts=self._upkeep.restarts,
            turn_id=self.turns.current.turn_id if self.turns.current else "",
            queued=self.turns.waiting,
            turns_done=self.turns.done,
            cost_usd=self.turns.cost_usd,
            survivors=self._survivors,
            approvals=self.approvals.waiting,
            note=self._note,
            warnings=self._warnings,
        )
