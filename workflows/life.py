"""The life of a session: start, turns, sleep, deaths of claude and of its host, stop. State and policy, no I/O."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.calls import AnswerPart
    from activities.conversation import conversation_of
    from workflows.alarm import Alarm
    from workflows.approvals import Approvals
    from workflows.host import ClaudeOnHost, failure_sentence
    from workflows.idleness import Idleness
    from workflows.interrupts import Interrupts
    from workflows.limits import Limits
    from workflows.messages import (
        Carried,
        Listen,
        Message,
        OpenSession,
        ReadTurn,
        SessionReport,
        Status,
        StopSession,
        TurnAccepted,
        check_message,
    )
    from workflows.notices import check_listener
    from workflows.standing import Over, Standing
    from workflows.stops import Stops
    from workflows.teller import Teller
    from workflows.turn_run import HostAway, TurnRun
    from workflows.turns import Turns
    from workflows.upkeep import SessionFailed, Upkeep, Watching
    from workflows.waiting import let_go


class SessionLife:
    """One session from its first start to its end, over as many runs of the workflow as it takes."""

    def __init__(self, opened: OpenSession) -> None:
        carried = opened.carried or Carried(opened_at=workflow.time())
        options = opened.options
        self._stops = Stops()
        self.teller = Teller(opened, carried.notices, lambda: self._stops.by)
        self.turns = Turns(carried, self.teller.turn_ended)
        self.approvals = Approvals(carried.approvals, self.teller.settled)
        self.standing = Standing(carried, self.report, self.teller)
        self._opened = opened
        self._claude = ClaudeOnHost(opened, carried)
        self.interrupts = Interrupts(self._claude, self.turns, lambda: self.status)
        self._limits = Limits(options, carried.opened_at)
        self._alarm = Alarm(opened)
        self._idleness = Idleness(options.idle_seconds, carried.idle_since, self._alarm)
        self._survivors: list[int] = []
        self.moves_on = False
        """Work rests: those who wait are answered now, and the next run of the workflow goes on."""
        self._upkeep = Upkeep(
            self._claude,
            options,
            carried,
            is_stopped=lambda: self._stops.now is not None,
            leaves=lambda: self._leaves,
            on_status=self.standing.set,
            on_loss=self.approvals.orphan,
        )
        self._run = TurnRun(
            self._claude,
            self.approvals,
            options,
            carried,
            self._alarm,
            is_called_off=lambda: self._leaves,
            on_change=self._turn_changed,
            on_warning=self.standing.warn,
        )
        self.standing.open(opened)

    @property
    def status(self) -> Status:
        """What the session is."""
        return self.standing.status

    @property
    def is_ending(self) -> bool:
        """A stop was asked for, or the session has ended."""
        return self._stops.are_asked_for or self.has_ended

    @property
    def has_ended(self) -> bool:
        """No process is left and none will be started."""
        return self.status in ("stopped", "failed")

    def accept(self, message: Message) -> TurnAccepted:
        """Enqueue a message; the same turn id is taken once."""
        accepted = self.turns.accept(message)
        self.standing.show()
        return accepted

    def ask_stop(self, call: StopSession) -> None:
        """Stop for good; the first one who asks for it now sets the timeout."""
        self._stops.ask(call, is_busy=self.turns.current is not None)

    def refuse_listener(self, call: Listen) -> None:
        """Raise ValueError when nobody can be told there, or nothing is left to tell."""
        if self.has_ended:
            raise Over(f"the session is {self.status}: there is nothing to hear of it any more")
        if call.listener is not None:
            check_listener(call.listener)

    async def read(self, call: ReadTurn) -> AnswerPart:
        """A part of a turn's whole answer; ValueError when it has none."""
        return await self._claude.read(self.turns.ended(call.turn_id), call.start)

    def refuse(self, message: Message) -> None:
        """Raise ValueError when the session cannot take this message."""
        check_message(message)
        if self.is_ending:
            raise (Over if self.has_ended else ValueError)(f"the session is {self.status}: it takes no more messages")
        if spent := self._limits.over_budget(self.turns.cost_usd):
            raise ValueError(f"{spent}: open another one, or fork this one")
        self.turns.refuse_when_full(message)

    def next_run(self) -> OpenSession:
        """What the next run of the workflow starts with."""
        carried = Carried(
            opened_at=self._limits.opened_at,
            status=self.status,
            note=self.standing.note,
            generation=self._claude.generation,
            offset=self._claude.offset,
            before=self._claude.before,
            started=self._claude.started,
            restarts=self._upkeep.restarts,
            spent=self._upkeep.spent,
            paused_until=self._upkeep.paused_until,
            current=self.turns.current,
            turn_seconds=self._run.seconds,
            idle_since=self._idleness.since,
            queue=self.turns.queue,
            reports=self.turns.reports,
            done=self.turns.done,
            cost_usd=self.turns.cost_usd,
            approvals=self.approvals.carry(),
            warned=self.standing.warnings,
            notices=self.teller.carry(),
        )
        return replace(self._opened, listener=self.teller.listener, carried=carried)

    async def live(self) -> str:
        """Until the end, or until the session moves on; returns why it failed, or nothing."""
        ageing = asyncio.create_task(self._limits.age(lambda: self.is_ending, self.standing.warn, self.ask_stop))
        self.teller.start()
        try:
            await self._work()
            return "" if self._stops.now is None else await self._end(self._stops.why, "stopped")
        except (SessionFailed, ActivityError) as error:
            why = failure_sentence(error) if isinstance(error, ActivityError) else str(error)
            return await self._end(why, "failed")
        finally:
            ageing.cancel()

    @property
    def _leaves(self) -> bool:
        return self._stops.now is not None or self._is_long

    @property
    def _is_long(self) -> bool:
        """History is long enough for the next run. Whoever asked for a stop after the turn waits in this one."""
        return self._stops.after_turn is None and self._limits.is_history_long

    async def _work(self) -> None:
        """Work until a stop is asked for, or until nobody waits in this run any more and the next one may begin."""
        while True:
            await self._keep_going()
            self.moves_on = True
            await workflow.wait_condition(
                # A stop after the turn may come while others are still being answered: then the turn goes on here.
                lambda: self._stops.now is not None or not self._is_long or workflow.all_handlers_finished()
            )
            if self._leaves:
                return
            self.moves_on = False

    async def _keep_going(self) -> None:
        is_up = self.status in ("ready", "busy", "awaiting_approval")
        while not self._leaves:
            if not self.standing.is_awake:
                await workflow.wait_condition(lambda: self._leaves or self.turns.waiting > 0 or self.standing.is_awake)
                if self.turns.waiting > 0:
                    self.standing.wake()
                continue
            watching = self._upkeep.watch() if is_up else await self._upkeep.start(self.status)
            is_up = False
            if watching is not None:
                await self._serve(watching)
                let_go(watching)

    async def _serve(self, watching: Watching) -> None:
        """Run turns until claude ends, its host goes away, it has nothing to do for long, or the session leaves."""
        while not self._leaves and not watching.done():
            if self.interrupts.are_under_way:
                await workflow.wait_condition(
                    lambda: self._leaves or watching.done() or not self.interrupts.are_under_way
                )
                continue
            turn = self.turns.begin()
            if turn is not None:
                self._idleness.end()
                try:
                    if not await self._take(turn):
                        break
                except HostAway:
                    self._upkeep.away()
                    return
            elif not await self._idleness.until(
                lambda: watching.done() or self.turns.waiting > 0, leaves=lambda: self._leaves
            ):
                await self._upkeep.hibernate()
                return
        if not self._leaves:
            await self._upkeep.after(watching)

    async def _take(self, turn: Message) -> bool:
        """Take one turn to its end; False when claude or the session ended before it did."""
        ended = await self._run.run(turn)
        if ended is not None:
            self._claude.turn_ended(ended.journal_end)
            self.turns.finish(ended)
            self._limits.mind_cost(self.turns, self.standing.warn)
        elif self._run.given_up and not self._leaves:
            # It may have asked something between the interrupt and its end.
            self.approvals.settle_turn(turn.turn_id, self._run.given_up)
            self.turns.give_up(self._run.given_up, "failed")
        if self.turns.current is None:
            self._stops.turn_ended()
        if ended is not None:
            self.standing.set("ready", "")
        return ended is not None

    async def _end(self, why: str, status: Status) -> str:
        """Stop claude, answer everybody who waits, and say how it ended; returns why it failed, or nothing."""
        self.standing.set("stopping", why)
        try:
            await self._stop_claude()
        except ActivityError as error:
            why, status = f"{why}, but claude could not be ended: {failure_sentence(error)}", "failed"
        if self.turns.current is not None:
            self.approvals.settle_turn(self.turns.current.turn_id, why)
            if (ended := self._run.late) and ended.turn_id == self.turns.current.turn_id:
                self.turns.finish(ended)
        self.turns.abandon(why, "failed" if status == "failed" else "stopped")
        self.standing.set(status, why)
        return why if status == "failed" else ""

    async def _stop_claude(self) -> None:
        if self._claude.started is None:
            return
        ended = await self._claude.stop(self._stops.seconds(self._opened.options.stop_timeout_seconds))
        self._survivors = ended.survivors if ended else []

    def _turn_changed(self) -> None:
        status: Status = "awaiting_approval" if self.approvals.waiting else "busy"
        if status != self.status:
            self.standing.set(status, "")
        else:
            self.standing.show()
        for approval in self.approvals.waiting:
            self.teller.asked(approval)

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
            last_error=self.turns.last_error,
            survivors=self._survivors,
            approvals=self.approvals.waiting,
            note=self.standing.note,
            warnings=self.standing.warnings,
        )
