"""The log: one line per event, ids of workflow and activity on each, JSON or text for a person."""

import io
import json
import logging
import sys
import threading
from typing import Any

import pytest
import structlog
from temporalio import activity
from temporalio.testing import ActivityEnvironment

from runtime import logs
from runtime.logs import CORE, configure


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


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


def test_libraries_print_no_whole_messages(stream: io.StringIO) -> None:
    """At debug our own lines come, and a library's only when content is asked for."""
    heard = []
    for content in (False, True):
        configure("json", "debug", stream, content=content)
        structlog.get_logger("activities.session").debug("ours")
        logging.getLogger("temporalio.worker._activity").debug("theirs, with the whole message")
        heard.append([line["logger"] for line in lines(stream)])
        stream.truncate(0)
        stream.seek(0)

    assert heard == [["activities.session"], ["activities.session", "temporalio.worker._activity"]]


def test_what_repeats_itself_is_written_seldom(stream: io.StringIO) -> None:
    """Retries of the native part come once in a while, whatever their number; other lines always."""
    configure("json", "info", stream)
    for number in range(3):
        logging.getLogger(CORE).warning("gRPC call poll retried %d times", number)
        logging.getLogger("theirs").warning("retried")

    assert [line["event"] for line in lines(stream)] == ["gRPC call poll retried 0 times", *["retried"] * 3]


def test_fields_of_the_process_are_on_every_line(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host is named on our lines and on those of libraries, also from another thread."""
    monkeypatch.setattr(logs, "_everywhere", {})
    configure("json", "info", stream)
    logs.everywhere(host="h1")
    structlog.get_logger().info("ours")
    thread = threading.Thread(target=logging.getLogger("theirs").info, args=("theirs",))
    thread.start()
    thread.join()

    assert [line["host"] for line in lines(stream)] == ["h1", "h1"]


def test_a_line_about_a_workflow_names_its_session(stream: io.StringIO) -> None:
    """The session is read off the workflow's id, by whoever the line is."""
    configure("json", "info", stream)
    structlog.get_logger().info("ours", workflow_id="session-a")
    details = {"workflow_id": "session-b", "run_id": "r1"}
    logging.getLogger("temporalio.workflow").info("theirs", extra={"temporal_workflow": details})

    assert [line["session"] for line in lines(stream)] == ["a", "b"]
