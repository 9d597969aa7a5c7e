"""A worker's connection to a living shim, and the journal it reads beside it."""

from __future__ import annotations

import asyncio
import binascii
import contextlib
import json
import os
import time
from collections.abc import AsyncGenerator
from typing import Any, Literal, Self

from shim import documents
from shim.dial import dial, process_behind
from shim.errors import Busy, ConnectionLost, Fenced, NotAnswering, ProtocolMismatch, ShimError
from shim.feed import QUEUE_BYTES
from shim.layout import PROTOCOL
from shim.paths import SessionDirectory
from shim.records import Exit, Hello, decode

# A shim answers in a millisecond; on a starved machine a second is possible, ten are not a sign of life any more.
_ANSWER_SECONDS = 10.0
_RETRY_SECONDS = 0.02

# A stop ends within its timeout and the shim's own limits for killing and draining, together 15 s.
_STOP_MARGIN_SECONDS = 20.0

# A shim that closes its end is exiting: it is gone within milliseconds, or it has only dropped this connection.
_GONE_SECONDS = 10.0

_CHUNK_BYTES = 1 << 18

_ERRORS: dict[str, type[ShimError]] = {
    "fenced": Fenced,
    "busy": Busy,
    "protocol": ProtocolMismatch,
    "closed": ConnectionLost,
}


