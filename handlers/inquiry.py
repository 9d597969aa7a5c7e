"""What claude asks in a conversation, and the answers that are typed there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from handlers import console, verdicts, views
from handlers.answers import SAID
from handlers.keyboard import Displaced, Keyboard
from workflows.approvals import Answer, Approval
from workflows.client import Sessions
from workflows.errors import Refused, SessionError
from workflows.questions import Asked, asked

# A person takes longer to read; the query writes nothing into history.
_LOOK_SECONDS: Final = 0.3


class Inquiry:
    """The open questions of a session, asked one after the other; an answer from elsewhere ends the asking."""

    def __init__(self, sessions: Sessions, session_id: str, keyboard: Keyboard) -> None:
        self._sessions = sessions
        self._session_id = session_id
        self._keyboard = keyboard
        self._settled: set[str] = set()
        self._shown: set[str] = set()
        self._warned: set[str] | None = None
        self._asking = ""
        self.waiting: dict[str, Approval] = {}
        """What nobody has answered, the oldest first."""
        self.ended = ""
        """How the session ended, if it did, and why."""

    async def watch(self, on_change: Callable[[], None]) -> None:
        """Keep up with the session for ever."""
        while True:
            # Without a worker this takes long to fail, and nothing can be answered anyway.
            with contextlib.suppress(SessionError):
                await self._look()
                on_change()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self) -> None:
        report = await self._sessions.status(self._session_id)
        if report.status in ("stopped", "failed"):
            self.ended = f"{report.status}: {report.note}".removesuffix(": ")
        self.waiting = {one.approval_id: one for one in report.approvals if one.approval_id not in self._settled}
        self._warned = self._warned if self._warned is not None else set(report.warnings)
        for warning in report.warnings:
            if warning not in self._warned:
                console.alert(warning)
        self._warned.update(report.warnings)
        is_gone = bool(self._asking) and self._asking not in self.waiting
        if is_gone or self.ended or (self.waiting and not self._asking):
            self._keyboard.displace()

    async def ask(self) -> None:
        """Ask the oldest question once. Displaced says that it needs no answer any more."""
        approval = next(iter(self.waiting.values()))
        self._show(approval)
        self._asking = approval.approval_id
        try:
            answer = await self._typed(approval)
            await self._give(approval, answer)
        except Displaced:
            console.note(f"{approval.approval_id} needs no answer any more")
            raise
        except SessionError as error:
            console.problem(str(error))
        finally:
            self._asking = ""

    async def _typed(self, approval: Approval) -> Answer:
        if not (questions := asked(approval)):
            return verdicts.verdict(approval, await self._keyboard.answer("  allow? "))
        answers = {one.text: await self._chosen(one, is_first=not at) for at, one in enumerate(questions)}
        return Answer(approval_id=approval.approval_id, decision="allow", answers=answers)

    async def _chosen(self, question: Asked, *, is_first: bool) -> str:
        console.lines(
            [f"  {question.text}", *(f"    {at} {label}" for at, label in enumerate(question.labels, 1))], "yellow"
        )
        while True:
            try:
                typed = await self._keyboard.answer(f"  {verdicts.choice_keys(question)}: ", is_expected=not is_first)
                return verdicts.choice(question, typed)
            except Refused as error:
                console.problem(str(error))

    async def _give(self, approval: Approval, answer: Answer) -> None:
        name = approval.approval_id
        try:
            await self._sessions.resolve(self._session_id, answer)
        except Refused:
            # Somebody else was faster, or its turn has ended.
            self._forget(name)
            raise
        self._forget(name)
        said = "answered" if answer.answers else SAID[answer.decision]
        console.note(f"  {name} is {said}" + (f": {answer.message}" if answer.message else ""))

    def _forget(self, name: str) -> None:
        self._settled.add(name)
        self.waiting.pop(name, None)

    def _show(self, approval: Approval) -> None:
        if approval.approval_id in self._shown:
            return
        self._shown.add(approval.approval_id)
        others = f" ({len(self.waiting)} questions wait)" if len(self.waiting) > 1 else ""
        console.lines([f"{approval.approval_id}: {views.need(approval)}{others}"], "bold yellow")
        if not asked(approval):
            told = [f"  {line}" for line in views.details(approval)]
            console.lines([*told, f"  {verdicts.keys(approval)}"], "yellow")
