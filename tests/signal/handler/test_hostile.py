"""What no phone of a friend would send: forged, broken, huge and repeated things do nothing that they should not."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from handlers.signal.envelope import Received, read
from tests.signal.handler.scene import Scene, until
from tests.signal.network import ACCOUNT, Edit, File, Message
from tests.signal.phone import envelope

SAMPLES: dict[str, Any] = json.loads((Path(__file__).parents[1] / "samples.json").read_text())
ACI = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NUMBER = re.compile(r"\+[1-9][0-9]{4,15}")
RTL, HIDDEN = "\u202e", "\u2066\u200b\x07\x1b[2J"
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\ud800", "+15550001111", "DELIVER", "UPDATE", 2**63, -1, 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(told: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Each place in a value of lists and objects."""
    inner = told.items() if isinstance(told, dict) else enumerate(told) if isinstance(told, list) else ()
    return [at, *(place for name, value in inner for place in places(value, (*at, name)))]


def changed(told: Any, at: tuple[Any, ...], value: Any) -> Any:
    """The same with another value there."""
    if not at:
        return value
    told = deepcopy(told)
    target = told
    for name in at[:-1]:
        target = target[name]
    target[at[-1]] = value
    return told


def is_sound(received: Received | None) -> bool:
    """Whether it can be kept and answered: somebody wrote it, at a time that is one, in a chat that is one."""
    if received is None:
        return True
    received.key.encode()
    received.chat.key.encode()
    return (
        bool(ACI.fullmatch(received.aci) or NUMBER.fullmatch(received.number))
        and 0 < received.timestamp < 2**53
        and 0 <= received.target < 2**53
        and len(received.chat.key) < 200
    )


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_whatever_is_told_is_read_or_passed_over(name: str, data: st.DataObject) -> None:
    """Any value in any place of any message: nothing is raised, and nothing without a sender is read."""
    told = SAMPLES[name]
    for _ in range(data.draw(st.integers(1, 3))):
        if isinstance(told, dict):
            told = changed(told, data.draw(st.sampled_from(places(told))), data.draw(JUNK))
    if isinstance(told, dict):
        assert is_sound(read(told, ACCOUNT))


@given(JUNK)
def test_nonsense_is_nobodys(told: Any) -> None:
    """A message that has no place for a sender has none."""
    assert read({"envelope": told}, ACCOUNT) is None


@pytest.fixture
async def scene(island: Scene) -> Scene:
    """A handler that runs, with one owner who was heard already."""
    await island.start()
    await island.barrier()
    return island


def said(scene: Scene, now: int = 0, **data: Any) -> dict[str, Any]:
    """The owner's message with these things in it."""
    body = {"dataMessage": {"timestamp": 1, "message": "/projects", "expiresInSeconds": 0, **data}}
    return envelope(scene.daemon, "Ada", scene.owner.aci, scene.owner.number, now or scene.daemon.now(), body)


DATA = ("envelope", "dataMessage")
NO_TIMES: list[Any] = [0, -1, True, 2**53, 2**63, 10**400, "1", 1.5, None, [1], {"a": 1}]
NO_DATA: list[Any] = [None, [], "x", 7]
NO_TEXTS: list[Any] = [7, ["/projects"], {"text": "/projects"}, True]
NO_GROUPS: list[Any] = [{"groupId": odd} for odd in (7, "", "a/../b\n", "\ud800", None)]
ODD = [
    *((("envelope", "timestamp"), odd) for odd in NO_TIMES),
    *((DATA, odd) for odd in NO_DATA),
    *(((*DATA, "message"), odd) for odd in NO_TEXTS),
    *(((*DATA, "groupInfo"), odd) for odd in NO_GROUPS),
]


@pytest.mark.parametrize(("place", "value"), ODD)
async def test_wrong_types_are_passed_over(scene: Scene, place: tuple[str, ...], value: Any) -> None:
    """A message with a value of the wrong kind is no message, and the next one is heard."""
    before = len(scene.owner.screen().texts)
    await scene.daemon.until_subscribed()
    await scene.daemon.writes(as_received(changed(said(scene), place, value)))
    await scene.barrier()
    assert len(scene.owner.screen().texts) == before + 1
    assert not scene.service.job.done()


async def test_broken_lines_are_passed_over(scene: Scene) -> None:
    """What is no JSON, or nested without end, costs a line of the log, which has no word of it."""
    with capture_logs() as logs:
        for raw in (b"{secret", b"\xff\xfesecret", b"[" * 100_000, b'{"envelope":' * 5000, b"null", b'"secret"', b""):
            await scene.daemon.writes(raw + b"\n")
        await scene.barrier()
    assert "secret" not in str(logs)
    assert not scene.service.job.done()


async def test_a_text_of_64_kib_is_refused_in_words(scene: Scene) -> None:
    """It is kept and answered like any other, and the answer is short."""
    assert (await scene.asks("/start " + "x" * 64 * 1024)).startswith("That is no name of a project")
    assert (await scene.asks("x" * 64 * 1024)).startswith("No session is open here")


