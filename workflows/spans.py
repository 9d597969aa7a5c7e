"""The spans of a session: all that one command sets off is one trace, through the workflow into the activities.

Only loaded where traces are sent. What lasts as long as the session, or only waits, has no span, and no span holds
what people or claude say.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

import structlog
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from temporalio import activity, client, worker, workflow
from temporalio.api.common.v1 import Payload
from temporalio.contrib.opentelemetry import TracingInterceptor, TracingWorkflowInboundInterceptor
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.calls import SendTurn, StopClaude, TurnStep
from workflows.messages import AskTurn, CancelTurn, Message, StopSession

# Long polls, the watcher, and a worker's look at itself: they would be most of the spans and say nothing.
QUIET: Final = frozenset({"wait_turn", "wait_ready", "watch_claude", "read_journal", "view_host", "self_check"})
# Where the next run of a workflow finds which turn was asked for by whom.
TURNS_HEADER: Final = "_tracer-turns"
_IN_UPDATE: Final = otel.create_key("in-update")
_FIELDS: Final = {"session": "session_id", "turn": "turn_id", "generation": "generation"}

Carrier = dict[str, Any]


class SessionSpans(TracingInterceptor):
    """The SDK's spans with the session's names on them and without the texts of errors, which may quote somebody."""

    def intercept_client(self, next: client.OutboundInterceptor) -> client.OutboundInterceptor:
        """Trace what is asked of sessions, but for looking and waiting."""
        return _Calls(super().intercept_client(_NamedCalls(next)), next)

    def intercept_activity(self, next: worker.ActivityInboundInterceptor) -> worker.ActivityInboundInterceptor:
        """Trace an activity, but for the watcher."""
        return next if activity.info().activity_type in QUIET else super().intercept_activity(_NamedActivity(next))

    def workflow_interceptor_class(
        self, input: worker.WorkflowInterceptorClassInput
    ) -> type[TracingWorkflowInboundInterceptor]:
        """Trace the workflow in its own way."""
        super().workflow_interceptor_class(input)
        return _SessionWorkflowSpans

    @contextlib.contextmanager
    def _start_as_current_span(self, name: str, **more: Any) -> Iterator[None]:
        failed: Exception | None = None
        with super()._start_as_current_span(name, **more):
            try:
                yield
            except Exception as error:  # noqa: BLE001  raised again outside, where its text is not recorded
                failed = error
                if not isinstance(error, ApplicationError) or error.category != ApplicationErrorCategory.BENIGN:
                    trace.get_current_span().set_status(Status(StatusCode.ERROR, _kind(error)))
        if failed is not None:
            raise failed


class _Calls(client.OutboundInterceptor):
    """Leaves out what would only be noise."""

    def __init__(self, traced: client.OutboundInterceptor, plain: client.OutboundInterceptor) -> None:
        super().__init__(traced)
        self._plain = plain

    async def query_workflow(self, input: client.QueryWorkflowInput) -> Any:
        return await self._plain.query_workflow(input)

    async def start_workflow_update(self, input: client.StartWorkflowUpdateInput) -> client.WorkflowUpdateHandle[Any]:
        return await (self._plain if input.update in QUIET else self.next).start_workflow_update(input)

    async def start_activity(self, input: client.StartActivityInput) -> client.ActivityHandle[Any]:
        return await (self._plain if input.activity_type in QUIET else self.next).start_activity(input)


class _NamedCalls(client.OutboundInterceptor):
    async def start_workflow(self, input: client.StartWorkflowInput) -> client.WorkflowHandle[Any, Any]:
        _name(input.id)
        return await self.next.start_workflow(input)

    async def start_workflow_update(self, input: client.StartWorkflowUpdateInput) -> client.WorkflowUpdateHandle[Any]:
        _name(input.id, *input.args)
        return await self.next.start_workflow_update(input)

    async def start_update_with_start_workflow(
        self, input: client.StartWorkflowUpdateWithStartInput
    ) -> client.WorkflowUpdateHandle[Any]:
        _name(input.start_workflow_input.id, *input.update_workflow_input.args)
        return await self.next.start_update_with_start_workflow(input)


class _NamedActivity(worker.ActivityInboundInterceptor):
    async def execute_activity(self, input: worker.ExecuteActivityInput) -> Any:
        info = activity.info()
        _name(info.workflow_id or "", *input.args)
        span = trace.get_current_span()
        span.set_attribute("attempt", info.attempt)
        # From a line of the log to its trace.
        structlog.contextvars.bind_contextvars(trace_id=trace.format_trace_id(span.get_span_context().trace_id))
        return await self.next.execute_activity(input)


class _SessionWorkflowSpans(TracingWorkflowInboundInterceptor):
    """Puts each activity under the command that it is done for; the SDK's own would put all under the first."""

    def __init__(self, next: worker.WorkflowInboundInterceptor) -> None:
        super().__init__(next)
        self._stop: Carrier | None = None

    @functools.cached_property
    def _turns(self) -> dict[str, Carrier]:
        """Who asked for each turn that is not over, the current one first."""
        # Not in the constructor: there the workflow has no information yet.
        header = workflow.info().headers.get(TURNS_HEADER)
        return dict(self.payload_converter.from_payloads([header])[0]) if header else {}

    def init(self, outbound: worker.WorkflowOutboundInterceptor) -> None:
        self.next.init(_SessionWorkflowCalls(outbound, self))

    def handle_update_validator(self, input: worker.HandleUpdateInput) -> None:
        self.next.handle_update_validator(input)

    async def handle_query(self, input: worker.HandleQueryInput) -> Any:
        return await self.next.handle_query(input)

    async def handle_update_handler(self, input: worker.HandleUpdateInput) -> Any:
        carrier = self._carrier(input.headers) if input.update not in QUIET else None
        if carrier:
            self._remember(carrier, *input.args)
            # Never detached: an update is handled in a task of its own.
            otel.attach(otel.set_value(_IN_UPDATE, carrier, self.text_map_propagator.extract(carrier)))
            attributes = _names(workflow.info().workflow_id, *input.args)
            self._completed_span(f"HandleUpdate:{input.update}", attributes, kind=SpanKind.SERVER)
        return await self.next.handle_update_handler(input)

    def start_activity(
        self, input: worker.StartActivityInput, outbound: worker.WorkflowOutboundInterceptor
    ) -> workflow.ActivityHandle[Any]:
        """Start an activity under whoever asked for it."""
        call = input.args[0] if input.args else None
        carrier = self._asked_by(call)
        token = otel.attach(self.text_map_propagator.extract(carrier)) if carrier else None
        try:
            attributes = _names(workflow.info().workflow_id, *input.args)
            self._completed_span(
                f"StartActivity:{input.activity}", attributes, add_to_outbound=input, kind=SpanKind.CLIENT
            )
        finally:
            if token is not None:
                otel.detach(token)
        handle = outbound.start_activity(input)
        if isinstance(call, SendTurn):
            handle.add_done_callback(lambda done: self._forget(call.turn_id) if _has_result(done) else None)
        return handle

    def carried(self, headers: Mapping[str, Payload]) -> Mapping[str, Payload]:
        """What the next run needs to go on with the same traces."""
        # A list, because an object's keys are sorted on the way, and the order is that of the queue.
        (turns,) = self.payload_converter.to_payloads([list(self._turns.items())])
        return {**self._context_to_headers(headers), TURNS_HEADER: turns}

    def _remember(self, carrier: Carrier, *arguments: Any) -> None:
        match arguments:
            case (Message(turn_id=turn_id) | AskTurn(message=Message(turn_id=turn_id)), *_):
                self._turns.setdefault(turn_id, carrier)
            case (CancelTurn(turn_id=turn_id), *_):
                self._forget(turn_id)
            case (StopSession(), *_):
                self._stop = carrier

    def _forget(self, turn_id: str) -> None:
        self._turns.pop(turn_id, None)

    def _asked_by(self, call: Any) -> Carrier | None:
        if otel.get_value(_IN_UPDATE):
            return None
        if isinstance(call, StopClaude):
            return self._stop
        if isinstance(call, SendTurn):
            # Turns run in order: what was asked for before this one is over, however it ended.
            while call.turn_id in self._turns and next(iter(self._turns)) != call.turn_id:
                self._forget(next(iter(self._turns)))
            return self._turns.get(call.turn_id)
        return next(iter(self._turns.values()), None)

    def _carrier(self, headers: Mapping[str, Payload]) -> Carrier | None:
        header, found = headers.get(self.header_key), None
        # Anybody may send anything here, and an error would stop the session, again and again.
        with contextlib.suppress(Exception):
            found = self.payload_converter.from_payloads([header])[0] if header else None
        is_carrier = isinstance(found, dict) and all(isinstance(value, str) for value in found.values())
        return found if is_carrier else None

    def _completed_span(self, span_name: str, attributes: Mapping[str, Any] | None = None, **more: Any) -> None:
        # The end of a session belongs to no command, weeks after the one that opened it.
        if span_name.startswith("CompleteWorkflow:"):
            return
        named = attributes or _names(workflow.info().workflow_id)
        super()._completed_span(span_name, additional_attributes=named, **more)


