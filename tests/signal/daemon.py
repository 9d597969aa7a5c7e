"""signal-cli's daemon, without Signal: JSON-RPC over sockets, stricter than the real one, and able to fail."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from tests.signal.commands import execute, refuse_empty
from tests.signal.faults import Failed, Fault, Faults, Violation
from tests.signal.network import ACCOUNT, Network, Notification
from tests.signal.rules import METHODS, has_small_timestamp, problems

# A request may carry files in base64.
LINE_CAP_BYTES = 64 * 2**20


class Client:
    """One connection to the daemon."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.subscriptions: list[int] = []
        # What the kernel does not take yet holds up the writer, as it does in Java.
        writer.transport.set_write_buffer_limits(high=0)

    async def write(self, said: object) -> None:
        """Write one line, as soon as the other side lets us; whoever is gone misses it."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(line(said))
            await self.writer.drain()

    def end(self, last: bytes = b"") -> None:
        """Write these bytes and close."""
        if last:
            self.writer.write(last)
            self.writer.close()
        else:
            self.writer.transport.abort()


class FakeDaemon(Network, Faults):
    """The daemon of one account on a UNIX socket or, without a path, on TCP.

    `manual` and `auto` are its receive modes: in `auto` it takes messages from Signal's servers whether anybody listens
    or not, and hands them to every connection.
    """

    def __init__(
        self, account: str = ACCOUNT, *, path: Path | None = None, mode: Literal["manual", "auto"] = "manual"
    ) -> None:
        Network.__init__(self, account)
        Faults.__init__(self)
        self.mode = mode
        self.violations: list[str] = []
        """What no real daemon or phone would have done as it was meant. A test that ends well leaves none."""
        self.calls: list[tuple[str, dict[str, Any]]] = []
        """All requests with their parameters, before anything is done about them."""
        self.clients: list[Client] = []
        self.stuck = False
        """Whether a client does not take what is written to it."""
        self._path = path
        self._port = 0
        self._account_loaded = True
        self._subscription_ids = itertools.count()
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[Any]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def endpoint(self) -> str:
        """Where to connect; the same after restarts."""
        return str(self._path) if self._path else f"127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, *, offline: bool = False) -> None:
        """Listen. A daemon that starts offline does not know its account until it is restarted."""
        self._account_loaded = not offline
        if self._path:
            self._server = await asyncio.start_unix_server(self._serve, self._path, limit=LINE_CAP_BYTES)
            self._path.chmod(0o600)
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, limit=LINE_CAP_BYTES)
            self._port = self._server.sockets[0].getsockname()[1]
        self._start_task(self._hand_out())

    async def stop(self) -> None:
        """End at once, as with SIGKILL: nobody gets another byte, and what was written is in the kernel."""
        assert self._server is not None
        self._server.close()
        for client in self.clients:
            client.writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._serving, return_exceptions=True)
        if self._path:
            self._path.unlink(missing_ok=True)

    async def restart(self, *, offline: bool = False) -> None:
        """End and begin again; what was not taken from Signal's servers is still there."""
        await self.stop()
        await self.start(offline=offline)

    async def kill_connections(self, *, mid_line: bool = False) -> None:
        """End every connection; with `mid_line` in the middle of a message, which is lost then."""
        for client in list(self.clients):
            client.end(self._half_a_message(client) if mid_line else b"")
        await self.until(lambda: not self.clients)

    async def writes(self, raw: bytes) -> None:
        """Write just these bytes to everybody who subscribed."""
        for client in self._takers():
            client.writer.write(raw)
            await client.writer.drain()

    async def until_subscribed(self) -> None:
        """Wait until somebody takes messages."""
        await self.until(lambda: any(client.subscriptions for client in self.clients))

    def called(self, method: str) -> list[dict[str, Any]]:
        """The parameters of each request for this method."""
        return [params for name, params in self.calls if name == method]

    def _start_task(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- handing messages out ---

    async def _hand_out(self) -> None:
        while True:
            await self.until(lambda: self.queue and (self.mode == "auto" or self._takers()), None)
            notification = self._take()
            self.stuck = True
            await asyncio.gather(*[client.write(said) for client, said in self._wrapped(notification)])
            self.stuck = False

    def _take(self) -> Notification:
        """Tell Signal's servers that the next one arrived; whoever was to get it may die now."""
        notification = self.queue.popleft()
        self.acked.append(notification)
        self.changed()
        return notification

    def _takers(self) -> list[Client]:
        return [client for client in self.clients if self.mode == "auto" or client.subscriptions]

    def _wrapped(self, notification: Notification) -> Iterator[tuple[Client, object]]:
        for client in self._takers():
            if self.mode == "auto":
                yield client, received(notification)
            for subscription in client.subscriptions:
                yield client, received({"subscription": subscription, "result": notification})

    def _half_a_message(self, client: Client) -> bytes:
        if not (self.queue and client.subscriptions):
            return b'{"jsonrpc":"2.0","method":"rec'
        whole = line(received({"subscription": client.subscriptions[0], "result": self._take()}))
        return whole[: len(whole) // 2]

    # --- answering requests ---

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task, client = asyncio.current_task(), Client(writer)
        assert task is not None
        self._serving.add(task)
        self.clients.append(client)
        self.changed()
        try:
            with contextlib.suppress(ConnectionError):
                while (request := await reader.readline()).endswith(b"\n"):
                    self._start_task(self._answer(client, request))
        finally:
            self._serving.discard(task)
            self.clients.remove(client)
            writer.close()
            self.changed()

    async def _answer(self, client: Client, request: bytes) -> None:
        asked = parsed(request)
        if isinstance(asked, Failed):
            await client.write({"jsonrpc": "2.0", "error": asked.error, "id": None})
            return
        method, params = str(asked["method"]), asked.get("params") or {}
        self.calls.append((method, params))
        fault = self.take(method)
        if fault.loss == "dropped":
            client.end()
            return
        answer = {"jsonrpc": "2.0", **self._outcome(client, method, dict(params), fault), "id": asked.get("id")}
        self.changed()
        if "id" in asked:
            await self._say(client, answer, fault)

    async def _say(self, client: Client, answer: object, fault: Fault) -> None:
        if fault.loss == "lost":
            return
        if fault.loss == "cut":
            client.end(line(answer)[: len(line(answer)) // 2])
            return
        if fault.released is not None:
            await fault.released.wait()
        await client.write(answer)

    def _outcome(self, client: Client, method: str, params: dict[str, Any], fault: Fault) -> dict[str, Any]:
        try:
            return {"result": self._result(client, method, params, fault)}
        except Failed as failed:
            return {"error": failed.error}
        except Violation as violation:
            self.violations.append(str(violation))
            return {"error": Failed(-32602, str(violation)).error}

    def _result(self, client: Client, method: str, params: dict[str, Any], fault: Fault) -> Any:
        if method not in METHODS:
            raise Failed(-32601, "Method not implemented")
        account = params.pop("account", self.account)
        if account not in (self.account, self.aci) or not self._account_loaded:
            raise Failed(-32602, "Specified account does not exist")
        self._check(method, params)
        if (subscribe := self._subscribing.get(method)) is not None and fault.failure is None:
            return subscribe(self, client, params)
        refuse_empty(method, params)
        return execute(self, method, params, fault.failure)

    def _check(self, method: str, params: dict[str, Any]) -> None:
        found = problems(method, params)
        if found:
            raise Violation("; ".join(found))
        if has_small_timestamp(params):
            self.violations.append(f"{method}: a timestamp is too small")
            raise Failed(-32603, "class java.lang.Integer cannot be cast to class java.lang.Long (ClassCastException)")

    def _subscribe(self, client: Client, _params: dict[str, Any]) -> int:
        client.subscriptions.append(next(self._subscription_ids))
        return client.subscriptions[-1]

    def _unsubscribe(self, client: Client, params: dict[str, Any]) -> dict[str, Any]:
        if params.get("subscription") not in client.subscriptions:
            raise Failed(-1, "Unknown subscription id")
        client.subscriptions.remove(params["subscription"])
        return {}

    _subscribing: ClassVar[dict[str, Callable[["FakeDaemon", Client, dict[str, Any]], Any]]] = {
        "subscribeReceive": _subscribe,
        "unsubscribeReceive": _unsubscribe,
    }


def parsed(request: bytes) -> dict[str, Any] | Failed:
    """A request, or what is wrong with it."""
    try:
        asked = json.loads(request)
    except ValueError:
        return Failed(-32700, "Parse error")
    return asked if isinstance(asked, dict) and "method" in asked else Failed(-32600, "Invalid request")


def line(said: object) -> bytes:
    """As signal-cli writes it."""
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def received(params: object) -> dict[str, object]:
    """A message for the client."""
    return {"jsonrpc": "2.0", "method": "receive", "params": params}
