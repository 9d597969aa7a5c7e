"""What the Web UI shows comes from histories and metadata: every step says what it is for, every handler what it takes."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext

from temporalio.api.enums.v1 import EventType
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from activities.session import SessionActivities
from tests.replay.lives import LIVES, OPTIONS, OWN_HOSTS, Life
from tests.workflow.conftest import Desk, ScriptedHost, host_working, workflows_working
from workflows.messages import SessionOptions

SCHEDULED, STARTED = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, EventType.EVENT_TYPE_TIMER_STARTED
# Between them they have every activity and every timer of a session.
KINDS = ("turns", "crashed", "allowed", "unanswered", "asleep", "aged", "too_long", "read_back")


async def test_every_activity_and_timer_says_what_it_is_for(environment: WorkflowEnvironment, client: Client) -> None:
    """In the histories of lives that have all of them, no step of the timeline is without its summary."""
    activities, timers, silent = set[str](), set[str](), list[str]()
    for kind in KINDS:
        host, desk = ScriptedHost(), Desk(environment, OPTIONS.get(kind, SessionOptions()))
        async with workflows_working(client, host), nullcontext() if kind in OWN_HOSTS else host_working(client, host):
            await LIVES[kind](Life(client=client, desk=desk, host=host))
        for event in (await desk.handle.fetch_history()).events:
            summary = json.loads(event.user_metadata.summary.data or '""')
            if event.event_type == SCHEDULED:
                activities.add(event.activity_task_scheduled_event_attributes.activity_type.name)
            if event.event_type == STARTED:
                timers.add(re.sub(r"\ba\d+\b", "a1", summary))
            if event.event_type in (SCHEDULED, STARTED) and not summary.strip():
                silent.append(f"{kind}: {event}")

    assert silent == []
    assert activities == {name for name in vars(SessionActivities) if not name.startswith("_")}
    assert {"next look: idle until hibernation", "pause before the restart", "question a1 waits"} <= timers


async def test_every_handler_says_what_it_takes(desk: Desk, host: ScriptedHost) -> None:
    """Each signal, query and update has a description, with an input to copy or the word that it needs none."""
    await desk.open()
    metadata = await desk.handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    definition = metadata.definition
    described = {
        handler.name: handler.description
        for handlers in (definition.signal_definitions, definition.update_definitions, definition.query_definitions)
        for handler in handlers
        if not handler.name.startswith("__")
    }

    assert {"stop", "send", "interrupt", "resolve_permission", "status"} <= set(described)
    assert [name for name, text in described.items() if not re.search(r"(Input|Argument): .|Needs no", text)] == []