class _SessionWorkflowCalls(worker.WorkflowOutboundInterceptor):
    def __init__(self, next: worker.WorkflowOutboundInterceptor, spans: _SessionWorkflowSpans) -> None:
        super().__init__(next)
        self._spans = spans

    def start_activity(self, input: worker.StartActivityInput) -> workflow.ActivityHandle[Any]:
        if input.activity in QUIET:
            return self.next.start_activity(input)
        return self._spans.start_activity(input, self.next)

    def continue_as_new(self, input: worker.ContinueAsNewInput) -> NoReturn:
        input.headers = self._spans.carried(input.headers)
        self.next.continue_as_new(input)


def _has_result(done: Any) -> bool:
    if done.cancelled() or done.exception() is not None:
        return False
    step = done.result()
    return isinstance(step, TurnStep) and step.ended is not None


def _name(workflow_id: str, *arguments: Any) -> None:
    trace.get_current_span().set_attributes(_names(workflow_id, *arguments))


def _names(workflow_id: str, *arguments: Any) -> dict[str, Any]:
    names: dict[str, Any] = {"session": workflow_id.removeprefix("session-")}
    for argument in arguments[:1]:
        about = argument.message if isinstance(argument, AskTurn) else argument
        names |= {ours: getattr(about, field) for ours, field in _FIELDS.items() if hasattr(about, field)}
    return {f"durable_claude.{name}": value for name, value in names.items()}


def _kind(error: Exception) -> str:
    return error.type if isinstance(error, ApplicationError) and error.type else type(error).__name__
