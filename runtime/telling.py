"""All that a process of a host tells: its log, its metrics, its traces. Made ready before anything connects."""

from __future__ import annotations

import structlog

from runtime import logs, metrics, tracing
from runtime.settings import Settings

log = structlog.get_logger(__name__)


def prepare(settings: Settings, host_id: str) -> None:
    """Log, count and trace as this host; MetricsRefused when nobody could read the metrics."""
    logs.everywhere(host=host_id)
    metrics.prepare_runtime(settings, host_id)
    try:
        tracing.prepare(settings)
    except tracing.TracingMissing as missing:
        log.warning(str(missing))
