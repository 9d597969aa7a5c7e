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
        SESSION_FAILED,
        WORKFLOW_TYPE,
        AwaitTurn,
        CancelTurn,
        Message,
        OpenSession,
        ReadTurn,
        SessionReport,
        StopSession,
        TurnAccepted,
        TurnReport,
        check_message,
    )
    from workflows.waiting import within

# Ten calls at most may wait in a session; and what is no number of seconds must not fail the workflow's task.
LONGEST_POLL_SECONDS: Final = 60.0


def refusal(sentence: str) -> ApplicationError:
    """What fails a call without failing the session."""
    return ApplicationError(sentence, type=MESSAGE_REFUSED, non_retryable=True)


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """A ValueError in the block refuses the call; left alone it would fail the workflow task, again and again."""
    try:
        yield
    except ValueError as error:
        raise refusal(str(error)) from error


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
        await workflow.wait_condition(workflow.all_handlers_finished)
        if failure:
            raise ApplicationError(failure, type=SESSION_FAILED, non_retryable=True)
        return self._life.report()

    @workflow.update(description="Enqueue a message; answers at once with its place in the queue.")
    def send(self, message: Message) -> TurnAccepted:
        """Enqueue a message. The same turn id is taken once."""
        accepted = self._life.turns.accept(message)
        self._life.show()
        return accepted

    @send.validator
    def _check_send(self, message: Message) -> None:
        with refusing():
            check_message(message)
            if self._life.is_ending:
                raise ValueError(f"the session is {self._life.status}: it takes no more messages")
            self._life.refuse_over_budget()
            self._life.turns.refuse_when_full(message)

    @workflow.update(description="Answer a question of claude's by its id: allow, allow_turn, allow_always or deny.")
    def resolve_permission(self, answer: Answer) -> Approval:
        """Take a person's answer; it reaches claude also when claude has to be started again for it."""
        return self._life.approvals.resolve(answer)

    @resolve_permission.validator
    def _check_answer(self, answer: Answer) -> None:
        with refusing():
            self._life.approvals.refuse_unanswerable(answer)

    @workflow.update(description="End the running turn; the session and its claude live on.")
    async def interrupt(self) -> SessionReport:
        """End the running turn."""
        try:
            await self._life.interrupt()
        except ActivityError as error:
            raise refusal(f"the turn could not be interrupted: {failure_sentence(error)}") from error
        return self._life.report()

    @interrupt.validator
    def _check_interrupt(self) -> None:
        if self._life.status not in ("busy", "awaiting_approval"):
            raise refusal(f"no turn is running: the session is {self._life.status}")

    @workflow.update(description="Take a queued turn back before it begins.")
    def cancel_turn(self, call: CancelTurn) -> TurnReport:
        """Take a queued turn back."""
        with refusing():
            return self._life.turns.cancel(call.turn_id)

    @workflow.update(description="A part of a turn's whole answer, read from the journal on the session's host.")
    async def read_answer(self, call: ReadTurn) -> AnswerPart:
        """A part of a turn's whole answer."""
        try:
            with refusing():
                return await self._life.read(call)
        except ActivityError as error:
            raise refusal(f"the answer could not be read: {failure_sentence(error)}") from error

    @workflow.update(description="Wait up to some seconds for a turn to end; answers with where it stands.")
    async def wait_turn(self, call: AwaitTurn) -> TurnReport:
        """A bounded wait for one turn's result."""
        turns = self._life.turns
        await within(
            min(LONGEST_POLL_SECONDS, call.seconds),
            lambda: turns.report(call.turn_id).state not in ("queued", "running") or self._life.moves_on,
        )
        return turns.report(call.turn_id)

    @workflow.update(description="Wait up to some seconds until claude is up; answers with the session's status.")
    async def wait_ready(self, seconds: float) -> SessionReport:
        """A bounded wait for the end of `starting` or `restarting`."""
        await within(
            min(LONGEST_POLL_SECONDS, seconds),
            lambda: self._life.status not in ("starting", "restarting") or self._life.moves_on,
        )
        return self._life.report()

    @workflow.update(description="Stop the session; answers when no process of it is left.")
    async def stop(self, call: StopSession) -> SessionReport:
        """Stop for good."""
        self._life.ask_stop(call)
        await workflow.wait_condition(lambda: self._life.has_ended)
        return self._life.report()

    @workflow.signal(name="stop", description="Stop the session. Needs no input.")
    def stop_by_signal(self, call: StopSession | None = None) -> None:
        """Stop for good, for the Web UI."""
        self._life.ask_stop(call or StopSession())

    @workflow.query(description="What the session is and does.")
    def status(self) -> SessionReport:
        """What the session is and does."""
        return self._life.report()

    @workflow.query(description="Where one turn stands.")
    def turn(self, turn_id: str) -> TurnReport:
        """Where one turn stands."""
        return self._life.turns.report(turn_id)
