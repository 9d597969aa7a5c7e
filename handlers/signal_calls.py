"""Calls to signal-cli: questions and answers over one connection, many at a time, answered in any order."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from handlers.signal_errors import NotSent, SignalError, Unclear, from_response
from handlers.signal_wire import ANSWER_CAP_BYTES, ANSWER_CHUNK_BYTES, Connection, Endpoint, parsed, request

log = structlog.get_logger(__name__)


class _Call:
    """A question, and whether it may have been understood: not before its last bytes were on their way."""

    def __init__(self, number: int, method: str, params: Mapping[str, object]) -> None:
        self.id = str(number)
        self.line = request(self.id, method, params)
        self.answer: asyncio.Future[Mapping[str, Any] | SignalError] = asyncio.get_running_loop().create_future()
        self.asked = False

    def end(self, answer: Mapping[str, Any] | SignalError) -> None:
        """Say what came of it, unless nobody waits any more."""
        if not self.answer.done():
            self.answer.set_result(answer)


class _Link:
    """One connection, what was asked on it, and the task that hands out the answers."""

    def __init__(self, connection: Connection, overhear: Callable[[], None]) -> None:
        self.connection = connection
        self._overhear = overhear
        self._asked: dict[str, _Call] = {}
        self.reader = asyncio.create_task(self._read())
        self._writing = False
        self.reader.add_done_callback(self._end)

    async def ask(self, call: _Call) -> None:
        """Write the question; NotSent while it cannot have been understood, Unclear from then on."""
        self._writing = True
        try:
            # Without its last brace it is no request: if this much fails, nobody can have acted on it.
            await self.connection.write(call.line[:-2])
            if self.reader.done():
                raise BrokenPipeError(errno.EPIPE, "it ended meanwhile")
            self._asked[call.id], call.asked = call, True
            await self.connection.write(call.line[-2:])
        except OSError as error:
            kind = Unclear if call.asked else NotSent
            raise kind(f"signal-cli went away while it was asked: {error.strerror}") from error
        finally:
            self._writing = False
            if self.reader.done():
                self.connection.close()

    def forget(self, call: _Call) -> None:
        """Nobody waits for this answer any more."""
        self._asked.pop(call.id, None)

    async def _read(self) -> None:
        while (line := await self.connection.read()) is not None:
            if (said := parsed(line)) is not None:
                self._take(said)

    def _take(self, said: Mapping[str, Any]) -> None:
        if said.get("method") is not None:
            self._overhear()
            return
        call = self._asked.pop(str(said.get("id")), None)
        if call is not None:
            call.end(said)
        elif "error" in said:
            log.warning("signal-cli answered what nobody asked", error=str(from_response(said["error"])))

    def _end(self, _reader: object) -> None:
        # Whoever still writes fails now, and closes after that: a socket is never closed under its user.
        self.connection.end()
        if not self._writing:
            self.connection.close()
        for call in self._asked.values():
            call.end(Unclear("signal-cli went away before it answered"))


class Calls:
    """Calls over one connection, which is made when it is first needed and again after it was lost."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._numbers = itertools.count(1)
        self._writing = asyncio.Lock()
        self._link: _Link | None = None
        self._overheard = False

    async def call(self, method: str, params: Mapping[str, object], *, seconds: float) -> Any:
        """The result, or a SignalError."""
        call = _Call(next(self._numbers), method, params)
        try:
            async with asyncio.timeout(seconds):
                await self._ask(call)
                said = await call.answer
        except TimeoutError:
            kind = Unclear if call.asked else NotSent
            raise kind(f"signal-cli did not answer `{method}` within {seconds:g} seconds") from None
        finally:
            if self._link is not None:
                self._link.forget(call)
        if isinstance(said, SignalError):
            raise said
        if said.get("error") is not None:
            raise from_response(said["error"])
        return said.get("result")

    async def aclose(self) -> None:
        """Close the connection; calls that wait for an answer end as Unclear."""
        if (link := self._let_go()) is not None:
            await asyncio.wait([link.reader])

    async def _ask(self, call: _Call) -> None:
        async with self._writing:
            if self._link is not None and not self._link.reader.done():
                # It may have ended unnoticed; then nothing was asked, and a new connection is as good.
                with contextlib.suppress(NotSent):
                    await self._ask_on(self._link, call)
                    return
            connection = await Connection.open(self._endpoint, cap=ANSWER_CAP_BYTES, chunk=ANSWER_CHUNK_BYTES)
            self._link = _Link(connection, self._overhear)
            await self._ask_on(self._link, call)

    async def _ask_on(self, link: _Link, call: _Call) -> None:
        try:
            await link.ask(call)
        except BaseException:
            self._let_go()  # part of a line is in it, so nothing else may follow
            raise

    def _let_go(self) -> _Link | None:
        link, self._link = self._link, None
        if link is not None:
            link.reader.cancel()
        return link

    def _overhear(self) -> None:
        # In auto mode every connection gets every message; the one for messages has it too.
        if not self._overheard:
            self._overheard = True
            log.warning(
                "signal-cli runs in auto mode and loses messages while nobody listens",
                remedy="start signal-cli with --receive-mode=manual",
            )
