"""The socket: who is heard, what is refused, and that nobody can disturb anybody else with it."""

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from shim.client import Busy, ConnectionLost, Fenced, LaunchFailed, ShimConnection, ShimError
from shim.feed import QUEUE_BYTES
from shim.listener import PEERS
from tests.shim.stage import PATIENCE_SECONDS, Stage, all_lines, first_line, inline, known, until


async def talk(stage: Stage, *lines: bytes) -> list[dict[str, Any]]:
    """Send raw bytes, close our half, and read every answer."""
    reader, writer = await asyncio.open_unix_connection(stage.directory().socket, limit=1 << 20)
    for line in lines:
        writer.write(line)
    writer.write_eof()
    answers = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
    writer.close()
    return [json.loads(line) for line in answers.splitlines()]


HELLO = b'{"op":"hello","request":1,"protocol":1,"generation":1}\n'


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"garbage\n", "malformed"),
        (b"\xff\xfe\n", "malformed"),
        (b"\n", "malformed"),
        (b"[1, 2]\n", "malformed"),
        (b"[" * 100_000 + b"\n", "malformed"),
        (b"1" * 10_000 + b"\n", "malformed"),
        (b'{"op":"stop","request":2,"timeout":0}\n', "hello-first"),
        (b'{"op":"write","request":2,"id":"a","data":""}\n', "hello-first"),
        (b'{"op":"hello","request":2,"protocol":0,"generation":1}\n', "protocol"),
        (b'{"op":"hello","request":2,"protocol":1,"generation":"x"}\n', "malformed"),
        (b'{"op":"hello","request":2,"protocol":1,"generation":-1}\n', "malformed"),
        (HELLO + b'{"op":"explode","request":2}\n', "unknown-op"),
        (HELLO + b'{"op":["a"],"request":{}}\n', "unknown-op"),
        (HELLO + b'{"request":2}\n', "unknown-op"),
        (HELLO + b'{"op":"stop","request":2}\n', "malformed"),
        (HELLO + b'{"op":"stop","request":2,"timeout":NaN}\n', "malformed"),
        (HELLO + b'{"op":"stop","request":2,"timeout":true}\n', "malformed"),
        (HELLO + b'{"op":"write","request":2,"data":""}\n', "malformed"),
        (HELLO + b'{"op":"write","request":2,"id":"' + b"x" * 500 + b'","data":""}\n', "malformed"),
        (HELLO + b'{"op":"write","request":2,"id":"a"}\n', "malformed"),
        (HELLO + b'{"op":"write","request":2,"id":"a","data":5}\n', "malformed"),
        (HELLO + b'{"op":"write","request":2,"id":"a","data":"no base64!"}\n', "malformed"),
    ],
    ids=lambda value: repr(value[-60:]) if isinstance(value, bytes) else value,
)
async def test_malformed_request_is_answered_and_disturbs_nobody(stage: Stage, line: bytes, error: str) -> None:
    """Whatever cannot be meant gets an error that says so, and a session that works on."""
    await stage.launch(["/bin/cat"])
    assert (await talk(stage, line))[-1]["error"] == error
    await works(stage)


@pytest.mark.parametrize("half", [b"", b'{"op":', HELLO[:-1]], ids=["nothing", "half a line", "no newline"])
async def test_half_a_line_is_not_a_request(stage: Stage, half: bytes) -> None:
    """A peer that goes away in mid-sentence has said nothing."""
    await stage.launch(["/bin/cat"])
    assert await talk(stage, half) == []
    await works(stage)


async def test_endless_line_is_cut_off(stage: Stage) -> None:
    """A line longer than any request ends the connection, not the shim."""
    await stage.launch(["/bin/cat"])
    _, writer = await asyncio.open_unix_connection(stage.directory().socket)
    with pytest.raises(ConnectionError):
        await _write_all(writer, [b"x" * (1 << 20)] * 64)
    writer.close()
    await works(stage)


async def _write_all(writer: asyncio.StreamWriter, lines: list[bytes]) -> None:
    for line in lines:
        writer.write(line)
        await writer.drain()


