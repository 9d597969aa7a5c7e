"""A worker may die at any moment; what claude wrote meanwhile is there for the next one."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from shim.client import NotRunning, ShimConnection
from tests.shim.stage import PROGRAMS, Stage, all_lines, first_line, inline, known, until

LINES = 200_000

STREAM = f"""
import sys, time
for batch in range({LINES // 1000}):
    sys.stdout.write("".join("line %d\\n" % (batch * 1000 + i) for i in range(1000)))
    sys.stdout.flush()
    time.sleep(0.005)
"""


async def test_reader_killed_again_and_again_misses_nothing(stage: Stage, short_path: Path) -> None:
    """200 000 lines arrive complete, in order and once, through six SIGKILLs of the worker that reads them."""
    await stage.launch(inline(STREAM))
    copy = short_path / "copy"
    expected = b"".join(b"line %d\n" % number for number in range(LINES))
    for kill in range(6):
        reader = await _reader(stage, copy)
        await _grown(copy, len(expected) * (kill + 1) // 8)
        reader.kill()
        assert await reader.wait() == -signal.SIGKILL, "the stream ended before the reader could be killed"
    reader = await _reader(stage, copy)
    assert await reader.wait() == 0
    assert copy.read_bytes() == expected


async def _grown(copy: Path, enough: int) -> None:
    await until(lambda: copy.exists() and copy.stat().st_size > enough, "more lines")


async def _reader(stage: Stage, copy: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROGRAMS / "reader.py"),
        str(stage.host.state),
        str(stage.host.run),
        str(copy),
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )


async def test_detach_leaves_the_session_alone(stage: Stage) -> None:
    """A worker that goes away closes a connection and nothing else."""
    started = await stage.launch(["/bin/cat"])
    first = await stage.attach()
    await first.write("a", b"before\n")
    await first.detach()
    second = await stage.attach()
    await second.write("b", b"after\n")
    assert second.hello.pid == started.pid
    reader = asyncio.create_task(all_lines(second))
    await second.stop(5)
    assert await reader == [b"before", b"after"]


async def test_two_workers_read_the_same_journal(stage: Stage) -> None:
    """Two connections of one generation see the same lines."""
    await stage.launch(["/bin/cat"])
    one, two = await stage.attach(), await stage.attach()
    await one.write("a", b"hello\n")
    assert await first_line(one) == await first_line(two) == b"hello"


async def test_reading_resumes_at_an_offset(stage: Stage) -> None:
    """The offset that comes with a line is where the next reader goes on."""
    await stage.launch(["/bin/cat"])
    connection = await stage.attach()
    await connection.write("a", b"one\ntwo\nthree\n")
    offset = await anext(position async for position, line in connection.lines(0) if line == b"two")
    assert offset == 8
    reader = asyncio.create_task(all_lines(connection, offset))
    await connection.stop(5)
    assert await reader == [b"three"]


async def test_attach_finds_nobody(stage: Stage) -> None:
    """A session that never ran, and one that ended, is said not to run, at once."""
    with pytest.raises(NotRunning, match="'one'"):
        await ShimConnection.attach(stage.directory(), generation=1)
    await stage.launch(["/bin/cat"])
    connection = await stage.attach()
    await connection.stop(0)
    with pytest.raises(NotRunning, match="'one'"):
        await ShimConnection.attach(stage.directory(), generation=1)


async def test_socket_of_a_killed_shim_is_nobody(stage: Stage) -> None:
    """The socket file a killed shim leaves behind does not look like a living one."""
    started = await stage.launch(["/bin/cat"])
    connection = await stage.attach()
    known(started.shim_pid).kill()
    await connection.exited()
    assert stage.directory().socket.exists()
    with pytest.raises(NotRunning):
        await ShimConnection.attach(stage.directory(), generation=1)
    await stage.launch(["/bin/cat"])


async def test_launch_joins_a_living_session(stage: Stage) -> None:
    """A second start is answered with the process that runs, whatever it asked for."""
    first = await stage.launch(["/bin/cat"])
    again = await stage.launch(["/bin/sleep", "60"], generation=2)
    assert (first.outcome, again.outcome) == ("started", "running")
    assert (again.pid, again.shim_pid, again.generation) == (first.pid, first.shim_pid, 1)
