"""The fake daemon is as strict as its tests need it: each rule fails who breaks it."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from handlers.signal_api import Chat, SignalCli, parse_endpoint
from tests.signal.background import in_background
from tests.signal.daemon import FakeDaemon
from tests.signal.network import PATIENCE_SECONDS, File, GroupOfPeople
from tests.signal.phone import Person, synced, synced_reading
from tests.signal.test_receiving import SAMPLES, take, texts


class Raw:
    """A client that writes what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, method: str, **params: object) -> dict[str, Any]:
        """One request, and the line after it."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        self.writer.write(json.dumps(request).encode() + b"\n")
        return await self.line()

    async def line(self) -> dict[str, Any]:
        """The next line."""
        said: dict[str, Any] = json.loads(await asyncio.wait_for(self.reader.readline(), PATIENCE_SECONDS))
        return said


@asynccontextmanager
async def connected(daemon: FakeDaemon) -> AsyncIterator[Raw]:
    """A raw client."""
    reader, writer = await asyncio.open_unix_connection(daemon.endpoint)
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()


@pytest.fixture
async def raw(daemon: FakeDaemon) -> AsyncIterator[Raw]:
    """A raw client of the test's daemon."""
    async with connected(daemon) as raw:
        yield raw


EMOJI_TEXT = "👍 done"
WRONG_PARAMETERS: list[tuple[str, dict[str, object]]] = [
    ("send", {"recipient": ["x"], "message": "x", "text_style": ["0:1:BOLD"]}),
    ("send", {"recipient": ["x"], "message": "x", "textMode": "styled"}),
    ("send", {"recipient": ["x"], "message": 5}),
    ("send", {"recipient": 5, "message": "x"}),
    ("send", {"recipient": ["x"], "message": "x", "noUrgent": 1}),
    ("send", {"recipient": ["x"], "groupId": "y", "message": "x"}),
    ("send", {"message": "x"}),
    ("send", {"recipient": ["x"], "message": "x" * (2**16 + 1)}),
    ("send", {"recipient": ["x"], "message": "\ud83d"}),
    ("send", {"recipient": ["x"], "message": EMOJI_TEXT, "textStyle": ["0:8:BOLD"]}),
    ("send", {"recipient": ["x"], "message": EMOJI_TEXT, "textStyle": ["1:2:BOLD"]}),
    ("send", {"recipient": ["x"], "message": EMOJI_TEXT, "textStyle": ["3:0:BOLD"]}),
    ("send", {"recipient": ["x"], "message": EMOJI_TEXT, "textStyle": ["3:4:HEADING"]}),
    ("send", {"recipient": ["x"], "message": "x", "quoteTimestamp": 1700000000123}),
    ("sendReaction", {"recipient": ["x"], "emoji": "👍", "targetAuthor": "x"}),
    ("sendTyping", {"recipient": ["x"], "stop": "true"}),
    ("getAttachment", {"id": "x", "recipient": ["x"]}),
    ("version", {"verbose": True}),
]


@pytest.mark.parametrize(("method", "params"), WRONG_PARAMETERS)
async def test_wrong_parameters_fail_and_are_remembered(
    daemon: FakeDaemon, raw: Raw, method: str, params: dict[str, object]
) -> None:
    """A typo, a wrong type or a range outside the text is an error and a violation, where signal-cli says nothing."""
    assert (await raw.ask(method, **params))["error"]["code"] == -32602
    assert len(daemon.violations) == 1
    daemon.violations.clear()


@pytest.mark.parametrize("attachment", ["/etc/hostname", "data:image/png;base64,?", "data:;base64,aGk=", "hello"])
async def test_files_are_data_uris_that_decode(daemon: FakeDaemon, raw: Raw, attachment: str) -> None:
    """The daemon may run elsewhere, so a path is wrong, and so is what does not decode."""
    alice = daemon.person("Alice")
    answer = await raw.ask("send", recipient=[alice.aci], message="x", attachments=[attachment])
    assert "error" in answer
    assert daemon.violations.pop().endswith("the daemon may not see our files")