async def test_half_a_character_harms_nobody(stage: Scene) -> None:
    """A lone surrogate, which is no text, in a command, a message or a group: it is answered, and nothing falls over."""
    await stage.start()
    group = stage.daemon.group("work", [stage.owner])
    await stage.asks("/start shop", to=group)
    await stage.opens()
    for to in (None, group):
        for text in (
            "/start \ud800",
            "/level \ud800",
            "/file \ud800",
            "/resume \ud800x",
            "/deny a1 \ud800",
            "go \ud800",
        ):
            seen = len(stage.owner.screen(to).texts)
            now = stage.daemon.now()
            stage.daemon.room(stage.owner.key(to)).messages.append(Message(stage.owner.aci, now, [Edit(now, text)]))
            group_info = {"groupInfo": group.info} if to else {}
            await stage.daemon.writes(as_received(said(stage, now, message=text, **group_info)))
            await stage.next(seen, to=to)
            assert not stage.service.job.done()
    await stage.settled()
    assert all(text.startswith("go ") for text in stage.ran)


async def test_what_hides_is_written_out(stage: Scene) -> None:
    """Directions, controls and invisible characters in a command, a name and an answer are shown, not obeyed."""
    stage.claude.command = f"rm {RTL}txt.exe{HIDDEN}"
    odd = stage.roots / f"odd{RTL}name"
    odd.mkdir()
    (stage.shop / f"a{RTL}b.txt").write_text("x")
    await stage.start()
    await stage.opens()
    prompt = await stage.prompt()
    await stage.owner.reacts("👍", prompt.timestamp)
    await until(lambda: stage.decided == ["allow"])
    stage.claude.texts[f"say {RTL}"] = f"done {RTL}{HIDDEN}"
    await stage.owner.says(f"say {RTL}")
    await stage.owner.sees(lambda screen: any(text.startswith("done") for text in screen.texts))
    projects = await stage.asks("/projects")
    assert (await stage.asks(f"/start odd{RTL}name")).startswith("This chat is for")
    assert await stage.asks(f"/file a{RTL}b.txt") == "a_b.txt"
    shown = "".join([prompt.text, projects, *stage.owner.screen().texts])
    assert "rm \\u202etxt.exe\\u2066\\u200b\\x07\\x1b[2J" in prompt.text
    assert "odd\\u202ename" in projects
    assert not {RTL, *HIDDEN[:4]} & set(shown)
    assert stage.ran[-1] == f"say {RTL}"


async def test_names_of_files_lead_nowhere(stage: Scene) -> None:
    """An attachment's name is the sender's word: what is a path, hidden or a device becomes a plain name."""
    await stage.start()
    await stage.opens()
    names = ["../../../etc/cron.d/x", "..\\..\\x.txt", f"/root/.ssh/{RTL}id", "con.txt", ".", "\0", "x" * 300]
    await stage.owner.says("see", attachments=[File(name, "text/plain", b"x") for name in names])
    await until(lambda: stage.host.sent)
    paths = [Path(path) for path in stage.host.sent[0].attachments]
    assert [path.name for path in paths[:4]] == ["0-x.txt", "1-x.txt", "2-_id.txt", "3-_con.txt"]
    assert len({path.parent for path in paths}) == 1
    assert all(path.is_relative_to(stage.state / "received") and path.read_bytes() == b"x" for path in paths)
    assert sorted(paths) == sorted(paths[0].parent.iterdir())


async def test_a_decision_is_not_replayed(stage: Scene) -> None:
    """The same reaction again, from the network or from another device, decides no later question."""
    await stage.start()
    await stage.opens()
    first = await stage.prompt("ask once")
    at = await stage.owner.reacts("👍", first.timestamp)
    await stage.owner.sees(lambda screen: "answer to ask once" in screen.texts)
    second = await stage.prompt("ask twice")
    stage.daemon.repeats(at)
    again = deepcopy(next(one for one in stage.daemon.acked if one["envelope"]["timestamp"] == at))
    again["envelope"]["sourceDevice"] = 2
    stage.daemon.arrives(again)
    await stage.barrier()
    assert stage.decided == ["allow"]
    await stage.owner.reacts("👎", second.timestamp)
    await until(lambda: stage.decided == ["allow", "deny"])


async def test_a_command_is_not_repeated(stage: Scene) -> None:
    """The same message again, from a bad network or after a restart, is done once."""
    await stage.start()
    await stage.opens("go")
    await stage.owner.sees(lambda screen: "answer to go" in screen.texts)
    begun = stage.owner.screen().messages[0].timestamp
    for _ in range(3):
        stage.daemon.repeats(begun)
    await stage.barrier()
    await stage.restart()
    stage.daemon.repeats(begun)
    await stage.barrier()
    assert len(stage.host.starts) == 1
    assert sum(text.startswith("Session ") for text in stage.owner.screen().texts) == 1


async def test_a_forged_quote_is_no_answer(stage: Scene) -> None:
    """A quote that names somebody else, nobody, or the handler in the wrong field is a message like any other."""
    await stage.start()
    await stage.opens()
    prompt = await stage.prompt()
    account = stage.daemon.account
    for author in (
        {"author": account, "authorNumber": None, "authorUuid": stage.stranger.aci},
        {"author": account},
        {"authorNumber": f"{account} ", "authorUuid": account},
        {"authorNumber": [account], "authorUuid": {}},
    ):
        now = await stage.owner.says("yes")
        stage.daemon.queue[-1]["envelope"]["dataMessage"]["quote"] = {"id": prompt.timestamp, "text": "❓", **author}
        assert now
    await stage.barrier()
    assert stage.decided == []
    assert len((await stage.sessions.status(stage.session())).approvals) == 1


def as_received(told: Any) -> bytes:
    """The line by which signal-cli hands it over."""
    return (
        json.dumps({"jsonrpc": "2.0", "method": "receive", "params": {"subscription": 0, "result": told}}).encode()
        + b"\n"
    )
