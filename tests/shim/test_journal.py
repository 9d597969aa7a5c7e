"""Whatever claude writes arrives, byte for byte."""

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from shim import procfs
from shim.client import ConnectionLost, HostDirectory, ShimConnection
from tests.shim.stage import PATIENCE_SECONDS, Stage, all_lines, first_line, inline, known, until


async def written_by(stage: Stage, source: str) -> list[bytes]:
    """Every line of a program that waits for leave to begin."""
    await stage.launch(inline("import os, sys, time\nsys.stdin.readline()\n" + source))
    connection = await stage.attach()
    reader = asyncio.create_task(all_lines(connection))
    # It may be through before we look again; what it wrote is there all the same.
    with contextlib.suppress(ConnectionLost):
        await connection.write("begin", b"\n")
    return await asyncio.wait_for(reader, PATIENCE_SECONDS)


async def test_line_of_ten_megabytes(stage: Stage) -> None:
    """There is no limit to a line."""
    lines = await written_by(stage, "print('x' * 10_000_000); print('after')")
    assert [len(line) for line in lines] == [10_000_000, 5]


async def test_line_written_byte_by_byte(stage: Stage) -> None:
    """A line is a line when its newline comes, not before."""
    lines = await written_by(stage, "for byte in b'slow\\nline\\n': os.write(1, bytes([byte])); time.sleep(0.002)")
    assert lines == [b"slow", b"line"]


async def test_no_trailing_newline(stage: Stage) -> None:
    """A torn last line is handed over when nothing can follow any more."""
    assert await written_by(stage, "os.write(1, b'whole\\ntorn')") == [b"whole", b"torn"]


async def test_bytes_that_are_no_text(stage: Stage) -> None:
    """Invalid UTF-8, NUL, carriage returns and empty lines pass through untouched."""
    assert await written_by(stage, r"os.write(1, b'\xff\xfe\x80\n\0\0\n\r\n\n\xe2\x82\n')") == [
        b"\xff\xfe\x80",
        b"\0\0",
        b"\r",
        b"",
        b"\xe2\x82",
    ]


async def test_output_of_a_process_that_ends_at_once(stage: Stage) -> None:
    """What a process wrote before it ended is there, also when it ended before anybody attached."""
    await stage.launch(inline("import os; os.write(1, b'early\\n'); os.write(2, b'and an error\\n')"))
    directory = stage.directory()
    await until(lambda: directory.exit(1).exists(), "the exit record")
    assert directory.journal(1).read_bytes() == b"early\n"
    assert directory.stderr(1).read_bytes() == b"and an error\n"


async def test_last_megabyte_is_not_left_in_the_pipe(stage: Stage) -> None:
    """Claude writes a pipe full and ends while the shim is not scheduled: all of it is in the journal."""
    go = stage.host.state / "go"
    source = (
        "import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)\nos.write(1, b'x' * 1_000_000)"
    )
    started = await stage.launch(inline(source, str(go)))
    connection = await stage.attach()
    shim = known(started.shim_pid)
    shim.kill(signal.SIGSTOP)
    go.touch()
    await until(lambda: procfs.is_zombie(started.pid), "the end of claude")
    shim.kill(signal.SIGCONT)
    assert (await connection.exited()).journal_bytes == 1_000_000


async def test_descendant_that_holds_the_pipe_delays_nothing(stage: Stage) -> None:
    """Claude ends while a child of another session keeps its stdout open: the end does not wait for it."""
    lines = await written_by(
        stage,
        "if os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\nos.write(1, b'last\\n')",
    )
    assert lines == [b"last"]


async def test_torn_line_of_an_earlier_start_is_not_glued(stage: Stage) -> None:
    """A second start of the same generation goes on in the same journal, on a line of its own."""
    for _ in range(2):
        await stage.launch(inline("import os; os.write(1, b'torn')"))
        await until(lambda: stage.directory().exit(1).exists(), "the exit record")
        await until(lambda: not stage.directory().socket.exists(), "the end of the shim")
    assert stage.directory().journal(1).read_bytes() == b"torn\ntorn"


async def test_slow_reader_slows_nobody(stage: Stage) -> None:
    """A connection that follows and never reads does not hold up claude."""
    await stage.launch(inline("import sys\nfor i in range(100_000): print(i)"))
    directory = stage.directory()
    _, writer = await asyncio.open_unix_connection(directory.socket)
    writer.write(b'{"op":"hello","request":1,"protocol":1,"generation":1}\n{"op":"follow","request":2}\n')
    await until(lambda: directory.exit(1).exists(), "the exit record")
    assert directory.journal(1).read_bytes().splitlines()[-1] == b"99999"
    writer.close()
    await writer.wait_closed()


