"""One log for everything: our own lines, the SDK's and libraries', with the ids of workflow and activity on each."""

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger
from temporalio import activity, workflow

from runtime.settings import LogFormat, LogLevel

# What to lift from the SDK's records: its name there, and the one that a person filters by.
_WORKFLOW_IDS = {"workflow_id": "workflow_id", "run_id": "run_id"}
_ACTIVITY_IDS = {
    "workflow_id": "workflow_id",
    "workflow_run_id": "run_id",
    "activity_type": "activity",
    "activity_id": "activity_id",
    "attempt": "attempt",
}


def configure(log_format: LogFormat = "auto", level: LogLevel = "info", stream: TextIO = sys.stderr) -> None:
    """Send everything that is logged to `stream`; a second call replaces the first. Loggers: structlog.get_logger()."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_lift_record_ids, *_shared()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(log_format, stream)],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    # The ids are lifted into fields of their own, so they need not be in the text too.
    workflow.logger.workflow_info_on_message = False
    activity.logger.activity_info_on_message = False
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            _add_activity_ids,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _shared() -> list[Processor]:
    return [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _rendering(log_format: LogFormat, stream: TextIO) -> list[Processor]:
    if log_format == "console" or (log_format == "auto" and stream.isatty()):
        # The plain traceback: the other one prints local variables, and those may hold secrets.
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]


def _lift_record_ids(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Copy the ids that `workflow.logger` and `activity.logger` put on their records."""
    record = event["_record"]
    for attribute, names in (("temporal_workflow", _WORKFLOW_IDS), ("temporal_activity", _ACTIVITY_IDS)):
        details = getattr(record, attribute, None) or {}
        event.update({ours: details[theirs] for theirs, ours in names.items() if details.get(theirs) is not None})
    return event


def _add_activity_ids(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the ids of the activity that is running, if one is; what the caller bound by hand stays."""
    if activity.in_activity():
        info = activity.info()
        return {ours: getattr(info, theirs) for theirs, ours in _ACTIVITY_IDS.items()} | dict(event)
    return event