async def test_a_small_timestamp_is_javas_problem(daemon: FakeDaemon, raw: Raw) -> None:
    """It is an internal error, as it really is, and a violation."""
    answer = await raw.ask("send", recipient=["x"], message="x", editTimestamp=2**31 - 1)
    assert answer["error"]["code"] == -32603
    assert daemon.violations.pop() == "send: a timestamp is too small"


async def test_only_own_messages_are_edited_ten_times(daemon: FakeDaemon, raw: Raw) -> None:
    """The message of somebody else, an unknown one and the eleventh edit are violations."""
    alice = daemon.person("Alice")
    theirs = await alice.says("mine")
    own = (await raw.ask("send", recipient=alice.aci, message="0"))["result"]["timestamp"]
    for timestamp in (theirs, own + 1_000_000):
        assert "error" in await raw.ask("send", recipient=alice.aci, message="x", editTimestamp=timestamp)
    for number in range(10):
        assert "result" in await raw.ask("send", recipient=alice.aci, message=f"{number}", editTimestamp=own)
    assert "error" in await raw.ask("send", recipient=alice.aci, message="too much", editTimestamp=own)
    assert alice.screen().texts == ["9"]
    assert len(daemon.violations) == 3
    daemon.violations.clear()


async def test_reactions_and_quotes_need_a_message_in_that_chat(daemon: FakeDaemon, raw: Raw) -> None:
    """What stands in another chat, or was written by somebody else, cannot be meant."""
    alice, bob = daemon.person("Alice"), daemon.person("Bob")
    said = await alice.says("hello")
    for person, author in ((bob, alice), (alice, bob)):
        reaction = {"emoji": "👍", "targetAuthor": author.aci, "targetTimestamp": said}
        assert "error" in await raw.ask("sendReaction", recipient=person.aci, **reaction)
        quote = {"quoteAuthor": author.aci, "quoteTimestamp": said, "quoteMessage": "hello"}
        assert "error" in await raw.ask("send", recipient=person.aci, message="x", **quote)
    assert len(daemon.violations) == 4
    daemon.violations.clear()


async def test_requests_that_are_none_get_the_codes_of_json_rpc(daemon: FakeDaemon, raw: Raw) -> None:
    """Broken lines, unknown methods and unknown accounts each have their own."""
    for request, code in ((b"\n", -32700), (b"{\n", -32700), (b"[]\n", -32600)):
        raw.writer.write(request)
        answer = await raw.line()
        assert (answer["error"]["code"], answer["id"]) == (code, None)
    assert (await raw.ask("sendMessage"))["error"]["code"] == -32601
    assert (await raw.ask("listGroups", account="+15550009999"))["error"]["code"] == -32602


async def test_timestamps_are_never_used_twice(daemon: FakeDaemon, raw: Raw) -> None:
    """Messages of everybody differ, however fast they are written."""
    alice = daemon.person("Alice")
    stamps = [await alice.says("x") for _ in range(50)]
    stamps += [(await raw.ask("send", recipient=alice.aci, message="x"))["result"]["timestamp"] for _ in range(50)]
    assert len(set(stamps)) == 100


async def test_the_shape_of_a_result(daemon: FakeDaemon, raw: Raw) -> None:
    """A group names each member with what came of it; somebody who hides their number has none."""
    alice, bob = daemon.person("Alice", "+15550001111"), daemon.person("Bob")
    group = daemon.group("proj-a", [alice, bob])
    daemon.fails_next("send", "captcha")
    error = (await raw.ask("send", groupId=group.group_id, message="x"))["error"]
    (first, second) = error["data"]["response"]["results"]
    assert first == {
        "recipientAddress": {"uuid": alice.aci, "number": "+15550001111", "username": None},
        "groupId": group.group_id,
        "type": "RATE_LIMIT_FAILURE",
        "token": "a-token",
        "retryAfterSeconds": 86400,
    }
    assert second["recipientAddress"]["number"] is None


