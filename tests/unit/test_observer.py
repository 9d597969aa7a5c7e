"""What becomes of an activity in metrics and logs, for what seldom happens."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from temporalio.exceptions import ApplicationError
from temporalio.runtime import MetricBuffer, Runtime, TelemetryConfig
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.calls import (
    AnswerPermission,
    ClaudeStarted,
    InterruptTurn,
    SendTurn,
    StartClaude,
    StopClaude,
    TurnStep,
    WatchClaude,
)
from activities.failures import NOT_READY, WORKER_DRAINING
from activities.figures import Figures
from activities.host import Host
from activities.observer import Observer
from activities.roster import Roster
from shim.paths import HostDirectory

CALL: dict[str, Any] = {"session_id": "s", "project_path": "/p", "generation": 3}
TURN = SendTurn(**CALL, turn_id="t", text="hello", offset=0)
EXIT = '{"generation": 1, "code": null, "signal": 9, "why": "exited", "tree": "empty", "survivors": [], "journal_bytes": 0, "at": 0}'


class Watched:
    """An observer, and what it has counted since it was last asked."""

    def __init__(self, tmp_path: Path) -> None:
        self._buffer = MetricBuffer(1000)
        self._runtime = Runtime(telemetry=TelemetryConfig(metrics=self._buffer))
        self.directory = HostDirectory(state=tmp_path / "state", run=tmp_path / "run")
        host = Host(host_id="h", directory=self.directory, executable=None, roots=(), environment={})
        self.roster = Roster()
        self.observer = Observer(host, self.roster, Figures(self._runtime.metric_meter))

    def counted(self) -> list[tuple[str, str]]:
        """Each counter that went up, with its label."""
        return [
            (update.metric.name.removeprefix("durable_claude_"), str(update.attributes.get(label, "")))
            for update in self._buffer.retrieve_updates()
            for label in ("outcome", "reason", "decision")
            if update.metric.kind == 0 and update.value and label in update.attributes
        ]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_a_start_that_fails_is_counted_and_one_that_is_handed_over_is_not(watched: Watched) -> None:
    """A draining worker's start goes on with the next worker."""
    for kind in (NOT_READY, WORKER_DRAINING):
        watched.observer.raised(StartClaude(**CALL), ApplicationError("no", type=kind))
    watched.observer.raised(WatchClaude(**CALL), ApplicationError("no", type=NOT_READY))

    assert watched.counted() == [("starts", "failed")]


def test_a_restart_has_the_reason_that_was_recorded_last(watched: Watched) -> None:
    """A generation that never ran left no record; an adopted process is no restart."""
    session = watched.directory.session("s")
    session.path.mkdir(parents=True)
    session.exit(1).write_text(EXIT)
    names = {"host_id": "h", "host_queue": "q", "watch_queue": "w", "pid": 7, "generation": 3, "journal_end": 0}
    for how in ("adopted", "resumed"):
        watched.observer.returned(StartClaude(**CALL), ClaudeStarted(**names, conversation=how), 0.5)  # type: ignore[arg-type]

    assert watched.counted() == [("starts", "adopted"), ("starts", "resumed"), ("restarts", "killed")]


def test_a_worker_that_takes_over_learns_of_a_question_from_its_follower(watched: Watched) -> None:
    """Each heartbeat of a follower says what claude waits for; an answer ends it."""
    for _ in range(2):
        watched.observer.beats(TURN, {"asks": "r1"})
    watched.observer.beats(TURN, {"asks": ""})
    assert len(watched.roster.asked_since) == 1
    answer = AnswerPermission(
        **CALL, request_id="r1", offset=0, behavior="deny", message="Nobody answered within 10 minutes."
    )
    watched.observer.returned(answer, None, 0.0)

    assert watched.roster.asked_since == []
    assert watched.counted() == [("questions_answered", "unanswered")]


def test_short_calls_belong_to_the_turn_that_is_under_way(watched: Watched) -> None:
    """Interrupts and answers say nothing of their turn, and a stop or a watcher has none."""
    watched.observer.begins(TURN, datetime.now(UTC))
    interrupt, stop = InterruptTurn(**CALL, request_id="i"), StopClaude(**CALL)
    during = watched.observer.ids(interrupt)
    watched.observer.left(TURN)

    assert during == {"session": "s", "generation": 3, "turn": "t"}
    assert watched.observer.ids(interrupt) == watched.observer.ids(stop) == {"session": "s", "generation": 3}


def test_silence_is_a_warning(watched: Watched) -> None:
    """The session ends a claude that says nothing; the log has it first."""
    with capture_logs() as lines:
        watched.observer.returned(TURN, TurnStep(is_silent=True), 1.0)

    assert [(line["event"], line["log_level"]) for line in lines] == [("claude is silent", "warning")]


async def test_what_cannot_be_told_changes_nothing(watched: Watched) -> None:
    """An observer that fails is logged, and the activity goes its way."""

    class Activity(ActivityInboundInterceptor):
        def __init__(self) -> None:
            """There is no next one."""

        async def execute_activity(self, input: ExecuteActivityInput) -> Any:
            return "done"

    watched.roster.turns = None  # type: ignore[assignment]
    observed = watched.observer.intercept_activity(Activity())
    with capture_logs() as lines:
        input = ExecuteActivityInput(fn=print, args=[TURN], executor=None, headers={})
        result = await ActivityEnvironment().run(observed.execute_activity, input)

    assert result == "done"
    assert {(line["event"], line["log_level"]) for line in lines} == {("an activity could not be told of", "error")}