async def test_peer_that_never_reads_is_cut_off(stage: Stage) -> None:
    """Answers are not stored without end for somebody who does not want them."""
    await stage.launch(["/bin/cat"])
    _, writer = await asyncio.open_unix_connection(stage.directory().socket)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    with pytest.raises(ConnectionError):
        await _write_all(writer, [b'{"op":"status"}\n'] * 100_000)
    writer.close()
    await works(stage)


async def test_more_peers_than_places(stage: Stage) -> None:
    """Two hundred idle connections at once: those too many are closed, and later ones are served again."""
    await stage.launch(["/bin/cat"])
    crowd = [await asyncio.open_unix_connection(stage.directory().socket) for _ in range(200)]

    def closed() -> int:
        return sum(reader.at_eof() for reader, _ in crowd)

    async with asyncio.timeout(10):
        while closed() < len(crowd) - PEERS:
            await asyncio.sleep(0.01)
    assert closed() == len(crowd) - PEERS
    for _, writer in crowd:
        writer.close()
    await works(stage)


async def works(stage: Stage) -> None:
    """The session answers a worker, and claude answers a message."""
    connection = await stage.attach()
    assert connection.hello.state == "running"
    await connection.write(f"works {os.urandom(4).hex()}", b"still here\n")
    assert await first_line(connection) == b"still here"
    await connection.detach()


async def test_status_needs_no_hello(stage: Stage) -> None:
    """Anybody of the same user may ask who is there, without raising or passing the fence."""
    started = await stage.launch(["/bin/cat"], generation=3)
    (answer,) = await talk(stage, b'{"op":"status","request":7}\n')
    assert (answer["request"], answer["pid"], answer["generation"], answer["fence"]) == (7, started.pid, 3, 3)


async def test_older_generation_is_fenced(stage: Stage) -> None:
    """Once a later generation has said hello, an earlier one may neither write nor stop nor come back."""
    await stage.launch(["/bin/cat"], generation=2)
    with pytest.raises(Fenced):
        await stage.attach(generation=1)
    old = await stage.attach(generation=2)
    new = await stage.attach(generation=5)
    assert (new.hello.generation, new.hello.fence) == (2, 5)
    with pytest.raises(Fenced):
        await old.write("a", b"from the past\n")
    with pytest.raises(Fenced):
        await old.stop(0)
    with pytest.raises(Fenced):
        await stage.attach(generation=4)
    await new.write("b", b"from now\n")
    assert await first_line(new) == b"from now"


@pytest.mark.parametrize("end", ["stopped", "killed"])
async def test_fence_outlives_the_shim(stage: Stage, end: str) -> None:
    """A start that comes late, from before the fence, starts nothing."""
    started = await stage.launch(["/bin/cat"], generation=2)
    connection = await stage.attach(generation=5)
    if end == "stopped":
        await connection.stop(0)
    else:
        known(started.shim_pid).kill()
        await connection.exited()
    with pytest.raises(LaunchFailed) as refusal:
        await stage.launch(["/bin/cat"], generation=4)
    assert refusal.value.kind == "fenced"
    assert (await stage.launch(["/bin/cat"], generation=5)).outcome == "started"


async def test_message_goes_in_once(stage: Stage) -> None:
    """A message id is delivered once, also through another connection."""
    await stage.launch(["/bin/cat"])
    one, two = await stage.attach(), await stage.attach()
    answers = [await one.write("a", b"once\n"), await one.write("a", b"once\n"), await two.write("a", b"once\n")]
    await two.write("b", b"end\n")
    reader = asyncio.create_task(all_lines(one))
    await two.stop(5)
    assert answers == ["written", "duplicate", "duplicate"]
    assert await reader == [b"once", b"end"]