async def test_messages_wait_until_somebody_subscribes(daemon: FakeDaemon, raw: Raw) -> None:
    """Nothing is taken from Signal's servers before, nor after the subscriber is gone."""
    alice = daemon.person("Alice")
    await alice.says("one")
    await raw.ask("version")
    assert daemon.acked == []
    subscription = (await raw.ask("subscribeReceive"))["result"]
    params = (await raw.line())["params"]
    assert params["subscription"] == subscription
    assert params["result"]["envelope"]["dataMessage"]["message"] == "one"

    assert (await raw.ask("unsubscribeReceive", subscription=subscription))["result"] == {}
    await alice.says("two")
    await raw.ask("version")
    assert len(daemon.queue) == 1


async def test_what_is_in_flight_when_the_client_dies_is_lost(daemon: FakeDaemon) -> None:
    """It was acknowledged before it was written, so the next client does not get it, and gets what waited."""
    alice = daemon.person("Alice")
    async with connected(daemon) as raw:
        await raw.ask("subscribeReceive")
        await alice.says("in flight")
        await daemon.until(lambda: daemon.acked)
    await daemon.until(lambda: not daemon.clients)
    await alice.says("waits")
    await daemon.restart()
    async with connected(daemon) as raw:
        await raw.ask("subscribeReceive")
        message = (await raw.line())["params"]["result"]
    assert message["envelope"]["dataMessage"]["message"] == "waits"


async def test_auto_mode_loses_what_nobody_hears(short_path: Path) -> None:
    """Without a connection messages are taken and gone; each connection gets all others without asking."""
    async with FakeDaemon(path=short_path / "signal", mode="auto") as daemon:
        alice = daemon.person("Alice")
        await alice.says("lost")
        await daemon.until(lambda: daemon.acked)
        async with connected(daemon) as one, connected(daemon) as two:
            await daemon.until(lambda: len(daemon.clients) == 2)
            await alice.says("heard")
            for raw in (one, two):
                assert (await raw.line())["params"]["envelope"]["dataMessage"]["message"] == "heard"


