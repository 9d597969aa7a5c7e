"""Sessions from a phone: the handler as a process, the real CLI and a real server; only Signal's network is a fake."""

from collections.abc import AsyncIterator

import pytest

from demo.messages_api import Hold, Text, Tool
from tests.e2e.post import Post, posting
from tests.signal.network import Message
from tests.signal.phone import Person, Screen


@pytest.fixture(scope="module")
async def post() -> AsyncIterator[Post]:
    """A scene with a handler, shared by all tests of the file."""
    async with posting() as started:
        yield started


async def shown(person: Person, text: str) -> Message:
    """The bot's newest message with this text, once it is on the phone."""

    def find(screen: Screen) -> Message | None:
        written = [message for message in screen.messages if message.author == screen.network.aci]
        return next((message for message in reversed(written) if text in message.text), None)

    found = await person.sees(find)
    assert found is not None
    return found


async def test_from_the_phone_to_a_tool_and_back(post: Post) -> None:
    """Start, turn, question, reaction, tool, answer, stop: what is on the phone is what happened."""
    alice = post.alice
    target = post.scene.stage.project / "made.txt"
    post.scene.api.script["make it"] = [
        Tool("Bash", {"command": f"echo done > {target}", "description": "make it"}),
        Text("It is **made**."),
    ]
    begun = await alice.says("/start app make it")
    prompt = await shown(alice, "❓")
    assert alice.screen().reaction(begun) == "👀"
    assert f"echo done > {target}" in prompt.text
    assert not target.exists()
    await alice.reacts("👍", prompt.timestamp)
    answer = await shown(alice, "It is made.")
    await alice.sees(lambda screen: screen.reaction(begun) == "✅")
    assert answer.styles == ("6:4:BOLD",)
    assert target.read_text() == "done\n"
    assert alice.screen().reaction(prompt.timestamp) == "✅"
    await alice.says("/stop")
    await alice.sees(lambda screen: any(text.startswith("Stopped") for text in screen.texts))


async def test_who_wants_everything_sees_the_work(post: Post) -> None:
    """The tools that claude uses are in one message that makes no sound; the answer is another one."""
    alice, api = post.alice, post.scene.api
    seen = post.scene.stage.project / "seen.txt"
    seen.write_text("a line")
    api.script["look around"] = [Tool("Read", {"file_path": str(seen)}), Hold(), Text("Seen.")]
    await alice.says("/level everything")
    await alice.says("/start app look around")
    progress = await shown(alice, "⚙ Read: ")
    api.release("look around")
    await shown(alice, "Seen.")
    silent = [params.get("noUrgent", False) for params in post.daemon.called("send") if "⚙" in params["message"]]
    await alice.says("/level milestones")
    await alice.says("/stop")
    await alice.sees(lambda screen: screen.texts[-1].startswith("Stopped"))

    assert str(seen) in progress.text
    assert set(silent) == {True}
