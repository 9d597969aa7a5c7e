"""The metrics of a worker: their names, labels and kinds. docs/operations.md has them in a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, get_args

from temporalio.common import MetricCounter, MetricMeter

from activities.calls import (
    UNANSWERED,
    AnswerPermission,
    ClaudeEnded,
    ClaudeStarted,
    ErrorKind,
    PermissionNeeded,
    TurnEnded,
)

# Known before the first of them happens, so that a first failure is an increase and not a series that appears.
START_OUTCOMES: Final = ("new", "resumed", "adopted", "failed")
TURN_OUTCOMES: Final = tuple(kind or "ok" for kind in get_args(ErrorKind))
RESTART_REASONS: Final = ("exited", "killed", "lease", "lost", "stopped")
QUESTION_KINDS: Final = ("leave", "question")
DECISIONS: Final = ("allow", "allow_always", "deny", "unanswered")
DIRECTIONS: Final = ("input", "output")


class Figures:
    """Everything that this worker counts. Without an address to serve them all of it goes nowhere, at no cost.

    No label names a session: their ids never end, and the SDK keeps every series for the life of the process.
    """

    def __init__(self, meter: MetricMeter) -> None:
        self._meter = meter
        self._starts = self._counter("starts", "Starts of claude", "outcome", START_OUTCOMES)
        self._restarts = self._counter("restarts", "Starts after an earlier process", "reason", RESTART_REASONS)
        self._turns = self._counter("turns", "Turns that ended", "outcome", TURN_OUTCOMES)
        self._tokens = self._counter("tokens", "Tokens of turns that ended", "direction", DIRECTIONS)
        self._asked = self._counter("questions_asked", "Questions of claude", "kind", QUESTION_KINDS)
        self._answered = self._counter("questions_answered", "Answers that claude got", "decision", DECISIONS)
        self.tool_calls = meter.create_counter("durable_claude_tool_calls", "Tools used in turns that ended")
        self.cpu_seconds = meter.create_counter(
            "durable_claude_processes_cpu_seconds", "CPU time of claude processes, without their tools"
        )
        for counter in (self.tool_calls, self.cpu_seconds):
            counter.add(0)
        histogram = meter.create_histogram_float
        self._start_seconds = histogram("durable_claude_start_duration_seconds", "Until claude was ready")
        self._turn_seconds = histogram("durable_claude_turn_duration_seconds", "Turns, as claude measures them")
        self._turn_usd = histogram("durable_claude_turn_cost_usd", "What turns cost, as claude tells it")
        gauge = meter.create_gauge
        self._sessions = gauge("durable_claude_sessions", "Open sessions of this host")
        self.questions_waiting = gauge("durable_claude_questions_waiting", "Questions without an answer")
        self.processes = gauge("durable_claude_processes", "claude processes that this worker watches")
        self.memory = gauge("durable_claude_processes_resident_memory_bytes", "Memory of all of them")
        self.largest = gauge("durable_claude_largest_process_resident_memory_bytes", "Memory of the largest of them")
        self.journals = gauge("durable_claude_journal_bytes", "Journals on disk, of living and ended sessions")
        self.draining = gauge("durable_claude_worker_draining", "1 while this worker hands over")
        self.draining.set(0)
        self.oldest_question = meter.create_gauge_float(
            "durable_claude_oldest_question_age_seconds", "How long the oldest of them waits; 0 without any"
        )
        self.lease_renewed = meter.create_gauge_float(
            "durable_claude_lease_renewed_timestamp_seconds", "When Temporal last acknowledged this host"
        )
        self.lease_ttl = meter.create_gauge_float(
            "durable_claude_lease_ttl_seconds", "How long processes live without that"
        )

    def started(self, started: ClaudeStarted, seconds: float, reason: str) -> None:
        """A claude is ready; `reason` is how the process before it ended, if one did."""
        outcome = {"outcome": started.conversation}
        self._starts.add(1, outcome)
        self._start_seconds.record(seconds, outcome)
        if reason:
            self._restarts.add(1, {"reason": reason})

    def start_failed(self) -> None:
        """One attempt to start claude came to nothing."""
        self._starts.add(1, {"outcome": "failed"})

    def turn_ended(self, ended: TurnEnded) -> None:
        """A turn has its result."""
        self._turns.add(1, {"outcome": ended.error_kind or "ok"})
        self._turn_seconds.record(ended.duration_ms / 1000)
        self._turn_usd.record(ended.cost_usd)
        self._tokens.add(ended.input_tokens, {"direction": "input"})
        self._tokens.add(ended.output_tokens, {"direction": "output"})
        self.tool_calls.add(ended.tool_calls)

    def asked(self, needed: PermissionNeeded) -> None:
        """claude waits for a person."""
        self._asked.add(1, {"kind": "question" if needed.needs_person else "leave"})

    def answered(self, call: AnswerPermission) -> None:
        """claude has an answer."""
        self._answered.add(1, {"decision": decision(call)})

    def sessions(self, count: int, status: str) -> None:
        """How many open sessions of this host have this status."""
        self._sessions.set(count, {"status": status})

    def _counter(self, name: str, about: str, label: str, values: Sequence[str]) -> MetricCounter:
        counter = self._meter.create_counter(f"durable_claude_{name}", about)
        for value in values:
            counter.add(0, {label: value})
        return counter


def decision(call: AnswerPermission) -> str:
    """What was decided. Leave for a whole turn arrives as one `allow` for each question."""
    if call.behavior == "deny":
        return "unanswered" if call.message.startswith(UNANSWERED) else "deny"
    return "allow_always" if call.remember else "allow"


def reason(ended: ClaudeEnded) -> str:
    """How a process ended, in one word."""
    return "killed" if ended.why == "exited" and ended.signal else ended.why
