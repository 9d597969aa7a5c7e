"""A small HTTP door: answers GET with JSON, in a thread and an event loop of its own.

The loop that it speaks of may hang, and then it must still be able to say so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from http import HTTPStatus
from typing import Any, Final

from runtime.address import Address

Document = Mapping[str, Any]
# What a path is answered with; None when there is no such path.
Answerer = Callable[[str], tuple[bool, Document] | None]

# Who asks sends its few lines at once; who does not is not waited for.
_REQUEST_SECONDS: Final = 5.0
_REQUEST_BYTES: Final = 8192
# A probe is one connection; more than this at once are none.
_CONNECTIONS: Final = 32


class DoorTaken(OSError):
    """Nobody can listen at this address."""


@contextlib.contextmanager
def answering(address: Address, answer: Answerer) -> Iterator[Address]:
    """Answer at this address inside the block; yields where, which tells the port that 0 became."""
    bound: Future[Address] = Future()
    ending: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    thread = threading.Thread(
        target=lambda: asyncio.run(_serve(address, answer, bound, ending)), name="door", daemon=True
    )
    thread.start()
    where = bound.result()
    try:
        yield where
    finally:
        loop, ended = ending.result()
        loop.call_soon_threadsafe(ended.set)
        thread.join()


async def _serve(
    address: Address,
    answer: Answerer,
    bound: Future[Address],
    ending: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]],
) -> None:
    ended, visitors = asyncio.Event(), set[asyncio.Task[Any]]()

    async def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        visitors.add(task)
        try:
            if len(visitors) <= _CONNECTIONS:
                await _visit(reader, writer, answer)
        finally:
            visitors.discard(task)
            writer.close()

    try:
        server = await asyncio.start_server(enter, address.host, address.port, limit=_REQUEST_BYTES)
    except OSError as error:
        bound.set_exception(DoorTaken(f"nobody can listen at {address}: {error.strerror or error}"))
        return
    ending.set_result((asyncio.get_running_loop(), ended))
    bound.set_result(Address(host=address.host, port=server.sockets[0].getsockname()[1]))
    await ended.wait()
    server.close()
    for visitor in visitors:
        visitor.cancel()


async def _visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answerer) -> None:
    """One request and its answer; whoever speaks something else gets a sentence or nothing."""
    with contextlib.suppress(TimeoutError, OSError, asyncio.IncompleteReadError):
        async with asyncio.timeout(_REQUEST_SECONDS):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                status, document = _judged(head, answer)
            except asyncio.LimitOverrunError:
                head, status = b"", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                document = _said("the request is too long")
            writer.write(_response(status, document, with_body=not head.startswith(b"HEAD ")))
            await writer.drain()


def _judged(head: bytes, answer: Answerer) -> tuple[HTTPStatus, Document]:
    method, _, rest = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
    target, _, version = rest.partition(" ")
    if not version.startswith("HTTP/1.") or not target.startswith("/"):
        return HTTPStatus.BAD_REQUEST, _said("this is no HTTP/1.1 request")
    if method not in ("GET", "HEAD"):
        return HTTPStatus.METHOD_NOT_ALLOWED, _said("only GET and HEAD are answered")
    found = answer(target.partition("?")[0])
    if found is None:
        return HTTPStatus.NOT_FOUND, _said("there is nothing here")
    is_well, document = found
    return HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE, document


def _said(sentence: str) -> Document:
    return {"ok": False, "why": sentence}


def _response(status: HTTPStatus, document: Document, *, with_body: bool) -> bytes:
    body = json.dumps(document, ensure_ascii=False).encode() + b"\n"
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + (body if with_body else b"")
