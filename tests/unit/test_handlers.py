"""What the command line does by itself: names, sentences, and the order of a live view."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

import pytest
import typer
from temporalio.service import RPCError, RPCStatusCode

from activities.calls import TurnEnded
from claude.identity import continued_id, message_id
from handlers import cli, commands, console, naming, running, views
from handlers.failure import CommandFailed, judge
from handlers.follow import follow
from handlers.options import Limits
from runtime.settings import SettingsError
from runtime.temporal import TemporalAway
from tests.unit.questions import question
from workflows.approvals import Approval
from workflows.client import Sessions
from workflows.errors import NoServer, NotLive, NoWorker, Refused, SessionEnded, SessionError, SessionNotFound
from workflows.messages import SessionOptions, SessionReport, TurnReport, TurnState
from workflows.reading import Written


@pytest.mark.parametrize(
    ("directory", "slug"),
    [("/src/My App", "my-app"), ("/", "session"), ("/src/日本", "session"), ("/src/" + "x" * 90, "x" * 40)],
)
def test_a_session_is_named_after_its_directory(directory: str, slug: str) -> None:
    """The id is the directory's name in plain letters, and a random part that differs each time."""
    names = {naming.new_session_id(Path(directory)) for _ in range(5)}

    assert len(names) == 5
    assert {name.rpartition("-")[0] for name in names} == {slug}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SessionNotFound("x"), 3),
        (NoWorker("x"), 4),
        (NoServer("x"), 4),
        (TemporalAway("x"), 4),
        (RPCError("x", RPCStatusCode.UNAVAILABLE, b""), 4),
        (Refused("x"), 2),
        (SessionEnded("x"), 2),
        (SettingsError(("x",)), 2),
        (SessionError("x"), 1),
        (CommandFailed("x"), 1),
        (ZeroDivisionError("x"), 70),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_has_its_exit_code_and_a_sentence(error: Exception, code: int) -> None:
    """The exit code says what a script may do next; the sentence is never empty."""
    judged, sentence = judge(error)

    assert judged == code
    assert "x" in sentence


def test_a_bug_is_called_a_bug() -> None:
    """An error nobody foresaw is a sentence too, and says how to see where it came from."""
    _, sentence = judge(KeyError("turn"))

    assert "bug" in sentence
    assert "DURABLE_CLAUDE_LOG_LEVEL=debug" in sentence


@pytest.mark.parametrize(
    ("report", "code", "said"),
    [
        (
            TurnReport(turn_id="t", state="done", ended=TurnEnded(turn_id="t", text="log in", is_error=True)),
            1,
            "log in",
        ),
        (TurnReport(turn_id="t", state="failed", error="given up"), 1, "given up"),
        (TurnReport(turn_id="t", state="stopped", error="was stopped"), 1, "was stopped"),
        (TurnReport(turn_id="t", state="unknown"), 2, "no turn 't'"),
    ],
    ids=["an error as result", "a failed session", "a stopped session", "an unknown turn"],
)
def test_a_turn_without_an_answer_fails_the_command(report: TurnReport, code: int, said: str) -> None:
    """What is no answer never goes to stdout as one."""
    with pytest.raises(CommandFailed, match=said) as failed:
        commands._show_turn(report, as_json=False)

    assert failed.value.code == code