async def test_queue_that_is_full_says_busy(stage: Stage) -> None:
    """Claude does not read: eight megabytes are kept for it, the rest is refused, and what was kept arrives."""
    source = "import os, sys\nwhile not os.path.exists(sys.argv[1]): pass\n"
    go = stage.host.state / "go"
    await stage.launch(inline(source + "print(len(sys.stdin.read()))", str(go)))
    connection = await stage.attach()
    accepted = 0
    while accepted < 32 and await _written(connection, f"m{accepted}", b"x" * (1 << 20)):
        accepted += 1
    assert QUEUE_BYTES >> 20 <= accepted <= (QUEUE_BYTES >> 20) + 2
    with pytest.raises(Busy, match="try again later"):
        await connection.write("one too many", b"x" * (1 << 20))
    go.touch()
    again = "m" + str(accepted)
    while not await _written(connection, again, b"x\n"):
        await asyncio.sleep(0.01)
    reader = asyncio.create_task(all_lines(connection))
    await connection.stop(30)
    assert await reader
    with pytest.raises(ValueError, match="too long"):
        await connection.write("huge", bytes(QUEUE_BYTES + 1))


async def _written(connection: ShimConnection, message_id: str, data: bytes) -> bool:
    try:
        return await connection.write(message_id, data) == "written"
    except Busy:
        return False


async def test_large_message_arrives_whole(stage: Stage) -> None:
    """Seven megabytes in one message come back as one line."""
    await stage.launch(["/bin/cat"])
    connection = await stage.attach()
    message = os.urandom(3_500_000).hex().encode()
    await connection.write("large", message + b"\n")
    assert await first_line(connection) == message


async def test_claude_that_closed_its_input_is_told(stage: Stage) -> None:
    """A write to a claude that reads no more fails; the session is as it was."""
    await stage.launch(inline("import os, time\nos.close(0)\nprint('closed', flush=True)\nwhile True: time.sleep(600)"))
    connection = await stage.attach()
    assert await first_line(connection) == b"closed"
    await connection.write("first", b"into the void\n")
    with pytest.raises(ConnectionLost, match="no longer reads"):
        await connection.write("second", b"more\n")
    assert connection.is_open


async def test_another_user_is_refused(stage: Stage) -> None:
    """Another user who can reach the socket, because somebody opened the directories, is still nobody."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    await stage.launch(["/bin/cat"])
    for path in (stage.host.run.parent, stage.host.run, stage.directory().socket):
        path.chmod(0o777)
    source = "import socket, sys\ns = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
    source += "s.sendall(sys.argv[2].encode() + b'\\n'); print(s.recv(65536).decode())"
    for line in (HELLO.decode().strip(), '{"op":"status"}'):
        command = [sys.executable, "-I", "-S", "-c", source, str(stage.directory().socket), line]
        answer = subprocess.run(
            ["/usr/bin/setpriv", "--reuid=65534", "--clear-groups", *command], capture_output=True, check=True
        )
        assert json.loads(answer.stdout)["error"] == "forbidden", answer
    await works(stage)


async def test_removed_socket_is_bound_again(stage: Stage) -> None:
    """A cleaner takes the socket file: connected workers stay, new ones get in as soon as it is back."""
    started = await stage.launch(["/bin/cat"])
    before = await stage.attach()
    stage.directory().socket.unlink()
    after = await stage.attach()
    assert after.hello.pid == started.pid
    assert await before.write("a", b"x\n") == "written"
    assert await after.write("a", b"x\n") == "duplicate"


async def test_removed_run_directory_is_made_again(stage: Stage) -> None:
    """The whole directory of sockets vanishes: it comes back, private."""
    await stage.launch(["/bin/cat"])
    stage.directory().socket.unlink()
    stage.host.run.rmdir()
    await until(lambda: stage.directory().socket.exists(), "the return of the socket")
    assert stage.host.run.stat().st_mode & 0o777 == 0o700
    await works(stage)


async def test_state_directory_removed_under_a_session(stage: Stage) -> None:
    """Somebody removes the session's files while it lives: it can still be stopped with all its processes."""
    started = await stage.launch(["/bin/cat"])
    connection = await stage.attach()
    claude = known(started.pid)
    for path in stage.directory().path.iterdir():
        path.unlink()
    ended = await connection.stop(5)
    assert not claude.lives
    assert ended.why in ("stopped", "lost")


async def test_unexpected_error_keeps_its_message(stage: Stage) -> None:
    """An error this client does not know is still an error with the shim's own words."""
    await stage.launch(["/bin/cat"])
    connection = await stage.attach()
    with pytest.raises(ShimError, match="explode"):
        await connection._ask("explode")
