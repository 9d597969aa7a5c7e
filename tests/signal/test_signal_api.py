"""What the transport makes of calls: exact parameters, answers in any order, and errors by what may be done next."""

import asyncio
import base64
import socket
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from handlers.signal_api import (
    CaptchaNeeded,
    Chat,
    Endpoint,
    NoAccount,
    NoDaemon,
    NotSent,
    Quote,
    RateLimited,
    Refused,
    SignalCli,
    SignalError,
    Unclear,
    Unregistered,
    Untrusted,
    parse_endpoint,
    redacted,
)
from handlers.signal_wire import Connection
from tests.signal.daemon import FakeDaemon
from tests.signal.network import File

PNG = "data:image/png;filename=shot.png;base64," + base64.b64encode(b"\x89PNG").decode()


def test_a_chat_is_one_string_and_back() -> None:
    """A key names a person or a group, and nothing else is one."""
    for chat in (Chat(person="+15550001111"), Chat(group="AAEC=")):
        assert Chat.from_key(chat.key) == chat
    assert Chat(person="x").parameters == {"recipient": ["x"]}
    assert Chat(group="x").parameters == {"groupId": "x"}
    for wrong in ("x:y", "d:", "", "g"):
        with pytest.raises(ValueError):
            Chat.from_key(wrong)
    with pytest.raises(ValueError):
        Chat(person="x", group="y")