def test_a_json_document_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Values become one line of JSON, whatever is in them."""
    console.event("turn", TurnReport(turn_id="t", state="done", ended=TurnEnded(turn_id="t", text="a\nb \N{SNOWMAN}")))

    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out)["ended"]["text"] == "a\nb \N{SNOWMAN}"


class ScriptedSessions:
    """Answers from lists: what heartbeats say, how each wait for the turn comes out, and what the session reports."""

    def __init__(
        self,
        heartbeats: list[dict[str, Any]],
        waits: list[TurnState | SessionError],
        reports: list[SessionReport | SessionError] | None = None,
        written: list[Written] | None = None,
    ) -> None:
        self._written = written
        self._heartbeats = deque(heartbeats)
        self._waits = deque(waits)
        self._reports = deque(reports or [report()])
        self.all_told = asyncio.Event()
        self.all_reported = asyncio.Event()

    async def status(self, session_id: str) -> SessionReport:
        if len(self._reports) == 1:
            self.all_reported.set()
        said = self._reports.popleft() if len(self._reports) > 1 else self._reports[0]
        if isinstance(said, SessionError):
            raise said
        return said

    async def doing(self, session_id: str) -> dict[str, Any]:
        if len(self._heartbeats) > 1:
            return self._heartbeats.popleft()
        self.all_told.set()
        return self._heartbeats[0]

    async def journal(self, session_id: str, **place: Any) -> AsyncGenerator[Written, None]:
        if self._written is None:
            raise NotLive("a server without standalone activities")
        try:
            for line in self._written:
                yield line
            await asyncio.Event().wait()
        finally:
            self.all_told.set()

    async def wait_turn(self, session_id: str, turn_id: str, seconds: float) -> TurnReport:
        outcome = self._waits.popleft()
        if isinstance(outcome, SessionError):
            raise outcome
        if not self._waits:
            await self.all_told.wait()
            await self.all_reported.wait()
        return TurnReport(turn_id=turn_id, state=outcome)


class Seen:
    """Keeps what a live view showed."""

    def __init__(self) -> None:
        self.actions: list[str] = []
        self.moments: list[str] = []
        self.questions: list[str] = []
        self.warnings: list[str] = []

    def action(self, number: int, text: str) -> None:
        self.actions.append(f"{number} {text}")

    def now(self, text: str) -> None:
        self.moments.append(text)

    def question(self, session_id: str, approval: Approval) -> None:
        self.questions.append(f"{session_id} {approval.approval_id}")

    def warning(self, text: str) -> None:
        self.warnings.append(text)


def report(*questions: str, warnings: tuple[str, ...] = ()) -> SessionReport:
    approvals = [question(approval_id=name) for name in questions]
    return SessionReport(session_id="s", project_path="/p", status="busy", approvals=approvals, warnings=list(warnings))


async def test_every_action_is_shown_once_and_in_order() -> None:
    """Heartbeats repeat the last actions; the live view shows each one once."""
    heartbeats = [
        {},
        {"actions": [[1, "a"]]},
        {"actions": [[1, "a"], [2, "b"]]},
        {"actions": [[2, "b"], [3, "c"]]},
    ]
    seen = Seen()

    report = await follow(cast(Sessions, ScriptedSessions(heartbeats, ["running", "done"])), "s", "t", seen)

    assert report.state == "done"
    assert seen.actions == ["1 a", "2 b", "3 c"]


async def test_a_follower_outlasts_the_loss_of_a_worker() -> None:
    """While no worker answers the follower says so and waits on: the turn goes on without one."""
    seen = Seen()
    waits: list[TurnState | SessionError] = [NoWorker("no worker"), "running", NoServer("no server"), "done"]

    report = await follow(cast(Sessions, ScriptedSessions([{}], waits)), "s", "t", seen)

    assert report.state == "done"
    assert "no worker (the turn goes on)" in seen.moments
    assert "no server (the turn goes on)" in seen.moments


def written(generation: int, *records: dict[str, Any]) -> list[Written]:
    return [Written(generation=generation, end=end, text=json.dumps(record)) for end, record in enumerate(records)]


def echo(uuid: str, **more: Any) -> dict[str, Any]:
    return {"type": "user", "isReplay": True, "uuid": uuid, "message": {"content": "do it"}, **more}


def does(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"type": "assistant", "message": {"content": list(blocks)}}


async def test_a_journal_is_followed_through_a_restart_to_the_turns_own_end() -> None:
    """What claude does is shown once, what it says when more comes; its answer is left to the report."""
    ours, continued = message_id("s", "t"), continued_id("s", "t", 2)
    tool = {"type": "tool_use", "id": "x", "name": "Bash", "input": {"command": "make"}}
    journal = [
        *written(1, does({"type": "text", "text": "theirs"}), echo(ours, timestamp="now"), does(tool)),
        *written(2, echo(ours), echo(continued, timestamp="now"), does({"type": "text", "text": "I go on."}, tool)),
        *written(2, does({"type": "text", "text": "Done."}), {"type": "result", "subtype": "success"}),
        *written(2, {"type": "result", "subtype": "success", "user_message_uuid": continued}, does(tool)),
    ]
    seen = Seen()

    await follow(cast(Sessions, ScriptedSessions([{}], ["done"], written=journal)), "s", "t", seen)

    assert seen.actions == ["1 Bash: make", "1 writes: I go on.", "2 Bash: make"]


async def test_what_another_turn_does_is_not_shown() -> None:
    """A queued turn shows that it waits, not what the turn before it does."""
    seen = Seen()
    heartbeats = [{"turn_id": "other", "actions": [[1, "theirs"]]}, {"turn_id": "t", "actions": [[1, "ours"]]}]

    await follow(cast(Sessions, ScriptedSessions(heartbeats, ["done"])), "s", "t", seen)

    assert seen.actions == ["1 ours"]
    assert "waits for its turn" in seen.moments


async def test_every_question_and_new_warning_is_shown_once() -> None:
    """Questions are shown as they come, also after a while without a worker; warnings from before the turn are not."""
    reports: list[SessionReport | SessionError] = [
        report(warnings=("old",)),
        report("a1", warnings=("old",)),
        NoWorker("no worker"),
        report("a1", "a2", warnings=("old", "new")),
        report("a2", warnings=("old", "new")),
    ]
    seen = Seen()

    await follow(cast(Sessions, ScriptedSessions([{}], ["done"], reports)), "s", "t", seen)

    assert seen.questions == ["s a1", "s a2"]
    assert seen.warnings == ["new"]


@pytest.mark.parametrize(
    ("tool", "given", "line"),
    [
        ("Bash", {"command": "rm -r build\nmake", "timeout": 5}, "Bash: rm -r build make"),
        ("Write", {"content": "x", "file_path": "/p/a"}, "Write: /p/a"),
        ("Other", {"depth": 3}, 'Other: {"depth": 3}'),
        ("Bash", {"command": "x" * 500}, "Bash: " + "x" * 193 + "…"),
    ],
)
def test_a_question_is_told_in_one_line(tool: str, given: dict[str, Any], line: str) -> None:
    """What a tool would do stands in one line, whatever its input looks like."""
    assert views.asked_for(question(tool=tool, input=given)) == line


def test_limits_become_the_options_of_the_session() -> None:
    """Minutes, hours and dollars reach the session in its own units; what is not said stays as it was."""
    limited = Limits(idle_minutes=0, lifetime_hours=1.5, budget_usd=2).applied(SessionOptions(host_away_seconds=7))

    assert limited == SessionOptions(host_away_seconds=7, idle_seconds=0, lifetime_seconds=5400, cost_budget_usd=2)
    assert Limits().applied(SessionOptions()) == SessionOptions()


@pytest.mark.parametrize("command", sorted(typer.main.get_group(cli.app).commands))
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--help shows examples and the exit codes, and needs no server."""
    code = running.run(cli.app, [command, "--help"])

    shown = capsys.readouterr().out
    assert code == 0
    assert "Examples:" in shown
    assert f"durable-claude {command}" in shown.partition("Examples:")[2]
    assert "Exit codes: 0 done" in shown
    assert ("--json" in shown) == (command != "chat"), "a conversation is for people"
