"""How the scripted Messages API finds its place in a script."""

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from demo.messages_api import Fails, Hold, MessagesApi, Step, Text, Tool, Tools, read_prompt


def said(*texts: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text} for text in texts]}


def answered(*more: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}, *more]}


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "text": content}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([{"role": "user", "content": "hello"}], ("hello", 0)),
        ([said("hello"), {"role": "assistant", "content": []}, said("next")], ("next", 0)),
        ([said("<system-reminder>x", "hello", "<system-reminder>y")], ("hello", 0)),
        ([said("hello"), answered(), answered()], ("hello", 2)),
        ([said("hello"), answered(text("<system-reminder>x"))], ("hello", 1)),
        ([said("hello"), answered(text("[Request interrupted by user]"), text("next"))], ("next", 0)),
        ([said("hello\n", "[Image: source: /tmp/1.png]")], ("hello", 0)),
        ([said("hello"), {"role": "system", "content": "x"}], ("hello", 0)),
        ([], ("", 0)),
    ],
    ids=[
        "plain",
        "newest",
        "reminders",
        "two tools",
        "tool and reminder",
        "after an interrupt",
        "image",
        "system last",
        "none",
    ],
)
def test_the_prompt_is_what_a_person_said_last(messages: list[dict[str, Any]], expected: tuple[str, int]) -> None:
    """Reminders that the CLI adds are not said by anybody, and tool answers are counted since the prompt."""
    assert read_prompt(messages) == expected


async def ask(api: MessagesApi, *messages: dict[str, Any]) -> str:
    """The reply's text, or `Tool(name)` when it ends with a tool call."""

    def post() -> bytes:
        body = json.dumps({"model": "m", "messages": list(messages)}).encode()
        request = urllib.request.Request(api.url + "/v1/messages", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            return bytes(response.read())

    events = [
        json.loads(line[6:]) for line in (await asyncio.to_thread(post)).splitlines() if line.startswith(b"data:")
    ]
    words = "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")
    tools = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    return words + "".join(f"Tool({block['name']})" for block in tools if block["type"] == "tool_use")


async def test_each_reply_goes_to_the_next_tool_and_the_turn_is_answered_once() -> None:
    """What follows a tool in the script comes when the tool has answered."""
    async with MessagesApi({"go": [Text("two words"), Tool("Bash", {"command": "ls"}), Text("done")]}) as api:
        first, second = await ask(api, said("go")), await ask(api, said("go"), answered())

    assert (first, second) == ("two wordsTool(Bash)", "done")
    assert (api.asked["go"], api.answered["go"]) == (2, 1)


async def test_a_held_reply_waits_for_its_release() -> None:
    """The request is counted before, the answer comes after."""
    async with MessagesApi({"wait": [Hold(), Text("now")]}) as api:
        asking = asyncio.create_task(ask(api, said("wait")))
        await api.wait_asked("wait")
        assert api.answered["wait"] == 0

        api.release("wait")

        assert await asking == "now"


async def test_unknown_prompts_are_agreed_with_or_asked_about() -> None:
    """A function may answer every prompt; without one the model says ok."""
    async with MessagesApi() as plain, MessagesApi(lambda prompt: [Text(prompt.upper())]) as function:
        assert (await ask(plain, said("hello")), await ask(function, said("hello"))) == ("ok", "HELLO")


async def test_several_tools_are_one_reply() -> None:
    """What follows them comes when all have answered."""
    steps: list[Step] = [Tools([Tool("Bash", {"command": "ls"}), Tool("Read", {"file_path": "a"})]), Text("done")]
    async with MessagesApi({"go": steps}) as api:
        first, second = await ask(api, said("go")), await ask(api, said("go"), answered())

    assert (first, second) == ("Tool(Bash)Tool(Read)", "done")


async def test_a_failure_is_an_answer_of_the_api() -> None:
    """It has the status and the body of a real one, however often it is asked for."""
    async with MessagesApi({"go": [Fails(529, "overloaded_error", "Overloaded")]}) as api:
        for _ in range(2):
            with pytest.raises(urllib.error.HTTPError, match="529") as failure:
                await ask(api, said("go"))
            with failure.value as answer:
                assert json.load(answer)["error"] == {"type": "overloaded_error", "message": "Overloaded"}
