"""How messages arrive: one at a time, in order, and what is lost or not when something dies."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from handlers import signal_receiving
from handlers.signal_api import SignalCli, parse_endpoint
from tests.signal.daemon import FakeDaemon, line, received
from tests.signal.network import PATIENCE_SECONDS

SAMPLES: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "samples.json").read_text())

Envelopes = AsyncGenerator[Mapping[str, object], None]


@pytest.fixture
async def envelopes(signal: SignalCli) -> AsyncIterator[Envelopes]:
    """What arrives, until the test ends."""
    async with aclosing(signal.envelopes()) as envelopes:
        yield envelopes


async def take(envelopes: Envelopes, count: int = 1) -> list[Any]:
    """The next ones."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return [await anext(envelopes) for _ in range(count)]


def texts(received: list[Any]) -> list[str]:
    """What they say."""
    return [one["envelope"]["dataMessage"]["message"] for one in received]


async def test_messages_that_waited_arrive_in_order(daemon: FakeDaemon, envelopes: Envelopes) -> None:
    """What was written while nobody listened arrives as soon as somebody does, as it was written."""
    alice = daemon.person("Alice", "+15550001111")
    for number in range(100):
        await alice.says(f"message {number} 👍")

    assert daemon.acked == []
    assert texts(await take(envelopes, 100)) == [f"message {number} 👍" for number in range(100)]
    (params,) = daemon.called("subscribeReceive")
    assert params == {"account": daemon.account}


async def test_every_sample_passes_as_it_is(daemon: FakeDaemon, envelopes: Envelopes) -> None:
    """Whatever signal-cli was seen to emit comes out unchanged, the untrusted among it."""
    for sample in SAMPLES.values():
        daemon.arrives(sample)
    assert await take(envelopes, len(SAMPLES)) == list(SAMPLES.values())


async def test_fields_of_later_versions_pass(daemon: FakeDaemon, envelopes: Envelopes) -> None:
    """What nobody knows yet is no reason to drop a message."""
    strange = {"envelope": {"timestamp": 1700000000123, "pollVote": {"x": [None]}}, "later": 1}
    daemon.arrives(strange)
    assert await take(envelopes) == [strange]


@pytest.mark.parametrize(
    "said", [SAMPLES["direct"], received(SAMPLES["direct"]), received({"subscription": 7, "result": SAMPLES["direct"]})]
)
def test_the_three_wrappings_hold_the_same(said: dict[str, Any]) -> None:
    """Bare, as a notification and for a subscription."""
    assert signal_receiving.unwrapped(said) == SAMPLES["direct"]


@pytest.mark.parametrize(
    "raw",
    [
        b"\n",
        b"not json\n",
        b'{"half": \n',
        b"[1, 2]\n",
        b"\xff\xfe\n",
        b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}\n',
        b'{"jsonrpc":"2.0","method":"callEvent","params":{"subscription":1,"result":{}}}\n',
        b'{"jsonrpc":"2.0","method":"receive","params":{"subscription":1,"result":{"envelope":null}}}\n',
        b'{"jsonrpc":"2.0","method":"receive","params":"secret"}\n',
        b"[" * 100_000 + b"\n",
    ],
    ids=range(10),
)
async def test_lines_that_mean_nothing_are_passed_over(daemon: FakeDaemon, envelopes: Envelopes, raw: bytes) -> None:
    """The message after such a line arrives over the same connection, and the line is not in the log."""
    alice = daemon.person("Alice")
    with capture_logs() as logs:
        await alice.says("before")
        await take(envelopes)
        await daemon.writes(raw)
        await alice.says("after")
        assert texts(await take(envelopes)) == ["after"]
    assert len(daemon.called("subscribeReceive")) == 1
    assert "secret" not in str(logs)


async def test_a_long_line_arrives_whole(daemon: FakeDaemon, envelopes: Envelopes) -> None:
    """A megabyte on one line is one message."""
    alice = daemon.person("Alice")
    await alice.says("é" * 500_000)
    await alice.says("next")
    assert texts(await take(envelopes, 2)) == ["é" * 500_000, "next"]


