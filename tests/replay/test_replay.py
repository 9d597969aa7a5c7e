"""Sessions live for weeks: what the workflow does today must fit to the history of every kind of life from before."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Interceptor, Replayer

from runtime import logs
from runtime.codec import converter
from tests.replay.lives import KEY, LIVES
from tests.replay.record import HISTORIES, AlreadyKept, keep, path_of
from tests.workflow.conftest import RUNNER
from workflows.messages import WORKFLOW_TYPE, OpenSession, SessionReport
from workflows.session import SessionWorkflow
from workflows.spans import SessionSpans

KEPT = sorted(HISTORIES.glob("*.json"))

# What each kind must have in it to be of that kind; a history without it proves nothing.
MARKS = {
    "turns": ["EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED", '"cancel_turn"', '"stop_claude"'],
    "begun_with_a_message": ["EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED", '"first"'],
    "begun_and_waited_for": ['"wait_ready"', '"ask"', "EVENT_TYPE_TIMER_CANCELED"],
    "crashed": ["EVENT_TYPE_ACTIVITY_TASK_FAILED", "EVENT_TYPE_TIMER_FIRED"],
    "given_up": ["EVENT_TYPE_WORKFLOW_EXECUTION_FAILED"],
    "allowed": ['"answer_permission"'],
    "denied": ['"answer_permission"'],
    "unanswered": ['"answer_permission"', "EVENT_TYPE_TIMER_FIRED"],
    "asleep": ["EVENT_TYPE_TIMER_FIRED", '"stop_claude"'],
    "aged": ["EVENT_TYPE_TIMER_FIRED"],
    "host_away": ["TIMEOUT_TYPE_SCHEDULE_TO_START"],
    "interrupted": ['"interrupt_turn"'],
    "read_back": ['"read_answer"'],
    "many_runs": ["EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW"],
    "stopped_by_signal": ["EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED"],
    "cancelled": ["EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED", "EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED"],
    "listed": ["EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES", "EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW"],
    "encrypted": ["encryption-key-id"],
    "told": ['"notify"', '"core_patch"', "EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW"],
    "brief": ["EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW"],
    "found": ['"core_patch"', "EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES"],
}


@workflow.defn(name=WORKFLOW_TYPE)
class ChangedWorkflow(SessionWorkflow):
    """A session that begins with one activity more than those that live."""

    @workflow.init
    def __init__(self, opened: OpenSession) -> None:
        super().__init__(opened)

    @workflow.run
    async def run(self, opened: OpenSession) -> SessionReport:
        """Do something that no kept history has, and go on as usual."""
        await workflow.execute_activity("one_more", start_to_close_timeout=timedelta(seconds=1))
        return await super().run(opened)


def history(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(f"session-{path.name.partition('.')[0]}", path.read_text())


async def histories() -> AsyncIterator[WorkflowHistory]:
    for path in KEPT:
        yield history(path)


def replayer(kind: type, *interceptors: Interceptor) -> Replayer:
    return Replayer(
        workflows=[kind], workflow_runner=RUNNER, data_converter=converter([KEY]), interceptors=interceptors
    )


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
async def test_a_kept_history_still_replays(path: Path) -> None:
    """Whoever lives with this history can go on under the code of today."""
    replayed = await replayer(SessionWorkflow).replay_workflow(history(path))

    assert replayed.replay_failure is None


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
async def test_a_workflow_that_does_something_else_is_found(path: Path) -> None:
    """The check can fail: one activity more at the start fits to no kept history."""
    with pytest.raises(workflow.NondeterminismError):
        await replayer(ChangedWorkflow).replay_workflow(history(path))


def test_every_kind_of_life_is_kept() -> None:
    """No kind is without its history, and each history is of its kind."""
    names = {path.name.partition(".")[0] for path in KEPT}

    assert names == set(LIVES)
    assert path_of("many_runs", 1) in KEPT
    assert "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES" in path_of("listed", 1).read_text()
    assert "START_CHILD_WORKFLOW_EXECUTION_INITIATED" in path_of("told", 2).read_text()
    unmarked = [
        (kind, mark) for kind, marks in MARKS.items() for mark in marks if mark not in path_of(kind).read_text()
    ]
    assert unmarked == []
    brief = "".join(path.read_text() for path in KEPT if path.name.startswith("brief."))
    assert [mark in brief for mark in ('"answer_permission"', '"stop_claude"', '"core_patch"')] == [True, True, False]


def test_nothing_of_the_recording_machine_is_kept(tmp_path: Path) -> None:
    """A history that names a directory or the name of this machine is not written."""
    for private in (str(Path.cwd()), socket.gethostname()):
        with pytest.raises(ValueError, match="nothing of the recording machine is kept"):
            keep(tmp_path / "kind.json", json.dumps({"identity": f"4711@{private}"}))

    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_is_never_written_again(tmp_path: Path) -> None:
    """The recorder refuses to replace a history, whatever it would write."""
    path = tmp_path / "kind.json"
    keep(path, "{}")
    with pytest.raises(AlreadyKept, match=r"kind\.json is kept already"):
        keep(path, "{}")

    assert json.loads(path.read_text()) == {}


async def test_a_replay_says_nothing(stream: io.StringIO) -> None:
    """What a session did once is neither logged nor traced again by the worker that takes it over."""
    logs.configure("json", "debug", stream)
    spans = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    # Also for histories without a trace in them, as all kept ones are.
    tracing = SessionSpans(provider.get_tracer("replay"), always_create_workflow_spans=True)

    replayed = await replayer(SessionWorkflow, tracing).replay_workflows(histories())
    structlog.get_logger("workflows").debug("heard")

    assert replayed.replay_failures == {}
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["heard"]
    assert spans.get_finished_spans() == ()
