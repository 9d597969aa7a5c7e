"""The baseline: a claude driven straight through its pipes, as short as it can be written."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from asyncio.subprocess import PIPE, Process
from typing import Literal, Self, TypeVar

from bench.place import Place
from claude import protocol
from claude.events import ControlAnswered, TurnResult

# One line may hold a whole file.
LINE_BYTES = 1 << 26
ANSWER_SECONDS = 60.0

E = TypeVar("E", ControlAnswered, TurnResult)


class BareClaude:
    """One claude process with nothing between it and its caller."""

    def __init__(self, process: Process) -> None:
        self.process = process

    @classmethod
    async def spawn(cls, place: Place, conversation_id: str, resume: Literal["new", "resume"] = "new") -> Self:
        """Start it where and as a shim would."""
        process = await asyncio.create_subprocess_exec(
            *place.claude(conversation_id, resume),
            cwd=place.project,
            env=place.environment,
            stdin=PIPE,
            stdout=PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=LINE_BYTES,
        )
        return cls(process)

    async def ready(self) -> None:
        """Make the handshake."""
        self._say(protocol.initialize("ready"))
        await self._until(ControlAnswered)

    async def turn(self, text: str) -> TurnResult:
        """One message and its result."""
        self._say(protocol.user_message(str(uuid.uuid4()), text))
        return await self._until(TurnResult)

    async def end(self) -> None:
        """Kill it and reap it."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        # Draining both pipes lets asyncio close its end of them, too.
        await self.process.communicate()

    def _say(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line)

    async def _until(self, kind: type[E]) -> E:
        assert self.process.stdout is not None
        async with asyncio.timeout(ANSWER_SECONDS):
            while line := await self.process.stdout.readline():
                for event in protocol.parse(line):
                    if isinstance(event, kind):
                        return event
        raise RuntimeError(f"the bare claude ended before it gave a {kind.__name__}")