def keys_of(value: object) -> object:
    """The shape of a value: its keys, where something is null, and the types of the rest."""
    if isinstance(value, dict):
        return {key: keys_of(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [keys_of(inner) for inner in value[:1]]
    return None if value is None else type(value).__name__


Doing = Callable[[FakeDaemon, Person, GroupOfPeople], Coroutine[Any, Any, object]]


async def _quotes(daemon: FakeDaemon, alice: Person, _group: GroupOfPeople) -> None:
    async with connected(daemon) as raw:
        asked = (await raw.ask("send", recipient=alice.aci, message="Approve Bash?"))["result"]["timestamp"]
    await alice.says("yes", quote=asked)


async def _edits(_daemon: FakeDaemon, alice: Person, _group: GroupOfPeople) -> None:
    await alice.edits(await alice.says("text"), "edited text")


async def _deletes(_daemon: FakeDaemon, alice: Person, _group: GroupOfPeople) -> None:
    await alice.deletes(await alice.says("text"))


async def _hides(daemon: FakeDaemon, _alice: Person, _group: GroupOfPeople) -> None:
    await daemon.person("Bob").says("hi")


async def _is_untrusted(_daemon: FakeDaemon, alice: Person, _group: GroupOfPeople) -> None:
    alice.changes_key()
    await alice.says("hi")


async def _syncs(daemon: FakeDaemon, _alice: Person, _group: GroupOfPeople) -> None:
    synced(daemon, "status")


async def _syncs_to_a_group(daemon: FakeDaemon, _alice: Person, group: GroupOfPeople) -> None:
    synced(daemon, "status", group)


async def _syncs_reading(daemon: FakeDaemon, alice: Person, _group: GroupOfPeople) -> None:
    synced_reading(daemon, alice, 1700000000120)


PICTURE = File("shot.png", "image/png", b"\x89PNG")
DOINGS: dict[str, Doing] = {
    "direct": lambda _daemon, alice, _group: alice.says("start fix the bug"),
    "number hidden": _hides,
    "group": lambda _daemon, alice, group: alice.says("status", group),
    "group update": lambda _daemon, alice, group: alice.renames(group, "proj-b"),
    "quote": _quotes,
    "reaction": lambda _daemon, alice, _group: alice.reacts("👍", 1699999999123),
    "attachment": lambda _daemon, alice, _group: alice.says("see", attachments=[PICTURE]),
    "edit": _edits,
    "receipt": lambda _daemon, alice, _group: alice.reads(1699999999123),
    "typing": lambda _daemon, alice, group: alice.types(group),
    "remote delete": _deletes,
    "expiration update": lambda _daemon, alice, _group: alice.sets_timer(3600),
    "sync note-to-self": _syncs,
    "sync to group": _syncs_to_a_group,
    "sync read": _syncs_reading,
    "untrusted identity": _is_untrusted,
}


@pytest.mark.parametrize("name", SAMPLES)
async def test_what_people_do_looks_as_signal_cli_shows_it(daemon: FakeDaemon, name: str) -> None:
    """Every notification has the fields, the types and the nulls of the sample of its kind."""
    alice = daemon.person("Alice", "+15550001111")
    await DOINGS[name](daemon, alice, daemon.group("proj-a", [alice]))
    assert keys_of(daemon.queue[-1]) == keys_of(SAMPLES[name])


async def test_what_an_unknown_key_wrote_arrives_when_it_is_trusted(daemon: FakeDaemon, signal: SignalCli) -> None:
    """First an exception without a body, later the message itself."""
    alice = daemon.person("Alice")
    alice.changes_key()
    await alice.says("let me in")
    async with aclosing(signal.envelopes()) as envelopes:
        (exception,) = await take(envelopes)
        assert exception["exception"]["type"] == "UntrustedIdentityException"
        assert "dataMessage" not in exception["envelope"]
        async with connected(daemon) as raw:
            assert "result" in await raw.ask("trust", recipient=alice.aci, trustAllKnownKeys=True)
        assert texts(await take(envelopes)) == ["let me in"]


async def test_a_phone_shows_receipts_and_deletions(daemon: FakeDaemon, raw: Raw) -> None:
    """What the bot took back is gone, what it read is marked, and its accounts are listed."""
    alice = daemon.person("Alice")
    said = await alice.says("hello")
    sent = (await raw.ask("send", recipient=alice.aci, message="oops"))["result"]["timestamp"]
    await raw.ask("sendReceipt", recipient=alice.aci, targetTimestamp=[said], type="read")
    await raw.ask("remoteDelete", recipient=alice.aci, targetTimestamp=sent)
    assert alice.screen().texts == []
    assert alice.screen().room.receipts == {said}
    assert (await raw.ask("listAccounts"))["result"] == [{"number": daemon.account}]


async def test_a_client_that_comes_again_finds_the_chat_as_it_was(daemon: FakeDaemon) -> None:
    """What was sent by clients that are gone can be edited by the next one."""
    alice = daemon.person("Alice")
    timestamp = 0
    for text in ("one", "two", "three"):
        async with aclosing(SignalCli(parse_endpoint(daemon.endpoint), daemon.account)) as signal:
            sent = await signal.send(Chat(person=alice.aci), text, edits=timestamp)
            timestamp = timestamp or sent.timestamp
    assert await alice.sees(lambda screen: screen.texts) == ["three"]


def test_a_daemon_in_the_background_serves_other_loops(short_path: Path) -> None:
    """A test without a loop has people write, a client of its own loop answers, and the phone shows it."""

    async def answer() -> None:
        async with aclosing(SignalCli(parse_endpoint(endpoint), "+15550000000")) as signal:
            async with aclosing(signal.envelopes()) as envelopes:
                (message,) = await take(envelopes)
            await signal.send(Chat(person=message["envelope"]["sourceUuid"]), "hello yourself")

    with in_background(FakeDaemon(path=short_path / "signal")) as background:
        endpoint = background.daemon.endpoint
        alice = background.daemon.person("Alice")
        background.run(alice.says("hello"))
        asyncio.run(answer())
        assert background.run(alice.sees(lambda screen: screen.texts)) == ["hello yourself"]


def test_a_picture_travels_as_a_data_uri() -> None:
    """The check itself knows a good one."""
    from tests.signal.rules import file_of

    uri = "data:image/png;filename=a b.png;base64," + base64.b64encode(b"x").decode()
    assert file_of(uri) == ("image/png", "a b.png", b"x")