async def test_a_line_past_all_measure_is_passed_over(
    daemon: FakeDaemon, envelopes: Envelopes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes no more memory than the cap, and what follows it arrives."""
    monkeypatch.setattr("handlers.signal_receiving.ENVELOPE_CAP_BYTES", 100_000)
    alice = daemon.person("Alice")
    with capture_logs() as logs:
        await alice.says("x" * 1_000_000)
        await alice.says("next")
        assert texts(await take(envelopes)) == ["next"]
    (told,) = [entry for entry in logs if entry["event"] == "a line of signal-cli's was too long"]
    assert told["bytes"] > 1_000_000


async def test_nothing_is_read_before_it_is_asked_for(daemon: FakeDaemon, envelopes: Envelopes) -> None:
    """Who does not ask for the next one holds up the daemon, so that messages wait on Signal's servers."""
    alice = daemon.person("Alice")
    for number in range(100):
        await alice.says(f"{number:050000}")
    first = await take(envelopes)

    await daemon.until(lambda: len(daemon.acked) > 1)
    for _ in range(1000):  # far more turns of the loop than a reader would need for the rest
        await asyncio.sleep(0)
    assert daemon.stuck
    assert len(daemon.acked) < 50

    rest = await take(envelopes, 99)
    assert texts(first + rest) == [f"{number:050000}" for number in range(100)]


async def test_a_slow_reader_holds_up_no_answer(daemon: FakeDaemon, signal: SignalCli, envelopes: Envelopes) -> None:
    """While messages wait unread, calls are answered: they have a connection of their own."""
    alice = daemon.person("Alice")
    for number in range(100):
        await alice.says(f"{number:050000}")
    await take(envelopes)
    assert await signal.version() == "0.14.6"


@pytest.mark.parametrize("mid_line", [False, True])
async def test_a_killed_connection_is_made_again(daemon: FakeDaemon, envelopes: Envelopes, mid_line: bool) -> None:  # noqa: FBT001
    """It subscribes anew; half a message is none, and only that one is lost."""
    alice = daemon.person("Alice")
    await alice.says("first")
    assert texts(await take(envelopes)) == ["first"]
    await daemon.until_subscribed()

    waiting = asyncio.create_task(take(envelopes, 2))
    if mid_line:
        daemon.queue.append({"envelope": {"timestamp": 1700000000123}, "account": daemon.account})
    await daemon.kill_connections(mid_line=mid_line)
    await alice.says("second")
    await alice.says("third")

    assert texts(await waiting) == ["second", "third"]
    assert len(daemon.called("subscribeReceive")) == 2


async def test_a_restarted_daemon_is_found_again(daemon: FakeDaemon, signal: SignalCli, envelopes: Envelopes) -> None:
    """However often it is restarted between messages, each arrives once."""
    alice = daemon.person("Alice")
    arrived = []
    for number in range(5):
        await alice.says(f"{number}")
        arrived += texts(await take(envelopes))
        assert signal.receiving
        await daemon.restart()
    assert arrived == ["0", "1", "2", "3", "4"]


async def test_only_what_was_in_flight_is_lost(daemon: FakeDaemon, envelopes: Envelopes) -> None:
    """The connection dies under a flood: nothing arrives twice, order is kept, and what misses had been handed out."""
    alice = daemon.person("Alice")
    for number in range(400):
        await alice.says(f"{number:01000d}")
    arrived = [int(text) for text in texts(await take(envelopes, 20))]
    await daemon.kill_connections()
    handed_out = len(daemon.acked)

    while arrived[-1] != 399:
        arrived += [int(text) for text in texts(await take(envelopes))]

    assert arrived == sorted(set(arrived))
    assert set(range(400)) - set(arrived) <= set(range(handed_out))
    assert handed_out < 400


async def test_closing_gives_the_subscription_back(daemon: FakeDaemon, signal: SignalCli) -> None:
    """Whoever listens no more leaves no connection that messages would go to."""
    alice = daemon.person("Alice")
    async with aclosing(signal.envelopes()) as envelopes:
        await alice.says("first")
        await take(envelopes)
    await daemon.until(lambda: not daemon.clients)
    assert not signal.receiving

    await alice.says("second")
    async with aclosing(signal.envelopes()) as envelopes:
        assert texts(await take(envelopes)) == ["second"]


async def test_a_second_subscriber_gets_the_same(daemon: FakeDaemon, signal: SignalCli, envelopes: Envelopes) -> None:
    """Two who subscribe get each message, and one who leaves takes nothing from the other."""
    alice = daemon.person("Alice")
    async with aclosing(signal.envelopes()) as others:
        waiting = [asyncio.create_task(take(each)) for each in (envelopes, others)]
        await daemon.until(lambda: sum(len(client.subscriptions) for client in daemon.clients) == 2)
        await alice.says("both")
        assert [texts(await each) for each in waiting] == [["both"], ["both"]]
    await alice.says("one")
    assert texts(await take(envelopes)) == ["one"]


async def test_a_refused_subscription_is_tried_again(daemon: FakeDaemon, envelopes: Envelopes) -> None:
    """A daemon that started offline is asked until it knows the account, and the log says what to do, once."""
    alice = daemon.person("Alice")
    await alice.says("hello")
    await daemon.restart(offline=True)
    with capture_logs() as logs:
        waiting = asyncio.create_task(take(envelopes))
        await daemon.until(lambda: len(daemon.called("subscribeReceive")) >= 3)
        await daemon.restart()
        assert texts(await waiting) == ["hello"]
    told = [entry for entry in logs if "does not know the account" in str(entry.get("why"))]
    assert [entry["log_level"] for entry in told][:2] == ["warning", "debug"]
    assert "restart" in told[0]["remedy"]


async def test_a_subscription_that_is_never_answered_is_given_up(
    daemon: FakeDaemon, envelopes: Envelopes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hung daemon is left for a new connection, and not waited for in silence."""
    monkeypatch.setattr("handlers.signal_receiving._SUBSCRIBE_SECONDS", 0.1)
    alice = daemon.person("Alice")
    daemon.loses_response("subscribeReceive")
    waiting = asyncio.create_task(take(envelopes))
    await daemon.until(lambda: len(daemon.called("subscribeReceive")) >= 2)
    await alice.says("hello")
    assert texts(await waiting) == ["hello"]


async def test_auto_mode_hands_nothing_out_twice(short_path: Path) -> None:
    """A daemon in auto mode wraps a message in both ways for who subscribed; one of them is taken."""
    async with FakeDaemon(path=short_path / "signal", mode="auto") as daemon:
        alice = daemon.person("Alice")
        async with aclosing(SignalCli(parse_endpoint(daemon.endpoint), daemon.account).envelopes()) as envelopes:
            waiting = asyncio.create_task(take(envelopes, 3))
            await daemon.until_subscribed()
            for text in ("one", "two", "three"):
                await alice.says(text)
            assert texts(await waiting) == ["one", "two", "three"]


async def test_what_others_repeat_passes(daemon: FakeDaemon, envelopes: Envelopes) -> None:
    """Duplicates and a changed order come from outside, so whoever keeps messages must tell; nothing is hidden here."""
    alice = daemon.person("Alice")
    first = await alice.says("first")
    await alice.says("second")
    daemon.queue.reverse()
    daemon.repeats(first)
    assert texts(await take(envelopes, 3)) == ["second", "first", "first"]


async def test_bodies_and_numbers_stay_out_of_the_log(daemon: FakeDaemon, envelopes: Envelopes) -> None:
    """Whatever happens to the connection, the log names nobody and quotes nobody."""
    alice = daemon.person("Alice", "+15550001111")
    with capture_logs() as logs:
        await alice.says("secret")
        await take(envelopes)
        await daemon.writes(line(SAMPLES["direct"])[:-20] + b"\n")
        daemon.fails_next("subscribeReceive", "not registered")
        waiting = asyncio.create_task(take(envelopes))
        await daemon.kill_connections(mid_line=True)
        await alice.says("secret")
        await waiting
    assert {"a line of signal-cli's was not understood", "a line of signal-cli's was cut off"} <= {
        entry["event"] for entry in logs
    }
    assert not [word for word in ("secret", "start fix", "+1555", "Alice") if word in str(logs)]


def test_pauses_grow_to_a_limit_and_differ() -> None:
    """A daemon that stays away is asked a few times a minute, and not by all at once."""
    first, again = list(islice(signal_receiving.pauses(), 20)), list(islice(signal_receiving.pauses(), 20))
    assert max(first) <= 15.0
    assert min(first[10:]) >= 7.5
    assert first[0] <= 0.2
    assert first != again


async def test_a_missing_socket_is_said_with_its_remedy(short_path: Path) -> None:
    """The log says how to start the daemon, and it is found when it comes."""
    daemon = FakeDaemon(path=short_path / "signal")
    alice = daemon.person("Alice")
    await alice.says("hello")
    with capture_logs() as logs:
        async with aclosing(SignalCli(parse_endpoint(daemon.endpoint), daemon.account).envelopes()) as envelopes:
            waiting = asyncio.create_task(take(envelopes))
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not logs:
                    await asyncio.sleep(0)
            async with daemon:
                assert texts(await waiting) == ["hello"]
    assert "--receive-mode=manual" in logs[0]["remedy"]
