"""Whose trace an activity is in, over everything that a session lives through; with a scripted host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer
from temporalio.api.common.v1 import Payload
from temporalio.client import (
    Client,
    Interceptor,
    OutboundInterceptor,
    StartWorkflowUpdateInput,
    WorkflowUpdateHandle,
)
from temporalio.testing import WorkflowEnvironment

from tests.workflow.conftest import Desk, ScriptedHost, answer, gone, host_working, until, workflows_working
from tests.workflow.test_moves_on import SHORT
from workflows.client import Sessions
from workflows.messages import Message, SessionOptions
from workflows.traced import traced

SECRET = "a secret that an error quotes"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A session whose client and workers trace, and the spans so far."""

    desk: Desk
    host: ScriptedHost
    tracer: Tracer
    exporter: InMemorySpanExporter

    async def send(self, text: str) -> str:
        """Send as a command does: under a span of its own."""
        with self.tracer.start_as_current_span(text):
            return await self.desk.send(text)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def below(self, command: str) -> list[str]:
        """What runs on the host in the trace of a command."""
        (root,) = self.named(command)
        return [
            span.name.removeprefix("RunActivity:")
            for span in self.exporter.get_finished_spans()
            if span.context.trace_id == root.context.trace_id and span.name.startswith("RunActivity:")
        ]


@pytest.fixture
async def bench(environment: WorkflowEnvironment) -> AsyncIterator[Bench]:
    """A session that is open and sleeps soon; stopped at the end."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    config = environment.client.config()
    config["interceptors"] = traced(tracer)
    client, host = Client(**config), ScriptedHost()
    host.ends_when_stopped = True
    async with workflows_working(client, host), host_working(client, host):
        desk = Desk(environment, SessionOptions(history_limit=SHORT))
        desk.sessions = Sessions(client, SessionOptions(history_limit=SHORT))
        await desk.open()
        yield Bench(desk=desk, host=host, tracer=tracer, exporter=exporter)
        await desk.sessions.stop(desk.session_id)


async def test_each_message_has_its_own_trace(bench: Bench) -> None:
    """Two messages that wait together are not mixed up."""
    bench.host.hold()
    first, second = await bench.send("first"), await bench.send("second")
    bench.host.may_end = True
    for turn in (first, second):
        await bench.desk.sessions.wait_turn(bench.desk.session_id, turn)

    assert set(bench.below("first")) == set(bench.below("second")) == {"send_turn"}
    turns = {span.attributes["durable_claude.turn"] for span in bench.named("RunActivity:send_turn") if span.attributes}
    assert turns == {first, second}


async def test_who_sends_and_waits_in_one_call_has_one_trace(bench: Bench) -> None:
    """The call that keeps the answer back is known by its message."""
    with bench.tracer.start_as_current_span("asked"):
        await bench.desk.sessions.ask(bench.desk.session_id, Message(turn_id="t", text="hello"))

    (handled,) = bench.named("HandleUpdate:ask")
    assert bench.below("asked") == ["send_turn"]
    assert (handled.attributes or {})["durable_claude.turn"] == "t"


async def test_a_restart_in_a_turn_belongs_to_the_turn(bench: Bench) -> None:
    """The claude that dies under a message is started again in the message's trace."""
    bench.host.script = lambda call: answer(call) if call.generation == 2 else gone()
    bench.host.dies(1)
    turn = await bench.send("deadly")
    await bench.desk.turn(turn)

    assert bench.below("deadly") == ["send_turn", "start_claude", "send_turn"]


async def test_a_turn_keeps_its_trace_in_the_next_run(bench: Bench) -> None:
    """When the workflow continues as a new run, the turns that are not over stay where they were."""
    bench.host.hold()
    running, queued = await bench.send("running"), await bench.send("queued")
    await until(lambda: bench.host.sent)
    await bench.desk.outgrow()
    seen = len(bench.below("running"))
    bench.host.may_end = True
    for turn in (running, queued):
        await bench.desk.sessions.wait_turn(bench.desk.session_id, turn)

    assert len(bench.below("running")) > seen
    assert bench.below("queued") == ["send_turn"]


async def test_no_span_quotes_an_error(bench: Bench) -> None:
    """Of what goes wrong a span has the kind; the text may hold what somebody said."""
    bench.host.script = lambda call: ValueError(SECRET) if len(bench.host.sent) == 1 else answer(call)
    await bench.desk.sessions.wait_turn(bench.desk.session_id, await bench.send("fails at first"))

    failed, ended = bench.named("RunActivity:send_turn")
    assert (failed.status.is_ok, failed.status.description) == (False, "ValueError")
    assert (failed.attributes or {})["attempt"] == 1
    assert ended.status.description is None
    assert SECRET not in "".join(span.to_json() for span in bench.exporter.get_finished_spans())


async def test_a_header_that_is_no_trace_disturbs_nobody(bench: Bench, environment: WorkflowEnvironment) -> None:
    """Whatever a client puts where its trace should be, the session takes the message and goes on."""
    for number, rubbish in enumerate([b"no JSON", b"5", b'{"traceparent": 5}', b'{"traceparent": "nonsense"}']):
        config = environment.client.config()
        config["interceptors"] = [Rubbish(rubbish)]
        sessions = Sessions(Client(**config))
        report = await sessions.ask(bench.desk.session_id, Message(turn_id=f"t{number}", text="hello"))
        assert report.state == "done", rubbish

    assert (await bench.desk.status()).status == "ready"


class Rubbish(Interceptor):
    """A client whose trace is none."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        header = Payload(metadata={"encoding": b"json/plain"}, data=self._data)

        class Calls(OutboundInterceptor):
            async def start_workflow_update(self, input: StartWorkflowUpdateInput) -> WorkflowUpdateHandle[Any]:
                input.headers = {"_tracer-data": header}
                return await self.next.start_workflow_update(input)

        return Calls(next)
