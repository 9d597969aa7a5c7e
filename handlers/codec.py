"""`codec`: shows the Temporal Web UI of this machine what is encrypted, by Temporal's remote codec protocol."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

import uvicorn
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from temporalio.api.common.v1 import Payloads

from handlers import console
from handlers.failure import REFUSED, CommandFailed
from runtime.codec import Codec
from runtime.keys import Key
from runtime.settings import Settings

LOOPBACK: Final = "127.0.0.1"
# A page of the UI asks for all payloads of a history at once, and Temporal takes at most 2 MB in one.
BODY_CAP_BYTES: Final = 32 * 1024 * 1024
# What else the UI sends along.
_HEADERS: Final = "content-type, x-namespace, authorization, caller-type"
# A name that leads here only because somebody's DNS says so is not in this list.
_HERE: Final = ("127.0.0.1", "localhost", "[::1]")

Change = Callable[[Payloads], Awaitable[None]]


async def serve(settings: Settings, port: int, ui: Sequence[str], *, as_json: bool) -> None:
    """Serve until a signal says stop. Raises CommandFailed when there is no key, or no such port."""
    if not settings.encryption_keys:
        raise CommandFailed("no key is set, so nothing is encrypted: see DURABLE_CLAUDE_ENCRYPTION_KEY_FILE", REFUSED)
    origins = [origin(url) for url in ui]
    with _listening(port) as listener:
        config = uvicorn.Config(
            application(settings.encryption_keys, origins),
            log_level="critical",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        server = _Server(config)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, server.end)
        address = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        if as_json:
            console.document({"address": address, "ui": origins})
        else:
            console.result(f"{address}\nfor the Web UI at {', '.join(origins)}; everybody on this machine can use it")
        console.out.file.flush()
        await server.serve(sockets=[listener])


def application(keys: Sequence[Key], origins: Sequence[str]) -> Starlette:
    """The endpoint for these keys, open to pages of these origins and to programs of this machine."""
    codec = Codec(keys)
    doors = [("/encode", codec.encode_wrapper), ("/decode", codec.decode_wrapper)]
    return Starlette(
        routes=[Route(path, _door(change, origins), methods=["POST", "OPTIONS"]) for path, change in doors]
    )


def origin(url: str) -> str:
    """What a browser says of pages of this address; raises CommandFailed when it can be none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        raise CommandFailed(
            f"{url!r} cannot be the address of a Web UI: write it like 'http://127.0.0.1:8233'", REFUSED
        )
    return f"{parts.scheme}://{parts.netloc}".lower()


def _door(change: Change, origins: Sequence[str]) -> Callable[[Request], Awaitable[Response]]:
    async def enter(request: Request) -> Response:
        host, asks_from = request.headers.get("host", ""), request.headers.get("origin")
        if host.rpartition(":")[0] not in _HERE and host not in _HERE:
            return PlainTextResponse(f"{host!r} is not this machine", 403)
        if asks_from is not None and asks_from not in origins:
            return PlainTextResponse(f"pages of {asks_from!r} may not ask: name them with --ui", 403)
        answer = Response() if request.method == "OPTIONS" else await _changed(request, change)
        if asks_from is not None:
            answer.headers["access-control-allow-origin"] = asks_from
            answer.headers["access-control-allow-methods"] = "POST"
            answer.headers["access-control-allow-headers"] = _HEADERS
            answer.headers["vary"] = "origin"
        return answer

    return enter


async def _changed(request: Request, change: Change) -> Response:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_CAP_BYTES:
            return PlainTextResponse(f"more than {BODY_CAP_BYTES} bytes at once", 413)
    try:
        payloads = json_format.Parse(body if body.lstrip().startswith(b"{") else b"", Payloads())
    except (json_format.ParseError, UnicodeDecodeError) as error:
        return PlainTextResponse(f"this is not a list of payloads in JSON: {error}", 400)
    await change(payloads)
    # A page must be kept by nobody on the way.
    return Response(
        json_format.MessageToJson(payloads), media_type="application/json", headers={"cache-control": "no-store"}
    )


@contextlib.contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError as error:
            raise CommandFailed(f"port {port} cannot be had ({error.strerror}): choose another with --port") from error
        listener.listen()
        yield listener


class _Server(uvicorn.Server):
    def end(self) -> None:
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # A signal is how this command ends well, and uvicorn would pass it on to end it badly.
        yield
