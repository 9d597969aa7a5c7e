"""The process's one Temporal runtime: where its metrics are served, and its native log among ours."""

import logging
from typing import Final

import structlog
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from runtime.address import is_loopback, parse_address
from runtime.logs import CORE
from runtime.settings import Settings

# A greeting takes seconds, a refactoring hours; a session's own limit ends a turn after two.
TURN_SECONDS: Final = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0)
# Half a second on an idle machine, some more for each MCP server; after 90 seconds a start has failed.
START_SECONDS: Final = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 45.0, 90.0)
# A question costs cents; a budget of 20 USD may go in one turn that nobody watches.
TURN_USD: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0)

BUCKETS: Final = {
    "durable_claude_turn_duration_seconds": TURN_SECONDS,
    "durable_claude_turn_cost_usd": TURN_USD,
    "durable_claude_start_duration_seconds": START_SECONDS,
}

log = structlog.get_logger(__name__)


class MetricsRefused(OSError):
    """The metrics cannot be served where they should be."""


def prepare_runtime(settings: Settings, host_id: str) -> None:
    """Make the runtime that every client and worker of this process uses; call it before the first of them is made."""
    telemetry = TelemetryConfig(
        logging=LoggingConfig(
            filter=TelemetryFilter(core_level="WARN", other_level="ERROR"),
            forwarding=LogForwardingConfig(
                logger=logging.getLogger(CORE),
                append_target_to_name=False,
                prepend_target_on_message=False,
                append_log_fields_to_message=False,
            ),
        ),
        metrics=_served(settings.metrics_address),
        global_tags={"host": host_id},
        attach_service_name=False,
    )
    try:
        runtime = Runtime(telemetry=telemetry)
    except ValueError as error:
        raise MetricsRefused(
            f"metrics cannot be served at {settings.metrics_address}: {str(error).partition(': ')[2] or error}; "
            "set DURABLE_CLAUDE_METRICS_ADDRESS to another address, or to nothing"
        ) from error
    Runtime.set_default(runtime, error_if_already_set=False)
    if settings.metrics_address:
        _say(settings.metrics_address)


def _served(address: str) -> PrometheusConfig | None:
    if not address:
        return None
    return PrometheusConfig(
        bind_address=address,
        counters_total_suffix=True,
        unit_suffix=True,
        durations_as_seconds=True,
        histogram_bucket_overrides=BUCKETS,
    )


def _say(address: str) -> None:
    where = f"http://{address}/metrics"
    if is_loopback(parse_address(address).host):
        log.info("metrics are served", url=where)
    else:
        log.warning("metrics are served beyond this machine, to whoever asks", url=where)
