"""Messages as they arrive, one at a time, over a connection that subscribes for them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any, Final

import structlog

from handlers.signal_errors import NoDaemon, SignalError, from_response
from handlers.signal_wire import ENVELOPE_CAP_BYTES, ENVELOPE_CHUNK_BYTES, Connection, Endpoint, parsed, request

log = structlog.get_logger(__name__)

# A restarted daemon is back within seconds; one that stays away is asked a few times a minute.
_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 15.0
# The daemon answers this from memory. One that does not is hung, and another connection may find it better.
_SUBSCRIBE_SECONDS: Final = 30.0
_SUBSCRIPTION: Final = "subscription"


class Receiving:
    """A subscription that is made anew whenever it is lost.

    signal-cli tells Signal's servers that a message arrived before it hands it on, and knows no acknowledgement from
    us: what was handed on and not yet kept when this process dies is lost. So the next line is read only when the next
    item is asked for. Whoever keeps each item durably before asking for the next one loses at most what the socket and
    one small chunk hold; and whoever does not ask lets the messages wait, in the daemon and then on Signal's servers.
    Nothing is handed on twice by this, but senders and daemons repeat themselves: look at (account, sender, device,
    timestamp).
    """

    def __init__(self, endpoint: Endpoint, account: Mapping[str, object]) -> None:
        self._endpoint = endpoint
        self._account = account
        self._pauses = pauses()
        self._why = ""
        self.subscribed = False
        """Whether messages would arrive now."""

    async def envelopes(self) -> AsyncGenerator[Mapping[str, object], None]:
        """Each `{"envelope": …, "account": …, "exception": …}`, for ever. Close it to give the subscription back."""
        while True:
            try:
                async with contextlib.aclosing(self._until_lost()) as received:
                    async for envelope in received:
                        yield envelope
            except SignalError as error:
                pause = next(self._pauses)
                self._lost(error, pause)
                await asyncio.sleep(pause)

    async def _until_lost(self) -> AsyncGenerator[Mapping[str, object], None]:
        connection = await Connection.open(self._endpoint, cap=ENVELOPE_CAP_BYTES, chunk=ENVELOPE_CHUNK_BYTES)
        automatic = False
        try:
            await self._subscribe(connection)
            while True:
                said = parsed(await self._line(connection))
                if said is None or self._is_answer(said):
                    continue
                automatic = automatic or _is_automatic(said)
                # A daemon in auto mode hands everything to every connection, and once more to who subscribed.
                if (found := unwrapped(said)) is not None and _is_automatic(said) == automatic:
                    yield found
        finally:
            self.subscribed = False
            connection.close()

    async def _subscribe(self, connection: Connection) -> None:
        try:
            await connection.write(request(_SUBSCRIPTION, "subscribeReceive", self._account))
        except OSError as error:
            raise NoDaemon(f"signal-cli went away: {error.strerror}") from error

    async def _line(self, connection: Connection) -> bytes:
        try:
            async with asyncio.timeout(None if self.subscribed else _SUBSCRIBE_SECONDS):
                line = await connection.read()
        except TimeoutError:
            raise NoDaemon("signal-cli does not answer that it takes the subscription") from None
        if line is None:
            raise NoDaemon("signal-cli closed the connection for messages")
        return line

    def _is_answer(self, said: Mapping[str, Any]) -> bool:
        if said.get("id") != _SUBSCRIPTION or "method" in said:
            return False
        if said.get("error") is not None:
            raise from_response(said["error"])
        self.subscribed = True
        self._pauses, self._why = pauses(), ""
        log.info("messages from Signal arrive", endpoint=str(self._endpoint))
        return True

    def _lost(self, error: SignalError, pause: float) -> None:
        # A daemon that is away for a night is one line, not thousands.
        level = log.debug if str(error) == self._why else log.warning
        level("no messages from Signal arrive", why=str(error), remedy=error.remedy, again_in_seconds=round(pause, 1))
        self._why = str(error)


def pauses() -> Iterator[float]:
    """How long to wait before each further try: longer each time up to a limit, and not in step with others."""
    longest = _FIRST_PAUSE_SECONDS
    while True:
        yield random.uniform(longest / 2, longest)
        longest = min(2 * longest, _LONGEST_PAUSE_SECONDS)


def unwrapped(said: Mapping[str, Any]) -> Mapping[str, object] | None:
    """The one object in the three wrappings that signal-cli has for it: bare, as a notification, for a subscription."""
    if said.get("method") not in (None, "receive"):
        log.info("a line of signal-cli's was passed over", method=str(said["method"])[:50])
        return None
    found = said.get("params", said)
    if isinstance(found, dict) and _SUBSCRIPTION in found:
        found = found.get("result")
    if isinstance(found, dict) and isinstance(found.get("envelope"), dict):
        return found
    log.warning("a line of signal-cli's was passed over", keys=sorted(map(str, said))[:10])
    return None


def _is_automatic(said: Mapping[str, Any]) -> bool:
    params = said.get("params")
    return said.get("method") == "receive" and isinstance(params, dict) and _SUBSCRIPTION not in params