def test_numbers_keep_two_digits() -> None:
    """No phone number can be read from what is logged."""
    assert redacted("User +15550001111 is gone") == "User +…11 is gone"
    assert str(Chat(person="+15550001111")) == "d:+…11"


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("/run/signal", Endpoint(path="/run/signal")),
        ("unix:/run/signal", Endpoint(path="/run/signal")),
        ("tcp:127.0.0.1:7583", Endpoint(host="127.0.0.1", port=7583)),
        ("localhost:7583", Endpoint(host="localhost", port=7583)),
        ("tcp:[::1]:7583", Endpoint(host="::1", port=7583)),
    ],
)
def test_endpoints_are_paths_or_ports_of_this_machine(text: str, endpoint: Endpoint) -> None:
    """Each form names what it says."""
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize(
    "text", ["", "signal", "unix:signal", "unix:", "tcp:7583", ":7583", "localhost:", "localhost:x"]
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    """The sentence says which forms there are."""
    with pytest.raises(ValueError, match="is no endpoint: give"):
        parse_endpoint(text)


@pytest.mark.parametrize("text", ["0.0.0.0:7583", "tcp:192.0.2.1:7583", "signal.example:7583", "[::]:7583"])
def test_other_machines_are_refused(text: str) -> None:
    """signal-cli asks nobody who they are, so nothing but loopback is spoken to."""
    with pytest.raises(ValueError, match="is not on this machine"):
        parse_endpoint(text)


async def test_a_message_arrives_with_all_that_belongs_to_it(daemon: FakeDaemon, signal: SignalCli) -> None:
    """Text, styles, files and quote stand on the phone as they were given, and the daemon knows every parameter."""
    alice = daemon.person("Alice", "+15550001111")
    asked = await alice.says("status?")

    quote = Quote(asked, alice.aci, "status?")
    sent = await signal.send(
        Chat(person=alice.aci), "👍 done", styles=["3:4:BOLD"], files=[PNG], quote=quote, silent=True
    )

    (_, message) = alice.screen().messages
    assert (message.text, message.styles, message.quote, message.silent) == ("👍 done", ("3:4:BOLD",), asked, True)
    assert message.files == [File("shot.png", "image/png", b"\x89PNG")]
    assert (sent.timestamp, sent.failed) == (message.timestamp, {})


async def test_an_edit_replaces_what_the_phone_shows(daemon: FakeDaemon, signal: SignalCli) -> None:
    """The message keeps its name, and shows its newest text."""
    alice = daemon.person("Alice")
    first = await signal.send(Chat(person=alice.aci), "1 of 2")
    await signal.send(Chat(person=alice.aci), "2 of 2", edits=first.timestamp)

    assert alice.screen().texts == ["2 of 2"]
    assert len(daemon.sent) == 1


async def test_a_reaction_replaces_the_one_before(daemon: FakeDaemon, signal: SignalCli) -> None:
    """A person sees the newest reaction only, and none after it was taken back."""
    alice = daemon.person("Alice")
    chat, said = Chat(person=alice.aci), await alice.says("go")
    await signal.react(chat, "👀", alice.aci, said)
    await signal.react(chat, "✅", alice.aci, said)
    assert alice.screen().reaction(said) == "✅"
    await signal.react(chat, "✅", alice.aci, said, remove=True)
    assert alice.screen().reaction(said) is None


async def test_typing_is_shown_and_stopped(daemon: FakeDaemon, signal: SignalCli) -> None:
    """A group sees that the bot types until it stops."""
    group = daemon.group("proj-a", [alice := daemon.person("Alice")])
    await signal.typing(Chat(group=group.group_id))
    assert alice.screen(group).typing
    await signal.typing(Chat(group=group.group_id), stop=True)
    assert not alice.screen(group).typing


@pytest.mark.parametrize("in_group", [False, True])
async def test_a_received_file_is_fetched(daemon: FakeDaemon, signal: SignalCli, in_group: bool) -> None:  # noqa: FBT001
    """Its bytes come back as they were sent, more than one chunk of them; a file that is gone is refused."""
    alice, data = daemon.person("Alice"), bytes(range(256)) * 4096
    group = daemon.group("proj-a", [alice]) if in_group else None
    await alice.says("see", group, attachments=[File("x.bin", "application/octet-stream", data)])
    (attachment_id,) = daemon.files

    chat = Chat.from_key(alice.key(group))
    assert await signal.attachment(attachment_id, chat) == data
    with pytest.raises(Refused, match="no such file"):
        await signal.attachment("other", chat)


async def test_groups_are_made_and_listed(daemon: FakeDaemon, signal: SignalCli) -> None:
    """A new group has its people in it, named by ACI."""
    alice = daemon.person("Alice", "+15550001111")
    group_id = await signal.create_group("proj-b", [alice.aci], "work")

    (group,) = await signal.groups()
    assert (group.group_id, group.name, group.is_member) == (group_id, "proj-b", True)
    assert group.members == (alice.aci, daemon.aci)
    assert daemon.groups[group_id].description == "work"


async def test_the_version_needs_no_account(daemon: FakeDaemon) -> None:
    """Whether the daemon lives can be asked before its account is right."""
    signal = SignalCli(parse_endpoint(daemon.endpoint), "+15550009999")
    assert await signal.version() == "0.14.6"
    await signal.aclose()


async def test_tcp_works_as_the_socket_does() -> None:
    """The same lines go over TCP."""
    async with FakeDaemon() as daemon:
        signal = SignalCli(parse_endpoint(f"tcp:{daemon.endpoint}"), daemon.account)
        alice = daemon.person("Alice")
        await signal.send(Chat(person=alice.aci), "hello")
        await signal.aclose()
        assert alice.screen().texts == ["hello"]


# What each failure of the daemon means for whoever sent; `wait` where the time is known.
DISPOSITIONS: list[tuple[str, type[SignalError], float | None]] = [
    ("network", NotSent, None),
    ("mixed", NotSent, None),
    ("prekey", NotSent, None),
    ("io", NotSent, None),
    ("rate limit", RateLimited, 5.0),
    ("limit as text", RateLimited, None),
    ("captcha", CaptchaNeeded, 86400.0),
    ("identity", Untrusted, Untrusted.WAIT_SECONDS),
    ("account", NoAccount, None),
    ("unregistered", Unregistered, None),
    ("not registered", Refused, None),
    ("captcha rejected", Refused, None),
    ("parameters", Refused, None),
    ("method", Refused, None),
    ("request", Refused, None),
    ("parse", Refused, None),
    ("internal", Unclear, None),
]


@pytest.mark.parametrize(("kind", "expected", "wait"), DISPOSITIONS, ids=[kind for kind, *_ in DISPOSITIONS])
async def test_each_failure_says_what_may_be_done_next(
    daemon: FakeDaemon, signal: SignalCli, kind: str, expected: type[SignalError], wait: float | None
) -> None:
    """Exactly this class, its wait where there is one, and no message on the phone."""
    alice = daemon.person("Alice")
    daemon.fails_next("send", kind)

    with pytest.raises(SignalError) as caught:
        await signal.send(Chat(person=alice.aci), "hello")

    assert type(caught.value) is expected
    assert getattr(caught.value, "wait_seconds", None) == wait
    assert "+1555" not in str(caught.value)
    assert alice.screen().texts == []
    await signal.send(Chat(person=alice.aci), "again")
    assert alice.screen().texts == ["again"]


def test_each_error_has_one_disposition() -> None:
    """What may be tried again, what not, and what is unclear, exclude each other."""
    for error in (CaptchaNeeded, RateLimited, Untrusted, NoAccount, NoDaemon, Unregistered):
        assert sum(issubclass(error, kind) for kind in (NotSent, Refused, Unclear)) == 1


async def test_a_captcha_names_its_challenge_and_what_to_do(daemon: FakeDaemon, signal: SignalCli) -> None:
    """The operator gets the token and the way to solve it."""
    alice = daemon.person("Alice")
    daemon.fails_next("send", "captcha")
    with pytest.raises(CaptchaNeeded) as caught:
        await signal.send(Chat(person=alice.aci), "hello")
    assert caught.value.token == "a-token"
    assert "submitRateLimitChallenge" in caught.value.remedy


async def test_a_new_key_stops_messages_until_it_is_trusted(daemon: FakeDaemon, signal: SignalCli) -> None:
    """Nothing goes to somebody whose key changed, and the remedy is to compare safety numbers."""
    alice = daemon.person("Alice")
    alice.changes_key()
    with pytest.raises(Untrusted) as caught:
        await signal.send(Chat(person=alice.aci), "hello")
    assert "safety number" in caught.value.remedy
    alice.is_trusted()
    await signal.send(Chat(person=alice.aci), "hello")


async def test_strangers_groups_and_empty_texts_are_refused(daemon: FakeDaemon, signal: SignalCli) -> None:
    """Trying these again changes nothing."""
    alice = daemon.person("Alice")
    with pytest.raises(Unregistered):
        await signal.send(Chat(person="+15550007777"), "hello")
    with pytest.raises(Refused, match="Group not found"):
        await signal.send(Chat(group="AAEC="), "hello")
    with pytest.raises(Refused, match="empty message"):
        await signal.send(Chat(person=alice.aci), "")


async def test_a_group_that_was_reached_in_part_is_sent_to(daemon: FakeDaemon, signal: SignalCli) -> None:
    """The message stands in the group, and who did not get it is named."""
    people = [daemon.person(name) for name in ("Alice", "Bob", "Carol")]
    group = daemon.group("proj-a", people)
    daemon.fails_next("send", "some")

    sent = await signal.send(Chat(group=group.group_id), "hello")

    assert sent.failed == {people[1].aci: "NETWORK_FAILURE", people[2].aci: "UNREGISTERED_FAILURE"}
    assert people[0].screen(group).texts == ["hello"]


async def test_a_group_of_nobody_else_is_sent_to(daemon: FakeDaemon, signal: SignalCli) -> None:
    """No results at all is success."""
    group = daemon.group("mine", [])
    assert (await signal.send(Chat(group=group.group_id), "note")).failed == {}


async def test_a_lost_answer_is_unclear(daemon: FakeDaemon, signal: SignalCli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The phone shows it, nobody said so, and it is not called unsent."""
    monkeypatch.setattr("handlers.signal_api._SEND_SECONDS", 0.2)
    alice = daemon.person("Alice")
    daemon.loses_response("send")
    with pytest.raises(Unclear, match="did not answer `send`"):
        await signal.send(Chat(person=alice.aci), "hello")
    assert alice.screen().texts == ["hello"]


@pytest.mark.parametrize("loss", ["cuts_response", "drops_request"])
async def test_an_end_before_the_answer_is_unclear(daemon: FakeDaemon, signal: SignalCli, loss: str) -> None:
    """Sent or not, both look the same from here; the next call makes a new connection."""
    alice = daemon.person("Alice")
    getattr(daemon, loss)("send")
    with pytest.raises(Unclear, match="before it answered"):
        await signal.send(Chat(person=alice.aci), "hello")
    assert alice.screen().texts == (["hello"] if loss == "cuts_response" else [])
    assert await signal.version() == "0.14.6"


async def test_no_daemon_is_definitely_not_sent(daemon: FakeDaemon, signal: SignalCli) -> None:
    """While it is away nothing goes out, and when it is back everything does, over a new connection."""
    alice = daemon.person("Alice")
    await signal.send(Chat(person=alice.aci), "before")
    await daemon.stop()
    with pytest.raises(NoDaemon) as caught:
        await signal.send(Chat(person=alice.aci), "meanwhile")
    assert "--receive-mode=manual" in caught.value.remedy
    await daemon.start()
    await signal.send(Chat(person=alice.aci), "after")
    assert alice.screen().texts == ["before", "after"]


async def test_a_connection_that_ended_unnoticed_is_replaced(
    daemon: FakeDaemon, signal: SignalCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When nothing of a request got out, it goes out once over a new connection."""
    alice, write = daemon.person("Alice"), Connection.write
    broken: list[Connection] = []
    await signal.version()

    async def breaks_once(connection: Connection, data: bytes) -> None:
        if not broken:
            broken.append(connection)
            raise BrokenPipeError("gone")
        await write(connection, data)

    monkeypatch.setattr(Connection, "write", breaks_once)
    await signal.send(Chat(person=alice.aci), "hello")
    assert alice.screen().texts == ["hello"]
    await daemon.until(lambda: len(daemon.clients) == 1)


async def test_a_request_that_broke_off_at_its_end_is_unclear(
    daemon: FakeDaemon, signal: SignalCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last bytes may have got through, so it is not written again."""
    alice, write = daemon.person("Alice"), Connection.write

    async def breaks_after(connection: Connection, data: bytes) -> None:
        await write(connection, data)
        if data.endswith(b"\n"):
            raise BrokenPipeError("gone")

    monkeypatch.setattr(Connection, "write", breaks_after)
    with pytest.raises(Unclear, match="while it was asked"):
        await signal.send(Chat(person=alice.aci), "hello")
    await daemon.until(lambda: alice.screen().texts == ["hello"])
    assert len(daemon.called("send")) == 1


async def test_a_daemon_that_started_offline_has_no_account(daemon: FakeDaemon, signal: SignalCli) -> None:
    """It says so until it is restarted, and so does the remedy."""
    alice = daemon.person("Alice")
    await daemon.restart(offline=True)
    with pytest.raises(NoAccount) as caught:
        await signal.send(Chat(person=alice.aci), "hello")
    assert "restart" in caught.value.remedy
    await daemon.restart()
    await signal.send(Chat(person=alice.aci), "hello")


async def test_answers_come_in_any_order(daemon: FakeDaemon, signal: SignalCli) -> None:
    """A slow message holds up no other call, and each call gets its own answer."""
    alice, bob = daemon.person("Alice"), daemon.person("Bob")
    release = daemon.answers_late("send")
    slow = asyncio.create_task(signal.send(Chat(person=alice.aci), "slow"))
    await daemon.until(lambda: alice.screen().texts)

    fast = await signal.send(Chat(person=bob.aci), "fast")
    assert not slow.done()
    release.set()

    assert fast.timestamp == bob.screen().messages[0].timestamp
    assert (await slow).timestamp == alice.screen().messages[0].timestamp


async def test_who_gives_up_breaks_nothing_for_others(daemon: FakeDaemon, signal: SignalCli) -> None:
    """A cancelled call leaves the connection to the others, and its late answer is nobody's."""
    alice = daemon.person("Alice")
    release = daemon.answers_late("send")
    call = asyncio.create_task(signal.send(Chat(person=alice.aci), "slow"))
    await daemon.until(lambda: alice.screen().texts)
    call.cancel()
    await asyncio.wait([call])
    release.set()

    assert await signal.version() == "0.14.6"
    assert len(daemon.clients) == 1


async def test_closing_ends_waiting_calls_as_unclear(daemon: FakeDaemon, signal: SignalCli) -> None:
    """Nobody waits for an answer that can no longer come."""
    alice = daemon.person("Alice")
    daemon.loses_response("send")
    call = asyncio.create_task(signal.send(Chat(person=alice.aci), "hello"))
    await daemon.until(lambda: alice.screen().texts)
    await signal.aclose()
    with pytest.raises(Unclear):
        await call


async def test_messages_on_the_connection_for_calls_are_dropped(short_path: Path) -> None:
    """A daemon in auto mode sends everything to everybody: it is said once and disturbs no answer."""
    async with FakeDaemon(path=short_path / "signal", mode="auto") as daemon:
        signal = SignalCli(parse_endpoint(daemon.endpoint), daemon.account)
        alice = daemon.person("Alice")
        with capture_logs() as logs:
            await signal.version()
            for number in range(3):
                await alice.says(f"secret {number}")
            await daemon.until(lambda: len(daemon.acked) == 3)
            await signal.send(Chat(person=alice.aci), "hello")
        await signal.aclose()

    assert [entry["event"] for entry in logs].count(
        "signal-cli runs in auto mode and loses messages while nobody listens"
    ) == 1
    assert "secret" not in str(logs)
    assert alice.screen().texts == ["hello"]


@contextmanager
def deaf(path: Path) -> Iterator[str]:
    """Somebody who takes connections and reads nothing."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield str(path)


FILE = "data:a/b;base64," + "A" * 8_000_000


async def test_a_file_that_does_not_get_out_is_not_sent(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that could not be written whole cannot have been understood, so it is not unclear."""
    monkeypatch.setattr("handlers.signal_api._SEND_SECONDS", 0.2)
    with deaf(short_path / "deaf") as endpoint:
        async with aclosing(SignalCli(parse_endpoint(endpoint), "+15550000000")) as signal:
            with pytest.raises(NotSent, match="did not answer"):
                await signal.send(Chat(person="x"), "x", files=[FILE])
            with pytest.raises(Unclear, match="did not answer"):
                await signal.send(Chat(person="x"), "x")


async def test_closing_ends_who_still_writes(short_path: Path) -> None:
    """A file that is half out when the transport is closed was not sent, and is not waited for."""
    with deaf(short_path / "deaf") as endpoint:
        signal = SignalCli(parse_endpoint(endpoint), "+15550000000")
        call = asyncio.create_task(signal.send(Chat(person="x"), "x", files=[FILE]))
        while signal._calls._link is None or not signal._calls._link._writing:
            await asyncio.sleep(0)
        await signal.aclose()
        async with asyncio.timeout(10):
            with pytest.raises(NotSent, match="while it was asked"):
                await call
