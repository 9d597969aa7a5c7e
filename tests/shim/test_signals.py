"""Who may end a session with a signal to its shim: anybody but the session itself."""

import signal

import pytest

from tests.shim.stage import Stage, first_line, inline, known, until

LEADER = """
import os, signal
os.kill(os.getppid(), signal.SIGTERM)
print(os.getppid(), flush=True)
while True: os.write(1, os.read(0, 100) or os._exit(0))
"""

# A double fork: the grandchild's parent becomes the shim, and that is what it kills; then it is gone, or stays.
ORPHAN = """
import os, signal, sys, time
shim = os.getppid()
if os.fork() == 0:
    if os.fork() == 0:
        while os.getppid() != shim: time.sleep(0.001)
        os.kill(os.getppid(), signal.SIGTERM)
        os.write(1, b'%d\\n' % shim)
        if sys.argv[1] == 'stay': time.sleep(600)
        os._exit(0)
    os._exit(0)
os.wait()
while True: os.write(1, os.read(0, 100) or os._exit(0))
"""

# As a model does it: `sh -c 'kill <pid>'`, whose sender is gone before anybody can ask for it.
SHELL = """
import os, subprocess
for _ in range(20): subprocess.run(['/bin/sh', '-c', 'exec /bin/kill %d' % os.getppid()])
print(os.getppid(), flush=True)
while True: os.write(1, os.read(0, 100) or os._exit(0))
"""


@pytest.mark.parametrize(
    "argv", [inline(LEADER), inline(ORPHAN, "stay"), inline(ORPHAN, "go"), inline(SHELL)],
    ids=["claude", "orphan that stays", "orphan that goes", "short-lived command"],
)  # fmt: skip
async def test_session_cannot_end_itself_by_killing_its_parent(stage: Stage, argv: list[str]) -> None:
    """SIGTERM from inside the session is not obeyed; claude goes on."""
    started = await stage.launch(argv)
    connection = await stage.attach()
    assert await first_line(connection) == b"%d" % started.shim_pid
    log = stage.directory().path / "shim.log"
    await until(lambda: "not obeyed" in log.read_text())
    await connection.write("a", b"alive\n")
    lines = connection.lines(0)
    assert (await anext(lines))[1] == b"%d" % started.shim_pid
    assert (await anext(lines))[1] == b"alive"
    await lines.aclose()


async def test_sigterm_from_outside_stops_gracefully(stage: Stage) -> None:
    """An operator's or init's SIGTERM runs the whole ladder and leaves a record."""
    started = await stage.launch(["/bin/cat"])
    connection = await stage.attach()
    known(started.shim_pid).kill(signal.SIGTERM)
    ended = await connection.exited()
    assert (ended.why, ended.code, ended.tree) == ("stopped", 0, "empty")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
async def test_signals_of_a_terminal_do_not_reach_the_session(stage: Stage, number: signal.Signals) -> None:
    """Ctrl-C in the worker's terminal and its closing are none of the session's business."""
    started = await stage.launch(["/bin/cat"])
    shim = known(started.shim_pid)
    shim.kill(number)
    connection = await stage.attach()
    await connection.write("a", b"alive\n")
    assert await first_line(connection) == b"alive"
    assert shim.lives


async def test_claude_that_kills_its_own_group_does_not_hit_the_shim(stage: Stage) -> None:
    """`kill -9 0` inside the session ends the session, with a record: the shim is in another group."""
    await stage.launch(inline("import os, signal, sys\nsys.stdin.readline()\nos.killpg(0, signal.SIGKILL)"))
    connection = await stage.attach()
    await connection.write("go", b"\n")
    ended = await connection.exited()
    assert (ended.why, ended.signal) == ("exited", signal.SIGKILL)
