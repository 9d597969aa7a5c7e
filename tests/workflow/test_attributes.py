"""By what lists of sessions can be filtered, and what that costs in history."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.converter import PayloadConverter

from activities.calls import PermissionNeeded, SendTurn, TurnStep
from runtime.codec import converter
from runtime.keys import Key
from tests.workflow.conftest import Desk, ScriptedHost, answer
from workflows import attributes
from workflows.approvals import Answer
from workflows.attributes import COST_USD, HANDLER, HOST, KEYWORD_CAP, PROJECT, STATUS, TURNS
from workflows.client import Sessions
from workflows.messages import OpenSession, SessionOptions, workflow_id
from workflows.session import SessionWorkflow

UPSERTED = EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES
ASKS = PermissionNeeded(turn_id="", request_id="r", tool="Bash", input={}, digest="d")


async def upserts(desk: Desk) -> list[dict[str, Any]]:
    """What each event of the session's history changed, oldest first, over all its runs."""
    latest, found = await desk.handle.fetch_history(), []
    run_id = latest.events[0].workflow_execution_started_event_attributes.first_execution_run_id
    while run_id:
        history = await desk.handle._client.get_workflow_handle(desk.handle.id, run_id=run_id).fetch_history()
        found += [
            event.upsert_workflow_search_attributes_event_attributes.search_attributes.indexed_fields
            for event in history.events
            if event.event_type == UPSERTED
        ]
        run_id = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    read = PayloadConverter.default.from_payload
    return [{name: read(payload) for name, payload in fields.items()} for fields in found]


async def listed(client: Client, query: str) -> set[str]:
    return {execution.id async for execution in client.list_workflows(query)}


def asking(host: ScriptedHost) -> Callable[[SendTurn], TurnStep | Exception]:
    """claude asks in each turn, and goes on when it has its answer."""

    def script(call: SendTurn) -> TurnStep | Exception:
        if not call.asked:
            return TurnStep(permission=replace(ASKS, turn_id=call.turn_id))
        return answer(call) if any(given.request_id == "r" for given in host.answers) else host.busy()

    return script


async def test_a_turn_costs_two_events_at_most(desk: Desk, host: ScriptedHost) -> None:
    """One event when it begins and one when it ends, with status, turns and cost together."""
    await desk.open()
    before = await upserts(desk)
    for text in ("one", "two"):
        await desk.turn(await desk.send(text))

    assert (await upserts(desk))[len(before) :] == [
        {"ClaudeStatus": "busy"},
        {"ClaudeStatus": "ready", "ClaudeTurns": 1, "ClaudeCostUsd": 0.25},
        {"ClaudeStatus": "busy"},
        {"ClaudeStatus": "ready", "ClaudeTurns": 2, "ClaudeCostUsd": 0.5},
    ]
    assert before == [{"ClaudeStatus": "ready", "ClaudeHost": "here"}]


async def test_queued_turns_do_not_toggle(desk: Desk, host: ScriptedHost) -> None:
    """Between two queued turns the session stays busy: one event for each turn, and one more in the end."""
    host.hold()
    await desk.open()
    before = len(await upserts(desk))
    turns = [await desk.send(f"turn {number}") for number in range(3)]
    host.may_end = True
    for turn in turns:
        await desk.turn(turn)

    assert (await upserts(desk))[before:] == [
        {"ClaudeStatus": "busy"},
        {"ClaudeTurns": 1, "ClaudeCostUsd": 0.25},
        {"ClaudeTurns": 2, "ClaudeCostUsd": 0.5},
        {"ClaudeStatus": "ready", "ClaudeTurns": 3, "ClaudeCostUsd": 0.75},
    ]


async def test_no_event_repeats_what_is_known(desk: Desk, host: ScriptedHost) -> None:
    """Through deaths, questions and sleep, no event holds a value that was there already."""
    desk.sessions = Sessions(desk.handle._client, SessionOptions(idle_seconds=60))
    host.script = asking(host)
    host.dies(2, after=timedelta(seconds=2))
    await desk.open()
    await desk.until(lambda: len(host.starts) == 3)
    turn = await desk.send("ask")
    await desk.reaches("awaiting_approval")
    await desk.sessions.resolve(desk.session_id, Answer(approval_id="a1", decision="allow"))
    await desk.turn(turn)
    await desk.skip(timedelta(seconds=70))
    await desk.reaches("hibernated")
    await desk.turn(await desk.send("again", turn_id="again"))
    await desk.sessions.stop(desk.session_id)

    known: dict[str, Any] = {"ClaudeStatus": "starting", "ClaudeTurns": 0, "ClaudeCostUsd": 0.0}
    changed = await upserts(desk)
    statuses = [change["ClaudeStatus"] for change in changed if "ClaudeStatus" in change]
    for change in changed:
        assert change
        assert [name for name, value in change.items() if known.get(name) == value] == []
        known |= change
    assert {"restarting", "awaiting_approval", "hibernated", "busy", "ready", "stopping"} < set(statuses)
    assert (statuses[-1], known["ClaudeTurns"]) == ("stopped", 2)


