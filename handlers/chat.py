"""`chat`: a conversation with a session in one terminal. The session lives on without it."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from typing import Final

from handlers import commands, console, finding, naming, views
from handlers.connection import connect
from handlers.failure import REFUSED, CommandFailed
from handlers.follow import outcome
from handlers.inquiry import Inquiry
from handlers.keyboard import Displaced, Keyboard
from handlers.overheard import Overheard
from handlers.progress import Moment
from runtime.settings import Settings
from workflows.client import Sessions, check
from workflows.ending import Asked
from workflows.errors import Refused, SessionEnded, SessionError, SessionNotFound
from workflows.messages import Message, SessionReport, TurnReport

# An interrupt that comes before its turn is tried again: nobody notices the difference.
_RETRY_SECONDS: Final = 0.1
# Who leaves is not kept, but the interrupt that was just asked for should arrive.
_LEAVING_SECONDS: Final = 1.0


async def chat(name: str) -> None:
    """Talk with a session, or with the one of a directory, until the person leaves or it is over."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CommandFailed("a chat needs a terminal: in a script use `durable-claude send`", REFUSED)
    sessions, session_id = await _meant(name)
    report = await commands.ready(sessions, session_id)
    console.note(f"{session_id}: {_where(report)}")
    console.note("Enter sends, Alt-Enter begins a line, Ctrl-C interrupts claude, Ctrl-D leaves; the session lives on.")
    keyboard = Keyboard(Settings.from_env().state_directory / "chat.history")
    await Conversation(sessions, session_id, keyboard).run(report)
    console.note(
        f"{session_id} lives on: `durable-claude chat {session_id}` comes back, "
        f"`durable-claude stop {session_id}` ends it."
    )


class Conversation:
    """What is typed goes to the session; what claude says, does and asks comes back as it happens."""

    def __init__(self, sessions: Sessions, session_id: str, keyboard: Keyboard) -> None:
        self._sessions = sessions
        self._session_id = session_id
        self._keyboard = keyboard
        self._overheard = Overheard(sessions, session_id)
        self._inquiry = Inquiry(sessions, session_id, keyboard)
        self._turn: asyncio.Task[TurnReport] | None = None
        self._turn_id = ""
        self._interrupting: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._is_sending = False

    async def run(self, report: SessionReport) -> None:
        """Until the person leaves; CommandFailed when the session ends before."""
        loop = asyncio.get_running_loop()
        await self._overheard.begin(report.turn_id)
        beside = [
            asyncio.create_task(self._overheard.listen()),
            asyncio.create_task(self._inquiry.watch(self._changed.set)),
        ]
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        try:
            with self._keyboard.silent():
                while not self._keyboard.is_left:
                    await self._step()
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            if self._interrupting is not None:
                await asyncio.wait([self._interrupting], timeout=_LEAVING_SECONDS)
            jobs = [task for task in (*beside, self._turn, self._interrupting) if task is not None]
            for task in jobs:
                task.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)

    async def _step(self) -> None:
        self._changed.clear()
        if self._inquiry.ended:
            raise CommandFailed(f"session {self._session_id!r} is {self._inquiry.ended}")
        try:
            if self._inquiry.waiting:
                await self._inquiry.ask()
            elif self._turn is None:
                self._interrupting = None
                await self._send(await self._keyboard.message())
            elif self._turn.done():
                await self._conclude(self._turn)
                self._turn = None
            else:
                await self._look_on(self._turn)
        except Displaced:
            pass
        except EOFError:
            self._keyboard.leave()
        except KeyboardInterrupt:
            self._interrupt()

    async def _send(self, text: str) -> None:
        if not text.strip():
            return
        message = Message(turn_id=f"turn-{secrets.token_hex(6)}", text=text)
        self._turn_id = message.turn_id
        self._overheard.will_ask(message.turn_id)
        try:
            naming.check_text(text, "the message")
            check(message)
            self._is_sending = True
            asked = await self._sessions.asked(self._session_id, message)
            self._turn = asyncio.create_task(self._outcome(message.turn_id, asked))
        except SessionError as error:
            console.problem(str(error))
            # What was not refused may have been taken all the same: typed again, it would run twice.
            self._keyboard.draft = text if isinstance(error, Refused) else ""
        finally:
            self._is_sending = False

    async def _outcome(self, turn_id: str, asked: Asked) -> TurnReport:
        try:
            return await outcome(self._sessions, self._session_id, turn_id, Moment(), asked)
        finally:
            self._changed.set()

    async def _look_on(self, turn: asyncio.Task[TurnReport]) -> None:
        """Wait for a question, the end of the turn, or Ctrl-C."""
        with console.out.status("claude works"):
            while not (turn.done() or self._inquiry.waiting or self._inquiry.ended or self._keyboard.is_left):
                await self._changed.wait()
                self._changed.clear()

    async def _conclude(self, turn: asyncio.Task[TurnReport]) -> None:
        try:
            report = turn.result()
            if report.state == "cancelled":
                console.note("your message is taken back: claude had not begun with it")
                return
            is_told = await self._overheard.has_told(report.turn_id)
            answer = commands.answered(report)
            if not is_told:
                console.result(answer)
                console.note(views.summary(report))
        except (CommandFailed, SessionError) as error:
            console.problem(str(error))

    def _interrupt(self) -> None:
        """Ctrl-C: once for the turn, again to leave it alone."""
        if self._interrupting is not None or not (self._turn or self._is_sending or self._inquiry.waiting):
            # A signal may come when the turn has just ended and the next message is about to be asked for.
            self._keyboard.leave()
        else:
            console.note("the turn is to end; Ctrl-C again leaves")
            self._interrupting = asyncio.create_task(self._end_turn(self._meant_turn()))
        self._changed.set()

    def _meant_turn(self) -> str:
        """The person's own; without one, the turn whose question they are asked."""
        is_own = self._turn is not None or self._is_sending
        return self._turn_id if is_own else next(iter(self._inquiry.waiting.values())).turn_id

    async def _end_turn(self, turn_id: str) -> None:
        while True:
            try:
                await self._interrupt_or_take_back(turn_id)
            except Refused:
                # What was just sent is not known yet, or began between the calls; what ran may have ended by itself.
                if not self._is_sending and (self._turn is None or self._turn.done()):
                    return
            except SessionError as error:
                console.problem(str(error))
                return
            else:
                return
            await asyncio.sleep(_RETRY_SECONDS)

    async def _interrupt_or_take_back(self, turn_id: str) -> None:
        """End this turn and no other: while it waits behind somebody else's, that one goes on."""
        try:
            await self._sessions.interrupt(self._session_id, turn_id)
        except Refused:
            await self._sessions.cancel_turn(self._session_id, turn_id)


async def _meant(name: str) -> tuple[Sessions, str]:
    """The session of that name, or of that directory: a new one where none lives."""
    finding.check(name)
    sessions = await connect(Settings.from_env())
    try:
        return sessions, await finding.find(sessions, name)
    except (SessionNotFound, SessionEnded):
        if not finding.is_directory(name):
            raise
    project = finding.resolved(name)
    session_id = naming.new_session_id(project)
    await sessions.open(str(project), session_id=session_id)
    return sessions, session_id


def _where(report: SessionReport) -> str:
    return commands.opened(report) if report.pid else f"it is {report.status} in {report.project_path}"
