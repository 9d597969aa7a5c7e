"""One turn on one process: the message delivered once, the journal read to the turn's end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from activities.calls import SendTurn, TurnStep
from activities.outcomes import refused, step
from claude import attachments, identity, protocol
from claude.attachments import AttachmentRefused, Block
from claude.events import PermissionAsked, TurnResult
from claude.process import ClaudeProcess, NotRunning
from claude.turn import TurnReader

# A healthy claude acknowledges a message at once, unless it is at work on something that nobody sent.
TAKEN_SECONDS: Final = 60.0
# Silence is noticed at most this part of its length too late.
LOOKS_PER_QUIET: Final = 4
CONTINUE: Final = "Continue where you left off."


class TurnFollower:
    """Reads a turn wherever it began. Deliver again as often as you like: claude runs a message's uuid once."""

    def __init__(self, process: ClaudeProcess, call: SendTurn, roots: Sequence[Path]) -> None:
        self._process = process
        self._roots = roots
        self._call = call
        self.reader = TurnReader(identity.message_id(call.session_id, call.turn_id))
        self._is_continued = False
        self._heard_at = time.monotonic()

    async def run(self) -> TurnStep:
        """Deliver the message and return with the turn's end, its next question, or claude's silence."""
        try:
            content = await asyncio.to_thread(self._content)
        except AttachmentRefused as error:
            if not self._is_delivered():
                return refused(self._call, str(error))
            # The file went away later. The shim takes a message once, so this one goes nowhere.
            content = self._call.text
        following = asyncio.create_task(self._follow(content))
        try:
            while not (await asyncio.wait([following], timeout=self._patience(TAKEN_SECONDS) / LOOKS_PER_QUIET))[0]:
                if self._is_silent():
                    return TurnStep(is_silent=True)
            return following.result()
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def _follow(self, content: str | list[Block]) -> TurnStep:
        await self._deliver(content)
        async for offset, event in self._process.events(self._call.offset):
            self._heard_at = time.monotonic()
            outcome = self.reader.feed(event) or self.reader.pending
            if outcome is not None and not self._is_asked(outcome):
                return step(self._call, self.reader, outcome, offset)
            if self._needs_continuing():
                self._go_on()
                await self._deliver(CONTINUE)
        raise self._gone()

    async def recorded(self) -> TurnStep:
        """The turn's result from the journal of a process that is gone; what it asked died with it."""
        async for offset, event in self._process.events(self._call.offset):
            outcome = self.reader.feed(event)
            if isinstance(outcome, TurnResult):
                return step(self._call, self.reader, outcome, offset)
            if self._needs_continuing():
                self._go_on()
        raise self._gone()

    def _is_silent(self) -> bool:
        quiet = time.monotonic() - self._heard_at
        limit = self._call.quiet_seconds if self.reader.delivered else self._patience(TAKEN_SECONDS)
        return quiet >= limit and not self.reader.waits_for_others

    def _patience(self, seconds: float) -> float:
        return min(seconds, self._call.quiet_seconds)

    def _is_asked(self, outcome: TurnResult | PermissionAsked) -> bool:
        """A question is passed on once, also one of a turn that nobody sent: our message waits behind it."""
        return isinstance(outcome, PermissionAsked) and outcome.request_id in self._call.asked

    def _needs_continuing(self) -> bool:
        """A resumed claude that has the message in its transcript may only echo it and wait."""
        return self.reader.is_echo_only and not self._is_continued

    def _go_on(self) -> None:
        self._is_continued = True
        call = self._call
        self.reader = TurnReader(identity.continued_id(call.session_id, call.turn_id, call.generation))

    async def _deliver(self, content: str | list[Block]) -> None:
        uuid = self.reader.message_uuid
        await self._process.send(uuid, protocol.user_message(uuid, content))

    def _content(self) -> str | list[Block]:
        return attachments.content(self._call.text, self._call.attachments, Path(self._call.project_path), self._roots)

    def _is_delivered(self) -> bool:
        reader = TurnReader(self.reader.message_uuid)
        for _, event in self._process.recorded(self._call.offset):
            reader.feed(event)
        return reader.delivered

    def _gone(self) -> NotRunning:
        return NotRunning(f"claude ended before turn {self._call.turn_id!r} did")