FLOOD = "for i in range(300_000): sys.stdout.write('line %d\\n' % i)"
FLOODED = b"".join(b"line %d\n" % number for number in range(300_000))


async def degraded(directory_of: Stage) -> None:
    """Wait until the shim says that it cannot write."""
    while (await state_of(directory_of)) != "degraded":
        await asyncio.sleep(0.01)


async def state_of(stage: Stage) -> str:
    probe = await ShimConnection.attach(stage.directory(), generation=1)
    state = probe.hello.state
    await probe.detach()
    return state


async def flood(stage: Stage) -> tuple[ShimConnection, asyncio.Task[list[bytes]]]:
    await stage.launch(inline("import sys\nprint('ready', flush=True)\nsys.stdin.readline()\n" + FLOOD))
    connection = await stage.attach()
    assert await first_line(connection) == b"ready"
    return connection, asyncio.create_task(all_lines(connection))


async def test_full_disk_blocks_and_resumes(stage: Stage) -> None:
    """While the journal cannot grow claude waits, alive; when it can, not a byte is missing."""
    connection, reader = await flood(stage)
    limits = resource.prlimit(connection.hello.shim_pid, resource.RLIMIT_FSIZE)
    resource.prlimit(connection.hello.shim_pid, resource.RLIMIT_FSIZE, (500_000, limits[1]))
    await connection.write("begin", b"\n")
    await asyncio.wait_for(degraded(stage), PATIENCE_SECONDS)
    assert known(connection.hello.pid).lives
    assert stage.directory().journal(1).stat().st_size == 500_000
    resource.prlimit(connection.hello.shim_pid, resource.RLIMIT_FSIZE, limits)
    lines = await asyncio.wait_for(reader, PATIENCE_SECONDS)
    assert lines == [b"ready", *FLOODED.splitlines()]
    assert (await connection.exited()).code == 0


async def test_full_disk_does_not_hold_up_a_stop(stage: Stage) -> None:
    """A session on a full disk can be stopped, and its end is recorded in space that was reserved."""
    connection, reader = await flood(stage)
    _, hard = resource.prlimit(connection.hello.shim_pid, resource.RLIMIT_FSIZE)
    resource.prlimit(connection.hello.shim_pid, resource.RLIMIT_FSIZE, (500_000, hard))
    await connection.write("begin", b"\n")
    await asyncio.wait_for(degraded(stage), PATIENCE_SECONDS)
    ended = await connection.stop(0)
    assert (ended.why, ended.signal, ended.journal_bytes) == ("stopped", 9, 500_000)
    journal = stage.directory().journal(1).read_bytes()
    assert journal == (b"ready\n" + FLOODED)[:500_000]
    assert await reader == journal.splitlines()


async def test_disk_that_is_really_full(small_disk: Path, short_path: Path) -> None:
    """The same on a file system without a free block: it blocks, the disk is cleaned, everything arrives."""
    host = HostDirectory(state=small_disk / "state", run=short_path / "run2")
    host.prepare()
    stage = Stage(host)
    connection, reader = await flood(stage)
    filler = await full(stage, connection, small_disk)
    assert known(connection.hello.pid).lives
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    lines = await asyncio.wait_for(reader, PATIENCE_SECONDS)
    assert lines == [b"ready", *FLOODED.splitlines()]
    await connection.exited()
    await stage.close()


async def test_end_on_a_full_disk_is_recorded(small_disk: Path, short_path: Path) -> None:
    """Without a free block the exit record is still written, into space that was taken at the start."""
    host = HostDirectory(state=small_disk / "state", run=short_path / "run2")
    host.prepare()
    stage = Stage(host)
    connection, reader = await flood(stage)
    await full(stage, connection, small_disk)
    ended = await connection.stop(0)
    await reader
    assert (ended.why, ended.signal) == ("stopped", 9)
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "more").write_bytes(bytes(8192))
    await stage.close()


async def full(stage: Stage, connection: ShimConnection, disk: Path) -> Path:
    """Take the whole disk, then let claude write."""
    filler = disk / "filler"
    fd = os.open(filler, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while os.write(fd, bytes(4096)):
            pass
    os.close(fd)
    await connection.write("begin", b"\n")
    await asyncio.wait_for(degraded(stage), PATIENCE_SECONDS)
    return filler