class ShimConnection:
    """Made by `attach`. Closing it, or dying with it open, means nothing to the session."""

    def __init__(self, directory: SessionDirectory, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.hello: Hello
        self._directory = directory
        self._reader = reader
        self._writer = writer
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._requests = 0
        self._changed = asyncio.Event()
        self._follows = False
        self._is_detached = False
        self._shim = process_behind(writer)
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    async def attach(cls, directory: SessionDirectory, *, generation: int) -> Self:
        """Connect to the living shim. NotRunning, NotAnswering, Fenced or ProtocolMismatch say why not."""
        give_up = asyncio.get_running_loop().time() + _ANSWER_SECONDS
        while True:
            connection = cls(directory, *await dial(directory, give_up))
            try:
                await connection._introduce(generation)
            except ConnectionLost:
                # It had no place for one more peer, or it ended just now; the next try tells.
                await connection.detach()
                await asyncio.sleep(_RETRY_SECONDS)
            except BaseException:
                await connection.detach()
                raise
            else:
                return connection

    @property
    def is_open(self) -> bool:
        return not self._listener.done()

    async def write(self, message_id: str, data: bytes) -> Literal["written", "duplicate"]:
        """Put bytes into claude's stdin, once per message id, however often it is tried."""
        if len(data) > QUEUE_BYTES:
            raise ValueError(f"a message of {len(data)} bytes is too long: at most {QUEUE_BYTES}")
        text = binascii.b2a_base64(data, newline=False).decode()
        answer = await self._ask("write", id=message_id, data=text)
        return "duplicate" if answer["outcome"] == "duplicate" else "written"

    async def stop(self, timeout: float) -> Exit:  # noqa: ASYNC109 - it is the ladder's, in the shim; ours is longer
        """End the session with all its processes; returns when the shim is gone. Safe to repeat."""
        with contextlib.suppress(ConnectionLost):
            await self._ask("stop", timeout=timeout)
        try:
            async with asyncio.timeout(timeout + _STOP_MARGIN_SECONDS):
                return await self.exited()
        except TimeoutError:
            raise self._not_answering() from None

    async def exited(self) -> Exit:
        """Wait for the end of the session. An end that nobody recorded is `lost`."""
        await asyncio.wait([self._listener])
        await self._shim_gone()
        generation = self.hello.generation
        record = documents.read(str(self._directory.exit(generation)))
        return decode(Exit, record) if record else _lost(self._directory, generation)

    async def lines(self, offset: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Every complete line from this byte on, with the offset after it; the last one may be torn."""
        await self._follow()
        fd = os.open(self.hello.journal, os.O_RDONLY | os.O_CLOEXEC)
        try:
            async for item in self._lines(fd, offset):
                yield item
        finally:
            os.close(fd)

    async def detach(self) -> None:
        """Close the connection; the session lives on. Who waits on it gets ConnectionLost."""
        self._is_detached = self.is_open
        self._listener.cancel()
        await asyncio.gather(self._listener, return_exceptions=True)
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        self._forget_shim()

    async def _lines(self, fd: int, offset: int) -> AsyncGenerator[tuple[int, bytes], None]:
        torn, searched = bytearray(), 0
        while True:
            # Both are taken before reading: what comes later changes them again.
            changed, is_last = self._changed, not self.is_open
            chunk = os.pread(fd, _CHUNK_BYTES, offset + len(torn))
            torn += chunk
            start = 0
            while (end := torn.find(b"\n", max(start, searched))) >= 0:
                yield offset + end + 1, bytes(torn[start:end])
                start = end + 1
            offset += start
            del torn[:start]
            searched = len(torn)
            if chunk:
                await asyncio.sleep(0)
            elif is_last:
                await self._shim_gone()
                break
            else:
                await changed.wait()
        if torn:
            yield offset + len(torn), bytes(torn)

    async def _introduce(self, generation: int) -> None:
        answer = await self._ask("hello", protocol=PROTOCOL, generation=generation)
        self.hello = decode(Hello, answer)

    async def _follow(self) -> None:
        if not self._follows and self.is_open:
            self._follows = True
            with contextlib.suppress(ConnectionLost):
                await self._ask("follow")

    async def _ask(self, op: str, **arguments: object) -> dict[str, Any]:
        if not self.is_open:
            raise ConnectionLost(f"the connection to the shim of {self._directory.session_id!r} is closed")
        self._requests += 1
        number = self._requests
        answered = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                self._writer.write(json.dumps({"op": op, "request": number, **arguments}).encode() + b"\n")
                with contextlib.suppress(ConnectionError):
                    await self._writer.drain()
                answer: dict[str, Any] = await answered
        except TimeoutError:
            raise self._not_answering() from None
        finally:
            del self._answers[number]
        if not answer["ok"]:
            raise _ERRORS.get(answer["error"], ShimError)(answer["message"])
        return answer

    def _not_answering(self) -> NotAnswering:
        return NotAnswering(f"the shim of {self._directory.session_id!r} lives and does not answer: is it stopped?")

    async def _listen(self) -> None:
        """Hand out answers and wake readers until the connection ends."""
        try:
            while line := await self._reader.readline():
                self._receive(json.loads(line))
        except ConnectionError:
            pass
        finally:
            self._writer.close()
            for answered in self._answers.values():
                if not answered.done():
                    answered.set_exception(ConnectionLost("the shim closed the connection"))
            asyncio.get_running_loop().call_soon(self._changed.set)

    def _receive(self, message: dict[str, Any]) -> None:
        answered = self._answers.get(message.get("request", 0))
        if answered and not answered.done():
            answered.set_result(message)
        elif "end" in message:
            self._changed.set()
            self._changed = asyncio.Event()

    async def _shim_gone(self) -> None:
        """The connection is closed; wait for the process as well, so that nothing of it is left."""
        if self._is_detached:
            raise ConnectionLost("this connection was detached: the session lives on")
        if self._shim is None:
            return
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        descriptor = os.dup(self._shim)
        loop.add_reader(descriptor, ended.set)
        try:
            async with asyncio.timeout(_GONE_SECONDS):
                await ended.wait()
        except TimeoutError:
            raise ConnectionLost("the shim dropped this connection and lives on: attach again") from None
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        self._forget_shim()

    def _forget_shim(self) -> None:
        if self._shim is not None:
            os.close(self._shim)
            self._shim = None


def _lost(directory: SessionDirectory, generation: int) -> Exit:
    try:
        journal_bytes = directory.journal(generation).stat().st_size
    except FileNotFoundError:
        journal_bytes = 0
    return Exit(
        generation=generation,
        code=None,
        signal=None,
        why="lost",
        tree="unknown",
        survivors=[],
        journal_bytes=journal_bytes,
        at=time.time(),
    )