async def test_a_new_run_has_them_from_the_last(desk: Desk, host: ScriptedHost) -> None:
    """They are carried, so no run begins with an event for them, and the list keeps its values."""
    desk.sessions = Sessions(desk.handle._client, SessionOptions(history_limit=60))
    await desk.open()
    for number in range(8):
        # No clock is moved: one that runs ahead of the answer would put the session to sleep.
        await desk.sessions.wait_turn(desk.session_id, await desk.send(f"turn {number}"))

    described = (await desk.handle.describe()).typed_search_attributes
    per_value = Counter(change.get("ClaudeTurns") for change in await upserts(desk))

    first = (await desk.handle.fetch_history()).events[0].workflow_execution_started_event_attributes
    assert first.continued_execution_run_id
    assert {key: described.get(key) for key in (STATUS, PROJECT, HOST, HANDLER, TURNS, COST_USD)} == {
        STATUS: "ready",
        PROJECT: "/project",
        HOST: "here",
        HANDLER: "cli",
        TURNS: 8,
        COST_USD: 2.0,
    }
    assert [per_value[number] for number in range(1, 9)] == [1] * 8


async def test_a_session_from_before_lives_on_without(client: Client, desk: Desk, host: ScriptedHost) -> None:
    """Who was started without them gets none: its history, replayed, has no place for such an event."""
    opened = OpenSession(session_id=desk.session_id, project_path="/project")
    await client.start_workflow(
        SessionWorkflow.run, opened, id=workflow_id(desk.session_id), task_queue="claude-sessions"
    )
    await desk.turn(await desk.send("hello"))

    # The SDK's own word about a patch, which whoever is opened by a client of today does without.
    assert await upserts(desk) == [{"TemporalChangeVersion": ["writes-less"]}]
    assert (await desk.handle.describe()).typed_search_attributes.get(STATUS) is None


async def test_with_a_key_the_project_stays_out(client: Client) -> None:
    """Search attributes are in the clear: with a key, the path is not among them, and the others are."""
    config: dict[str, Any] = {**client.config(), "data_converter": converter([Key(secret=b"k" * 32)])}
    for name, sessions in (("secret", Sessions(Client(**config))), ("plain", Sessions(client))):
        await sessions.open(f"/{name}", session_id=f"key-{name}")

    found = {
        name: (await client.get_workflow_handle(f"session-key-{name}").describe()).typed_search_attributes
        for name in ("secret", "plain")
    }

    assert [found[name].get(PROJECT) for name in ("secret", "plain")] == [None, "/plain"]
    assert [found[name].get(STATUS) for name in ("secret", "plain")] == ["starting", "starting"]
    for name in found:
        await client.get_workflow_handle(f"session-key-{name}").terminate()


@pytest.mark.parametrize("path", ["/short", "/" + "x" * (KEYWORD_CAP - 1), "/long/" + "x" * 400 + "/end"])
def test_a_long_path_keeps_its_end(path: str) -> None:
    """A Keyword has at most 255 characters; what tells projects apart is at the end of a path."""
    shown = attributes.shortened(path)

    assert len(shown) <= KEYWORD_CAP
    assert path.endswith(shown.removeprefix("…"))
    assert (shown == path) == (len(path) <= KEYWORD_CAP)


async def test_sessions_are_found_by_what_they_do(client: Client, desk: Desk, host: ScriptedHost) -> None:
    """Host, handler, project, turns and cost find a session; what does not fit does not."""
    desk.sessions = Sessions(client, handler="signal")
    await desk.open()
    await desk.turn(await desk.send("hello"))
    mine = f"WorkflowId = '{desk.handle.id}'"
    fits = [
        "ClaudeStatus = 'ready' AND ClaudeHost = 'here' AND ClaudeHandler = 'signal'",
        "ClaudeProject = '/project' AND ClaudeTurns >= 1",
        "ClaudeProject STARTS_WITH '/pro' AND ClaudeCostUsd > 0.2 AND ClaudeCostUsd < 0.3",
    ]
    others = ["ClaudeHandler = 'cli'", "ClaudeHost = 'there'", "ClaudeTurns > 1", "ClaudeCostUsd > 0.25"]

    async with asyncio.timeout(30):
        while await listed(client, f"{mine} AND ClaudeTurns = 1") != {desk.handle.id}:
            await asyncio.sleep(0.05)

    assert [await listed(client, f"{mine} AND {query}") for query in fits] == [{desk.handle.id}] * len(fits)
    assert [await listed(client, f"{mine} AND {query}") for query in others] == [set()] * len(others)
