"""One workflow per session: what others may ask of it. Its life is in `workflows/life.py`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.calls import AnswerPart
    from workflows.approvals import Answer, Approval
    from workflows.host import failure_sentence
    from workflows.life import SessionLife
    from workflows.messages import (
        MESSAGE_REFUSED,
        QUEUE_FULL,
        SESSION_FAILED,
        SESSION_OVER,
        WORKFLOW_TYPE,
        AskTurn,
        AwaitTurn,
        CancelTurn,
        Interrupt,
        Listen,
        Message,
        OpenSession,
        ReadTurn,
        SessionReport,
        StopSession,
        TurnAccepted,
        TurnReport,
    )
    from workflows.standing import Over
    from workflows.turns import Full
    from workflows.waiting import within

# Ten calls at most may wait in a session; and what is no number of seconds must not fail the workflow's task.
LONGEST_POLL_SECONDS: Final = 60.0


def refusal(sentence: str, kind: str = MESSAGE_REFUSED) -> ApplicationError:
    """What fails a call without failing the session."""
    return ApplicationError(sentence, type=kind, non_retryable=True)


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """A ValueError in the block refuses the call; left alone it would fail the workflow task, again and again.

    Validators refuse, and handlers once more: a call that comes again after a task that failed is not validated.
    """
    try:
        yield
    except ValueError as error:
        kinds = {Full: QUEUE_FULL, Over: SESSION_OVER}
        raise refusal(str(error), kinds.get(type(error), MESSAGE_REFUSED)) from error


@workflow.defn(name=WORKFLOW_TYPE)
class SessionWorkflow:
    """start → ready → turns → stop, through any loss of workers and deaths of claude."""

    @workflow.init
    def __init__(self, opened: OpenSession) -> None:
        # An update may be handled before `run` has begun, so everything that handlers use exists from here on.
        self._life = SessionLife(opened)

    @workflow.run
    async def run(self, opened: OpenSession) -> SessionReport:
        """Live until stopped or failed; leave no process behind either way. A cancellation is a stop."""
        life = asyncio.create_task(self._life.live())
        try:
            await workflow.wait_condition(life.done)
        except asyncio.CancelledError:
            self._life.ask_stop(StopSession())
        failure = await life
        if not self._life.has_ended:
            workflow.continue_as_new(self._life.next_run())
        await self._life.teller.finish()
        await workflow.wait_condition(workflow.all_handlers_finished)
        if failure:
            raise ApplicationError(failure, type=SESSION_FAILED, non_retryable=True)
        return self._life.report()

    @workflow.update(
        description='Give claude a message; the name of the turn is yours. Input: {"turn_id": "my-turn-1", "text": "Run the tests."}'
    )
    def send(self, message: Message) -> TurnAccepted:
        """Enqueue a message. The same turn id is taken once."""
        with refusing():
            self._life.refuse(message)
            return self._life.accept(message)

    @send.validator
    def _check_send(self, message: Message) -> None:
        with refusing():
            self._life.refuse(message)

    @workflow.update(
        description='Give claude a message and wait for its turn. Input: {"message": {"turn_id": "my-turn-1", "text": "Run the tests."}, "seconds": 20}'
    )
    async def ask(self, call: AskTurn) -> TurnReport:
        """Enqueue a message and answer with where its turn stands, as soon as it has ended."""
        with refusing():
            self._life.refuse(call.message)
            self._life.accept(call.message)
        return await self._ended(call.message.turn_id, call.seconds)

    @ask.validator
    def _check_ask(self, call: AskTurn) -> None:
        with refusing():
            self._life.refuse(call.message)

    @workflow.update(
        description='Answer a question (allow, allow_turn, allow_always or deny). Input: {"approval_id": "a1", "decision": "allow"}'
    )
    def resolve_permission(self, answer: Answer) -> Approval:
        """Take a person's answer; it reaches claude also when claude has to be started again for it."""
        with refusing():
            self._life.approvals.refuse_unanswerable(answer)
            return self._life.approvals.resolve(answer)

    @resolve_permission.validator
    def _check_answer(self, answer: Answer) -> None:
        with refusing():
            self._life.approvals.refuse_unanswerable(answer)

    @workflow.update(description="End the running turn; the session and its claude live on. Needs no input.")
    async def interrupt(self, call: Interrupt | None = None) -> SessionReport:
        """End the running turn, or the named one if it is that."""
        with refusing():
            self._life.interrupts.refuse(call or Interrupt())
        try:
            await self._life.interrupts.send(call or Interrupt())
        except ActivityError as error:
            raise refusal(f"the turn could not be interrupted: {failure_sentence(error)}") from error
        return self._life.report()

    @interrupt.validator
    def _check_interrupt(self, call: Interrupt | None = None) -> None:
        with refusing():
            self._life.interrupts.refuse(call or Interrupt())

    @workflow.update(description='Take a queued turn back before it begins. Input: {"turn_id": "my-turn-1"}')
    def cancel_turn(self, call: CancelTurn) -> TurnReport:
        """Take a queued turn back."""
        with refusing():
            return self._life.turns.cancel(call.turn_id)

    @workflow.update(description='A part of a turn\'s whole answer, read on its host. Input: {"turn_id": "my-turn-1"}')
    async def read_answer(self, call: ReadTurn) -> AnswerPart:
        """A part of a turn's whole answer."""
        try:
            with refusing():
                return await self._life.read(call)
        except ActivityError as error:
            raise refusal(f"the answer could not be read: {failure_sentence(error)}") from error

    @workflow.update(
        description='Wait up to some seconds for a turn to end. Input: {"turn_id": "my-turn-1", "seconds": 20}'
    )
    async def wait_turn(self, call: AwaitTurn) -> TurnReport:
        """A bounded wait for one turn's result."""
        return await self._ended(call.turn_id, call.seconds)

    async def _ended(self, turn_id: str, seconds: float) -> TurnReport:
        turns = self._life.turns
        await within(
            min(LONGEST_POLL_SECONDS, seconds),
            lambda: turns.report(turn_id).state not in ("queued", "running") or self._life.moves_on,
            "somebody waits for a turn",
        )
        return turns.report(turn_id)

    @workflow.update(description="Wait up to some seconds until claude is up. Input: 20")
    async def wait_ready(self, seconds: float) -> SessionReport:
        """A bounded wait for the end of `starting` or `restarting`."""
        await within(
            min(LONGEST_POLL_SECONDS, seconds),
            lambda: self._life.status not in ("starting", "restarting") or self._life.moves_on,
            "somebody waits until claude is up",
        )
        return self._life.report()

    @workflow.update(description="Wake a session that sleeps; one that is awake stays as it is. Needs no input.")
    def wake(self) -> SessionReport:
        """Bring a sleeping session's claude up without a message."""
        self._refuse_waking()
        self._life.standing.wake()
        return self._life.report()

    @wake.validator
    def _check_wake(self) -> None:
        self._refuse_waking()

    def _refuse_waking(self) -> None:
        if self._life.is_ending:
            raise refusal(f"the session is {self._life.status} and is not woken any more")

    @workflow.update(
        description='Have a handler told what happens. Input: {"listener": {"queue": "its-queue", "address": "where"}}'
    )
    def listen(self, call: Listen) -> SessionReport:
        """Tell somebody else from now on, or nobody."""
        with refusing():
            self._life.refuse_listener(call)
        self._life.teller.listen(call.listener, self._life.approvals.waiting)
        return self._life.report()

    @listen.validator
    def _check_listen(self, call: Listen) -> None:
        with refusing():
            self._life.refuse_listener(call)

    @workflow.update(description="Stop the session; answers when no process of it is left. Input: {}")
    async def stop(self, call: StopSession) -> SessionReport:
        """Stop for good."""
        self._life.ask_stop(call)
        await workflow.wait_condition(lambda: self._life.has_ended)
        return self._life.report()

    @workflow.signal(name="stop", description="Stop the session. Needs no input.")
    def stop_by_signal(self, call: StopSession | None = None) -> None:
        """Stop for good, for the Web UI."""
        self._life.ask_stop(call or StopSession())

    @workflow.query(description="What the session is and does. Needs no argument.")
    def status(self) -> SessionReport:
        """What the session is and does."""
        return self._life.report()

    @workflow.query(description='Where one turn stands. Argument: "my-turn-1"')
    def turn(self, turn_id: str) -> TurnReport:
        """Where one turn stands."""
        return self._life.turns.report(turn_id)
