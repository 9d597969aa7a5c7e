"""Traces, as a collector of our own gets them: one for each command, down to what runs on the host."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from demo.stage import free_ports
from handlers.running import FLUSH_SECONDS
from tests.e2e.collector import Collector, attributes, collecting, wrong
from tests.e2e.command_line import CommandLine, Ran
from tests.e2e.observed import ANSWER, COMMAND, OUTPUT, PROMPT, SESSION, TURN, Told
from tests.e2e.scene import Scene

# A busy machine needs longer for the same; what is looked for is a wait of ten seconds and more.
SLACK_SECONDS = 3.0


def trace_of(traces: Collector, command: str) -> list[tuple[str, str]]:
    """Each span below a command with the one it belongs to, in the order in which they began."""
    (root,) = traces.named(f"durable-claude {command}")
    spans = sorted(traces.spans, key=lambda span: (span.start_time_unix_nano, span.name))
    return [
        (traces.parent(span), span.name) for span in spans if span.trace_id == root.trace_id and span.parent_span_id
    ]


def test_a_message_is_one_trace_from_the_command_to_the_process(observed: Told) -> None:
    """The command, its update, what the workflow does with it, and each follower on the host."""
    spans = Counter(trace_of(observed.traces, "send"))

    # The turn is followed to its question, and again after the answer.
    assert spans == {
        ("durable-claude send", "StartWorkflowUpdate:ask"): 1,
        ("StartWorkflowUpdate:ask", "HandleUpdate:ask"): 1,
        ("StartWorkflowUpdate:ask", "StartActivity:send_turn"): 2,
        ("StartActivity:send_turn", "RunActivity:send_turn"): 2,
        ("StartWorkflowUpdate:ask", "StartActivity:answer_permission"): 1,
        ("StartActivity:answer_permission", "RunActivity:answer_permission"): 1,
    }


def test_a_start_and_a_stop_are_traces_of_their_own(observed: Told) -> None:
    """Opening leads to the first start of claude and to its restart, which nobody asked for; a stop to its end."""
    started, stopped = Counter(trace_of(observed.traces, "start")), trace_of(observed.traces, "stop")

    assert started[("StartUpdateWithStartWorkflow:SessionWorkflow", "StartActivity:start_claude")] == 2
    assert started[("StartActivity:start_claude", "RunActivity:start_claude")] == 2
    assert ("StartWorkflowUpdate:stop", "StartActivity:stop_claude") in stopped
    assert ("StartActivity:stop_claude", "RunActivity:stop_claude") in stopped
    assert ("durable-claude approve", "StartWorkflowUpdate:resolve_permission") in trace_of(observed.traces, "approve")


def test_spans_say_what_they_are_about(observed: Told) -> None:
    """Session, turn and generation are on them; nothing of what is said, and nothing that only waits."""
    spans = observed.traces.spans
    sent = [attributes(span) for span in observed.traces.named("RunActivity:send_turn")]
    started = [attributes(span) for span in observed.traces.named("RunActivity:start_claude")]
    told = "".join(map(str, spans))

    assert [(span["durable_claude.session"], span["durable_claude.turn"]) for span in sent] == [(SESSION, TURN)] * 2
    assert [span["durable_claude.generation"] for span in started] == [1, 2]
    assert [text for text in (PROMPT, ANSWER, COMMAND, OUTPUT) if text in told] == []
    assert [span.name for span in spans if "wait_" in span.name or "watch_" in span.name or "Query" in span.name] == []


def test_the_collector_has_nothing_to_object_to(observed: Told) -> None:
    """What arrives is what the protocol asks for, under our name."""
    assert observed.traces.refused == []
    assert observed.traces.services == {"durable-claude"}


async def test_nothing_is_sent_when_it_is_off(place: Scene) -> None:
    """Without the endpoint, or with a standard switch that says no, nothing is sent."""
    run = CommandLine(place.stage)
    with collecting() as traces:
        endpoint = traces.url
        ran = await asyncio.gather(
            run("ls"),
            run("ls", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_SDK_DISABLED="true"),
            run("ls", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_TRACES_EXPORTER="none"),
        )

    assert [(each.code, each.stdout) for each in ran] == [(0, "")] * 3
    assert traces.requests == 0


async def test_a_collector_that_does_not_answer_delays_nobody(place: Scene) -> None:
    """Whether it hangs or is down, the command does its work, says nothing of it, and ends as soon as ever."""
    with collecting(hangs=True) as traces:
        down = f"http://127.0.0.1:{free_ports()[0]}"
        # At the same time, so that a busy machine is as slow for all of them.
        (plain, usual), *others = await asyncio.gather(*(timed(place, url) for url in ("", traces.url, down)))

    assert [ran for ran, _ in others] == [plain, plain]
    assert max(seconds for _, seconds in others) < usual + FLUSH_SECONDS + SLACK_SECONDS
    assert traces.requests == 1


async def timed(place: Scene, url: str) -> tuple[Ran, float]:
    """A command with its traces sent there, and how long it took."""
    since = time.monotonic()
    ran = await CommandLine(place.stage)("ls", OTEL_EXPORTER_OTLP_ENDPOINT=url)
    return ran, time.monotonic() - since


def test_a_span_that_breaks_the_protocol_is_noticed() -> None:
    """The collector's own checks can fail."""
    collector = Collector()
    good = Span(name="good", trace_id=bytes(16), span_id=bytes(8), start_time_unix_nano=1, end_time_unix_nano=2)
    bad = Span(name="bad", trace_id=b"short", span_id=bytes(8), start_time_unix_nano=2, end_time_unix_nano=1)

    collector.take("/v1/traces", "application/json", b"")

    assert [*wrong(good)] == []
    assert len([*wrong(bad)]) == 2
    assert collector.refused == ["application/json to /v1/traces"]
