"""Sessions: the API that handlers use. It knows the workflow's edge and nothing of processes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from temporalio.client import Client

from activities.calls import Origin, ReadJournal
from claude.identity import check_conversation_id
from workflows import edge, ending
from workflows.approvals import Answer, Approval
from workflows.errors import NoWorker, Refused, SessionEnded
from workflows.line import Line, known
from workflows.lookout import Lookout
from workflows.messages import (
    CancelTurn,
    Interrupt,
    Listen,
    Message,
    ReadTurn,
    SessionOptions,
    SessionReport,
    StopSession,
    TurnAccepted,
    TurnReport,
    check_message,
)
from workflows.notices import Listener
from workflows.opening import Opening, checked
from workflows.reading import Here, JournalReader, Written
from workflows.rows import SessionRow, row, rows

# One long poll: short enough to leave room for others (ten updates may be in flight per session).
POLL_SECONDS: Final = 15.0
# A stop takes seconds; a host that is away makes it take longer, which is told and not waited for here.
STOP_SECONDS: Final = 90.0


class Sessions:
    """Open, talk to, look at and stop sessions through Temporal."""

    def __init__(
        self,
        client: Client,
        options: SessionOptions | None = None,
        here: Here | None = None,
        *,
        handler: str = "cli",
        listener: Listener | None = None,
    ) -> None:
        self._client = client
        self._opening = Opening(client, options or SessionOptions(), handler, listener)
        self._line = Line(client)
        self._reader = JournalReader(client, self._line, here)

    async def open(
        self, project_path: str, *, session_id: str, origin: Origin | None = None, listener: Listener | None = None
    ) -> None:
        """Start a session, perhaps with a conversation of claude's. Opening one that is open already raises Refused.

        The listener is told what happens, here and wherever a session is opened: without one it is that of `Sessions`.
        """
        if origin is not None:
            check_origin(origin)
        await self._opening.start(replace(self._opening.opened(project_path, session_id, listener), origin=origin))

    async def open_ready(
        self, project_path: str, *, session_id: str, listener: Listener | None = None
    ) -> SessionReport:
        """Start a session and return when claude is up, or the session has ended: sooner than `open` and `wait_ready`."""
        opened = self._opening.opened(project_path, session_id, listener)
        try:
            report = await self._opening.start_ready(opened, POLL_SECONDS)
        except SessionEnded:
            return await self.status(session_id)
        return report if _is_settled(report) else await self.wait_ready(session_id)

    async def adopt(
        self, project_path: str, conversation_id: str, *, session_id: str, listener: Listener | None = None
    ) -> None:
        """Start a session that goes on with a conversation claude already has on its host."""
        origin = Origin(conversation_id=conversation_id)
        await self.open(project_path, session_id=session_id, origin=origin, listener=listener)

    async def fork(self, session_id: str, new_id: str, *, listener: Listener | None = None) -> None:
        """Start a second session with a copy of what was said in this one, which goes on as it is."""
        report = await self.status(session_id)
        opened = self._opening.opened(report.project_path, new_id, listener)
        origin = Origin(conversation_id=report.conversation_id, is_forked=True)
        # Only its own host has the transcript.
        await self._opening.start(replace(opened, origin=origin, host_id=report.host_id))

    async def glance(self, session_id: str) -> SessionRow:
        """The session as Temporal keeps it, without asking a worker."""
        return await row(self._client, (await self._line.describe(session_id)).raw_description.workflow_execution_info)

    async def wake(self, session_id: str, *, call_id: str = "") -> SessionReport:
        """Bring a sleeping session's claude up without a message."""
        return await self._line.update(session_id, edge.WAKE, call_id=call_id)

    async def listen(self, session_id: str, listener: Listener | None, *, call_id: str = "") -> SessionReport:
        """Have somebody else told what happens, or nobody; who takes over is told the questions that wait as well."""
        if listener is not None:
            checked(listener)
        return await self._line.update(session_id, edge.LISTEN, Listen(listener=listener), call_id=call_id)

    async def reopen(self, session_id: str, *, listener: Listener | None = None) -> None:
        """Start a session that failed once more, as it was opened, with its conversation, on the host that has it."""
        opened, last = await self._line.opened(session_id), await self.glance(session_id)
        told = checked(listener) if listener else opened.listener
        host_id = last.host_id or opened.host_id
        await self._opening.start(replace(opened, carried=None, host_id=host_id, listener=told))

    async def open_with(
        self, project_path: str, message: Message, *, session_id: str, listener: Listener | None = None
    ) -> TurnAccepted:
        """Start a session with its first message in one step; a resend of the same message is answered alike."""
        check(message)
        opened = self._opening.opened(project_path, session_id, listener)
        return await self._opening.start_with(opened, message)

    async def send(self, session_id: str, message: Message) -> TurnAccepted:
        """Enqueue a message; returns as soon as the session has taken it."""
        check(message)
        return await self._line.update(session_id, edge.SEND, message, id=message.turn_id)

    async def wait_ready(self, session_id: str) -> SessionReport:
        """Return when claude is up, or the session has ended."""
        while True:
            try:
                report = await self._line.update(session_id, edge.WAIT_READY, POLL_SECONDS, patience=POLL_SECONDS)
            except SessionEnded:
                return await self.status(session_id)
            if _is_settled(report):
                return report

    async def asked(self, session_id: str, message: Message) -> ending.Asked:
        """Send a message that the session is to answer itself; returns as soon as it has taken it."""
        check(message)
        return await ending.ask(self._line, session_id, message)

    async def ask(self, session_id: str, message: Message) -> TurnReport:
        """Send a message and return when its turn has ended, whatever became of it."""
        report = await (await self.asked(session_id, message)).report()
        return report if report.state not in ending.OPEN else await self.wait_turn(session_id, message.turn_id)

    async def wait_turn(self, session_id: str, turn_id: str, seconds: float | None = None) -> TurnReport:
        """Return when the turn has ended, whatever became of it, or after some seconds where it stands."""
        return await ending.turn_ended(self._line, session_id, turn_id, seconds)

    async def full_text(self, session_id: str, turn_id: str) -> str:
        """The whole answer of a turn, of which reports have the beginning; an ended session gives no more than that."""
        report = await self._line.query(session_id, edge.TURN, turn_id)
        if report.ended is None:
            raise Refused(f"turn {turn_id!r} has no answer: it is {report.state}")
        if not report.ended.text_truncated:
            return report.ended.text
        text = ""
        while True:
            call = ReadTurn(turn_id=turn_id, start=len(text))
            part = await self._line.update(session_id, edge.READ_ANSWER, call, patience=POLL_SECONDS)
            text += part.text
            if len(text) >= part.total or not part.text:
                return text

    async def resolve(self, session_id: str, answer: Answer, *, call_id: str = "") -> Approval:
        """Answer a question of claude's; Refused says why an answer cannot apply.

        A call that may come twice has an id, here and below: the second one is answered as the first, and does nothing.
        """
        return await self._line.update(session_id, edge.RESOLVE_PERMISSION, answer, call_id=call_id)

    async def interrupt(self, session_id: str, turn_id: str = "", *, call_id: str = "") -> SessionReport:
        """End the running turn, or the named one: Refused when another one runs. The session lives on."""
        return await self._line.update(session_id, edge.INTERRUPT, Interrupt(turn_id=turn_id), call_id=call_id)

    async def cancel_turn(self, session_id: str, turn_id: str, *, call_id: str = "") -> TurnReport:
        """Take a queued turn back; Refused when it runs already."""
        return await self._line.update(session_id, edge.CANCEL_TURN, CancelTurn(turn_id=turn_id), call_id=call_id)

    async def stop(
        self,
        session_id: str,
        timeout_seconds: float | None = None,
        *,
        when: Literal["now", "after_turn"] = "now",
        by: str = "",
        call_id: str = "",
    ) -> SessionReport:
        """Return when no process of the session is left. Stopping a stopped session is not an error.

        `after_turn` waits for the running turn first, for as long as that takes. `by` is the address of a listener that
        need not be told.
        """
        call = StopSession(timeout_seconds=timeout_seconds, when=when, by=by)
        while True:
            try:
                return await self._line.update(session_id, edge.STOP, call, patience=STOP_SECONDS, call_id=call_id)
            except SessionEnded:
                return await self.status(session_id)
            except NoWorker:
                if when == "now":
                    raise

    async def status(self, session_id: str) -> SessionReport:
        """What the session is and does; answered by a worker, also after the session's end."""
        return await self._line.query(session_id, edge.STATUS)

    async def doing(self, session_id: str) -> dict[str, Any]:
        """What the running turn's follower said last, straight from Temporal; empty when no turn runs."""
        description = await self._line.describe(session_id)
        # Who lacks the session's key learns it here, before they write to it in the clear.
        await description.memo()
        for pending in description.raw_description.pending_activities:
            if pending.activity_type.name == "send_turn" and pending.heartbeat_details.payloads:
                [details] = await self._client.data_converter.decode(pending.heartbeat_details.payloads)
                return dict(details)
        return {}

    def journal(
        self, session_id: str, *, generation: int = 0, offset: int = 0, since: str = "", follow: bool = False
    ) -> AsyncGenerator[Written, None]:
        """What claude wrote, line by line, from a place on or from where the message `since` is first named.

        Generation 0 is the latest, offset -1 its end. With `follow` also what comes, until the session is over.
        """
        place = ReadJournal(session_id=known(session_id), generation=generation, offset=offset, since=since)
        return self._reader.lines(place, follow=follow)

    async def journal_end(self, session_id: str) -> tuple[int, int]:
        """Where the journal ends by now: its generation, 0 for none yet, and the offset."""
        return await self._reader.end(known(session_id))

    async def list(self, *, ended: bool = False, beginning: str = "") -> AsyncIterator[SessionRow]:
        """The sessions that live, newest first; with `ended` all that Temporal still knows."""
        async for listed in rows(self._client, ended=ended, beginning=beginning):
            yield listed

    async def overview(self, *, ended: bool = False) -> Sequence[SessionRow]:
        """The list with what the living sessions say of themselves; those that do not answer in time stay as listed."""
        lookout = self.lookout()
        try:
            return await lookout.overview(ended=ended)
        finally:
            await lookout.close()

    def lookout(self) -> Lookout:
        """A place to look at many sessions from, again and again."""
        return Lookout(self._client, self._line)


def _is_settled(report: SessionReport) -> bool:
    """Claude is up, or there is something to say about why it is not."""
    return report.status not in ("starting", "restarting") or bool(report.note)


def check(message: Message) -> None:
    """Refuse a message before it travels: a too large one would wedge the session it is sent to."""
    try:
        check_message(message)
    except ValueError as error:
        raise Refused(str(error)) from error


def check_origin(origin: Origin) -> None:
    """Refuse an id that cannot be a conversation's."""
    try:
        check_conversation_id(origin.conversation_id)
    except ValueError as error:
        raise Refused(str(error)) from error
