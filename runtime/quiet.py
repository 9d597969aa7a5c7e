"""A command's own share of the SDK: nothing of it is written into what the command prints."""

import functools

from temporalio.runtime import Runtime, TelemetryConfig


@functools.cache
def prepare_quiet_runtime() -> None:
    """For commands: the native part would write its log into their output, and they say themselves what is wrong."""
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=None)), error_if_already_set=False)
