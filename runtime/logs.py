"""One log for everything: our own lines, the SDK's and libraries', with the ids of session and activity on each."""

import logging
import re
import sys
import time
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger
from temporalio import activity, workflow

from runtime.settings import LogFormat, LogLevel

# The SDK's native part logs through this name; see runtime/metrics.py.
CORE: Final = "temporalio.core"

_OURS: Final = ("__main__", "activities", "claude", "demo", "handlers", "runtime", "shim", "worker", "workflows")
# What to lift from the SDK's records: its name there, and the one that a person filters by.
_WORKFLOW_IDS: Final = {"workflow_id": "workflow_id", "run_id": "run_id"}
_ACTIVITY_IDS: Final = {
    "workflow_id": "workflow_id",
    "workflow_run_id": "run_id",
    "activity_type": "activity",
    "activity_id": "activity_id",
    "attempt": "attempt",
}
# These say the same with each try of each call while a server is away.
_REPETITIVE: Final = (CORE, "opentelemetry", "urllib3")
_REPEATED_AFTER_SECONDS: Final = 60.0
_SESSION: Final = "session-"

# On every line of this process, from whatever thread it comes.
_everywhere: Final[dict[str, Any]] = {}


def configure(
    log_format: LogFormat = "auto", level: LogLevel = "info", stream: TextIO = sys.stderr, *, content: bool = False
) -> None:
    """Send everything that is logged to `stream`; a second call replaces the first. Loggers: structlog.get_logger().

    Below `info` libraries print whole messages, prompts and answers among them: that is left out unless `content` is
    asked for.
    """
    handler = logging.StreamHandler(stream)
    handler.addFilter(_Seldom())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.contextvars.merge_contextvars, _lift_record_ids, _add_ids, *_shared()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(log_format, stream)],
        )
    )
    ours = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(handlers=[handler], level=ours if content else max(ours, logging.INFO), force=True)
    for name in _OURS:
        logging.getLogger(name).setLevel(ours)
    # Each of our three Workers would say that it drains; worker.py does.
    logging.getLogger("temporalio.worker._worker").setLevel(logging.WARNING)
    # The ids are lifted into fields of their own, so they need not be in the text too.
    workflow.logger.workflow_info_on_message = False
    activity.logger.activity_info_on_message = False
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            _add_ids,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def everywhere(**fields: Any) -> None:
    """Put these on every line that this process logs from now on."""
    _everywhere.update(fields)


class _Seldom(logging.Filter):
    """Of what repeats itself lets a line pass that was not said a moment ago, whatever the numbers in it."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(_REPETITIVE):
            return True
        line, now = re.sub(r"\d+", "#", record.getMessage()), time.monotonic()
        self._said = {said: at for said, at in self._said.items() if now - at < _REPEATED_AFTER_SECONDS}
        return self._said.setdefault(line, now) == now


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
    """Copy the ids that the SDK puts on its records, and what its native part says beside its text."""
    record = event["_record"]
    for attribute, names in (("temporal_workflow", _WORKFLOW_IDS), ("temporal_activity", _ACTIVITY_IDS)):
        details = getattr(record, attribute, None) or {}
        event.update({ours: details[theirs] for theirs, ours in names.items() if details.get(theirs) is not None})
    if core := getattr(record, "temporal_log", None):
        event.update({name: value for name, value in core.fields.items() if name not in event})
    return event


def _add_ids(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the ids of the activity that is running, if one is, and of its session; what the caller bound stays."""
    known = dict(_everywhere)
    if activity.in_activity():
        info = activity.info()
        known |= {ours: getattr(info, theirs) for theirs, ours in _ACTIVITY_IDS.items()}
    known |= event
    name = known.get("workflow_id")
    if isinstance(name, str) and name.startswith(_SESSION):
        known.setdefault("session", name.removeprefix(_SESSION))
    return known
