"""The demo, as `make demo` runs it."""

import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from demo.stage import Stage, directories
from tests.e2e.command_line import CommandLine, finish, line_with


@pytest.fixture
async def run() -> AsyncIterator[CommandLine]:
    with directories() as stage:
        # A demo that goes wrong keeps its logs: here they go with the test's own directory.
        yield CommandLine(stage, {"TMPDIR": str(stage.root)})


async def test_the_demo_proves_what_it_tells(run: CommandLine) -> None:
    """The same pid before and after the worker's death, one result, no process left: and exit code 0 only then."""
    ran = await run("demo")

    assert ran.code == 0, ran
    assert "The model is scripted" in ran.stdout
    before, after = re.findall(r"^ok .*pid of claude.* (\d+) and (\d+)", ran.stdout, re.MULTILINE)[0]
    assert before == after
    assert re.search(r"^ok .*results of the turn.* 1 *$", ran.stdout, re.MULTILINE)
    assert re.search(r"^ok .*processes left after the stop +0 ", ran.stdout, re.MULTILINE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
async def test_an_interrupted_demo_leaves_nothing(run: CommandLine, number: signal.Signals) -> None:
    """Interrupted while claude works on without a worker, the demo ends them all and removes its directories."""
    process = await run.begin("demo")
    assert process.stdout is not None
    opened = await line_with(process.stdout, "is ready")
    await line_with(process.stdout, "killed with SIGKILL")
    process.send_signal(number)
    ran = await finish(process)

    root = Path(opened.split()[-1]).parent
    assert ran.code == 130
    assert (root / "project").is_absolute()
    assert not root.exists()
    assert left_of(root) == []


async def test_a_demo_that_cannot_be_says_where_to_look(run: CommandLine) -> None:
    """A demo that goes wrong exits with 1, says what was awaited, keeps its logs and leaves no process. --json is JSON."""
    ran = await run("demo", "--json", DURABLE_CLAUDE_EXECUTABLE="/bin/false")

    assert ran.code == 1, ran
    assert [event["actor"] for event in ran.events if event["event"] == "line"][-1] == "FAILED"
    root = Path(ran.events[-1]["text"].split()[-1])
    assert list(Stage(root=root).logs.glob("worker-*.log"))
    assert left_of(root) == []


def left_of(root: Path) -> list[psutil.Process]:
    """Every process that has the demo's directory in its command line or its environment."""
    return [process for process in psutil.process_iter() if _names(process, str(root))]


def _names(process: psutil.Process, root: str) -> bool:
    try:
        return any(root in text for text in [*process.cmdline(), *process.environ().values()])
    except (psutil.Error, OSError):
        return False
