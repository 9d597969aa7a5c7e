"""The log: one line per event, ids of workflow and activity on each, JSON or text for a person."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from temporalio import activity
from temporalio.testing import ActivityEnvironment

from runtime.logs import configure


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A stream to log to; afterwards logging is as it was."""
    root, handlers, level = logging.getLogger(), logging.getLogger().handlers[:], logging.getLogger().level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_lines_and_those_of_libraries_look_alike(stream: io.StringIO) -> None:
    """An event of ours and one of a library's standard logger are both one JSON line with time, level and name."""
    configure("json", "info", stream)

    structlog.get_logger("ours").info("session opened", session_id="a", place=2)
    logging.getLogger("theirs").warning("disk at %d %%", 93)

    ours, theirs = lines(stream)
    assert (ours["event"], ours["session_id"], ours["place"], ours["logger"]) == ("session opened", "a", 2, "ours")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("disk at 93 %", "warning", "theirs")
    assert ours.keys() >= {"timestamp", "level"}
    assert theirs.keys() >= {"timestamp", "level"}


def test_a_line_of_workflow_code_carries_its_ids(stream: io.StringIO) -> None:
    """What the SDK attaches to a record of workflow.logger becomes fields."""
    configure("json", "info", stream)

    details = {"workflow_id": "session-a", "run_id": "r1", "workflow_type": "SessionWorkflow", "attempt": 1}
    logging.getLogger("temporalio.workflow").info("turn queued", extra={"temporal_workflow": details})

    (line,) = lines(stream)
    assert (line["workflow_id"], line["run_id"]) == ("session-a", "r1")
    assert "temporal_workflow" not in line


def test_every_line_of_an_activity_carries_its_ids(stream: io.StringIO) -> None:
    """Lines by structlog, by activity.logger and by anything else that runs in an activity can be told apart."""
    configure("json", "info", stream)

    def work() -> None:
        structlog.get_logger("ours").info("by structlog")
        activity.logger.info("by the SDK's logger")

    environment = ActivityEnvironment()
    environment.run(work)

    assert [line["event"] for line in lines(stream)] == ["by structlog", "by the SDK's logger"]
    for line in lines(stream):
        assert line["activity_id"] == environment.info.activity_id
        assert line["workflow_id"] == environment.info.workflow_id
        assert line["attempt"] == 1


def test_what_the_caller_bound_stays(stream: io.StringIO) -> None:
    """A field that the caller names wins over the activity's."""
    configure("json", "info", stream)

    ActivityEnvironment().run(lambda: structlog.get_logger().info("moved", workflow_id="session-b"))

    assert lines(stream)[0]["workflow_id"] == "session-b"


def test_an_exception_is_one_line(stream: io.StringIO) -> None:
    """A traceback is a field of its line, so that a line stays an event."""
    configure("json", "info", stream)

    try:
        raise OSError("disk gone")
    except OSError:
        structlog.get_logger().exception("could not write")

    (line,) = lines(stream)
    assert "OSError: disk gone" in line["exception"]


def test_the_level_decides(stream: io.StringIO) -> None:
    """Below the level nothing is written, by nobody."""
    configure("json", "warning", stream)

    structlog.get_logger().info("quiet")
    logging.getLogger("theirs").info("quiet")
    structlog.get_logger().warning("loud")

    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_a_value_that_json_does_not_know_is_written_as_text(stream: io.StringIO) -> None:
    """A log line never fails for what is in it."""
    configure("json", "info", stream)

    structlog.get_logger().info("odd", value=object, path=io)

    assert "object" in lines(stream)[0]["value"]


def test_a_terminal_gets_text_and_a_file_gets_json() -> None:
    """Left to itself, the format follows the stream."""
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        configure("auto", "info", stream)
        structlog.get_logger().info("ready", port=7233)
    configure("auto", "info", sys.stderr)
    structlog.reset_defaults()

    assert "ready" in terminal.getvalue()
    with pytest.raises(json.JSONDecodeError):
        lines(terminal)
    assert lines(file)[0]["port"] == 7233


def test_text_for_a_person_prints_no_variables(stream: io.StringIO) -> None:
    """The console's traceback shows no local variables, which may hold secrets."""
    configure("console", "info", stream)

    def fail() -> None:
        api_key = "s3" + "cret"
        raise ValueError(len(api_key))

    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("failed")

    assert "ValueError" in stream.getvalue()
    assert "s3cret" not in stream.getvalue()
