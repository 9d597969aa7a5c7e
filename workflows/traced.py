"""Whether calls on sessions are traced. Who sends no traces loads nothing for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from temporalio.client import Interceptor

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer


def traced(tracer: Tracer | None) -> list[Interceptor]:
    """The interceptors for a client, and for the workers made with it."""
    if tracer is None:
        return []
    from workflows.spans import SessionSpans

    return [SessionSpans(tracer)]
