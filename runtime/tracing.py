"""Where spans go: nowhere, or by OTLP over HTTP to where OpenTelemetry's own variables say. One place per process."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from runtime.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

NAME: Final = "durable-claude"

# One at most.
_providers: Final[list[TracerProvider]] = []


class TracingMissing(Exception):
    """Traces are asked for and what sends them is not installed."""


def prepare(settings: Settings) -> None:
    """Get ready to send spans, if they are asked for; TracingMissing when the library is not there."""
    if _providers or not settings.sends_traces:
        return
    # Whoever sends no traces needs no library for it, and every command would pay for loading it.
    try:
        _providers.append(_provider())
    except ModuleNotFoundError as error:
        raise TracingMissing(
            f"no traces are sent, {error.name!r} is missing: install durable-claude[tracing], or set OTEL_SDK_DISABLED=true"
        ) from error


def tracer() -> Tracer | None:
    """What makes the spans of this process, or None when none are sent."""
    return _providers[0].get_tracer(NAME) if _providers else None


@contextlib.contextmanager
def span(name: str) -> Iterator[None]:
    """A span around the block, to which everything in it belongs."""
    if (found := tracer()) is None:
        yield
        return
    # An error's text may quote what somebody said.
    with found.start_as_current_span(name, record_exception=False, set_status_on_exception=False):
        yield


def flush(seconds: float) -> None:
    """Send what was not sent yet, and wait no longer than this for it."""
    for provider in _providers:
        # The library keeps no timeout here; a thread that hangs is left behind.
        flushing = threading.Thread(target=provider.force_flush, daemon=True)
        flushing.start()
        flushing.join(seconds)


def _provider() -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # A collector that is away must not write into the output of a command.
    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over the name that we give.
    resource = Resource({SERVICE_NAME: NAME}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
