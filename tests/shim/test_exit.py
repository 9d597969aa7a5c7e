"""How a process ended is recorded once, or is lost; it is never made up."""

import asyncio
import signal
import time
from pathlib import Path

import pytest

from shim import documents, procfs
from shim.client import Exit, LaunchFailed, read_exit
from tests.shim.stage import Stage, first_line, inline, known, python, until

# 1 to 31. The two above them belong to the C library, and whoever started the tests may have left them ignored.
CLASSIC_SIGNALS = 0x7FFFFFFF


async def end_of(stage: Stage, source: str) -> Exit:
    await stage.launch(inline("import os, signal, sys\nsys.stdin.readline()\n" + source))
    connection = await stage.attach()
    await connection.write("begin", b"\n")
    return await connection.exited()


@pytest.mark.parametrize("code", [0, 1, 2, 127, 143, 255])
async def test_exit_code_is_recorded(stage: Stage, code: int) -> None:
    """A process that ends by itself is recorded with its exit code."""
    ended = await end_of(stage, f"sys.exit({code})")
    assert (ended.code, ended.signal, ended.why) == (code, None, "exited")
    assert read_exit(stage.directory(), 1) == ended


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
async def test_signal_is_recorded(stage: Stage, number: signal.Signals) -> None:
    """A process that is killed or crashes is recorded with its signal."""
    ended = await end_of(stage, f"os.kill(os.getpid(), {int(number)})")
    assert (ended.code, ended.signal, ended.why) == (None, number, "exited")


async def test_exception_is_a_crash_with_stderr(stage: Stage) -> None:
    """A crash keeps its traceback in the stderr file."""
    ended = await end_of(stage, "raise RuntimeError('oh')")
    assert (ended.code, ended.signal) == (1, None)
    assert b"RuntimeError: oh" in stage.directory().stderr(1).read_bytes()


async def test_stop_is_recorded_with_the_way_it_ended(stage: Stage) -> None:
    """Claude that ends with its input has an exit code, one that had to be terminated a signal; both were stopped."""
    await stage.launch(["/bin/cat"])
    polite = await (await stage.attach()).stop(5)
    await stage.launch(["/bin/sleep", "600"], generation=2)
    asked = await (await stage.attach(generation=2)).stop(5)
    assert (polite.why, polite.code, polite.signal) == ("stopped", 0, None)
    assert (asked.why, asked.code, asked.signal) == ("stopped", None, signal.SIGTERM)


async def test_deaf_process_is_killed_after_the_timeout(stage: Stage) -> None:
    """Claude that ignores both end of input and SIGTERM is killed."""
    source = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\n"
    await stage.launch(inline(source + "while True: time.sleep(600)"))
    connection = await stage.attach()
    assert await first_line(connection) == b"deaf"
    assert (await connection.stop(0.2)).signal == signal.SIGKILL


async def test_stop_lets_claude_finish_its_work(stage: Stage) -> None:
    """SIGTERM is not SIGKILL: what claude writes in the time it has to end is in the journal."""
    source = """
import os, signal, time
def bye(*_):
    time.sleep(1.5)
    os.write(1, b'saved\\n')
    os._exit(7)
signal.signal(signal.SIGTERM, bye)
os.write(1, b'ready\\n')
while True: time.sleep(600)
"""
    await stage.launch(inline(source))
    connection = await stage.attach()
    assert await first_line(connection) == b"ready"
    ended = await connection.stop(30)
    assert (ended.code, ended.journal_bytes) == (7, len(b"ready\nsaved\n"))


async def test_stop_wakes_a_stopped_claude(stage: Stage) -> None:
    """A claude that was suspended is resumed to hear the SIGTERM, and can still save its work."""
    source = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'saved\\n'), os._exit(7)))
os.write(1, b'ready\\n')
os.kill(os.getpid(), signal.SIGSTOP)
while True: time.sleep(600)
"""
    await stage.launch(inline(source))
    connection = await stage.attach()
    assert await first_line(connection) == b"ready"
    ended = await connection.stop(30)
    assert (ended.code, ended.journal_bytes) == (7, len(b"ready\nsaved\n"))


async def test_killed_shim_leaves_lost(stage: Stage) -> None:
    """Nobody can know how claude ended when its shim was killed: `lost`, and the next start writes that down."""
    started = await stage.launch(["/bin/cat"])
    connection = await stage.attach()
    claude = known(started.pid)
    known(started.shim_pid).kill()
    ended = await connection.exited()
    assert (ended.why, ended.code, ended.signal, ended.tree) == ("lost", None, None, "unknown")
    assert read_exit(stage.directory(), 1) is None
    await until(lambda: not claude.lives, "the death of claude with its shim")
    await stage.launch(["/bin/cat"], generation=2)
    recorded = read_exit(stage.directory(), 1)
    assert recorded is not None
    assert (recorded.why, recorded.code, recorded.signal, recorded.tree) == ("lost", None, None, "empty")


async def test_record_is_there_when_the_connection_ends(stage: Stage) -> None:
    """Whoever sees the shim go finds the record: it is written first."""
    for generation in range(1, 11):
        await stage.launch(["/bin/cat"], generation=generation)
        reader, writer = await asyncio.open_unix_connection(stage.directory().socket)
        connection = await stage.attach(generation=generation)
        stop = asyncio.create_task(connection.stop(5))
        while await reader.read(4096):
            pass
        assert stage.directory().exit(generation).exists()
        writer.close()
        await stop


async def test_stop_is_idempotent(stage: Stage) -> None:
    """Two stops at once, and one more, agree on one end."""
    await stage.launch(["/bin/cat"])
    one, two = await stage.attach(), await stage.attach()
    first, second = await asyncio.gather(one.stop(5), two.stop(5))
    assert first == second == await one.stop(5)


async def test_second_stop_hurries_the_first(stage: Stage, short_path: Path) -> None:
    """A stop with a long timeout is cut short by one with none."""
    (short_path / "pids").mkdir()
    source = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\n"
    await stage.launch(inline(source + "while True: time.sleep(600)"))
    one, two = await stage.attach(), await stage.attach()
    assert await first_line(one) == b"deaf"
    patient = asyncio.create_task(one.stop(600))
    while (await two._ask("status"))["state"] != "stopping":
        await asyncio.sleep(0.005)
    assert (await two.stop(0)).signal == signal.SIGKILL
    assert (await patient).why == "stopped"


async def test_stop_completes_when_its_caller_is_gone(stage: Stage, short_path: Path) -> None:
    """The ladder climbs in the shim: a caller that vanishes after asking changes nothing."""
    (short_path / "pids").mkdir()
    await stage.launch(python("escape.py", str(short_path / "pids")))
    connection = await stage.attach()
    assert await first_line(connection) == b"ready"
    pids = [known(int(path.read_text())) for path in (short_path / "pids").iterdir()]
    asking = asyncio.create_task(connection.stop(0.4))
    await until(lambda: connection._requests >= 3)
    asking.cancel()
    await connection.detach()
    await until(lambda: stage.directory().exit(1).exists(), "the exit record")
    assert not [process for process in pids if process.lives]


@pytest.mark.parametrize(
    ("argv", "kind"),
    [
        (["/nonexistent/claude"], "executable-missing"),
        (["no-such-claude-on-path"], "executable-missing"),
        (["/etc/hostname"], "not-executable"),
        (["/"], "not-executable"),
        (["nul\0byte"], "not-executable"),
    ],
)
async def test_executable_that_cannot_run_is_refused(stage: Stage, argv: list[str], kind: str) -> None:
    """Each reason has its kind, the message quotes the value, and nothing is left behind."""
    with pytest.raises(LaunchFailed) as refusal:
        await stage.launch(argv)
    assert refusal.value.kind == kind
    assert repr(argv[0]) in str(refusal.value)
    assert not stage.directory().boot.exists()
    assert not stage.directory().socket.exists()
    await stage.launch(["/bin/cat"])


@pytest.mark.parametrize("mode", ["missing", "file"])
async def test_directory_that_cannot_be_entered_is_refused(stage: Stage, short_path: Path, mode: str) -> None:
    """A project directory that does not exist, or is a file, is said to be none."""
    project = short_path / "project"
    if mode == "file":
        project.touch()
    spec = stage.spec(["/bin/cat"])
    with pytest.raises(LaunchFailed, match=str(project)) as refusal:
        await stage.run(type(spec)(**{**vars(spec), "cwd": str(project)}))
    assert refusal.value.kind == "directory-missing"


async def test_lease_that_is_renewed_keeps_the_session(stage: Stage) -> None:
    """A renewal moves the end; a renewal of another boot does not."""
    boot = procfs.boot_id()

    def renew(boot_id: str, seconds: float) -> None:
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        documents.write(str(stage.host.lease), {"boot_id": boot_id, "renewed_at": now + seconds})

    await stage.launch(["/bin/cat"], ttl=1.0)
    connection = await stage.attach()
    waiting = asyncio.create_task(connection.exited())
    began = time.monotonic()
    while time.monotonic() < began + 2.5:
        renew(boot, 0)
        assert not waiting.done()
        await asyncio.sleep(0.1)
    renew("another boot", 1000)
    assert (await waiting).why == "lease"


@pytest.mark.parametrize("renewed", ["soon", None, 1e12], ids=["text", "nothing", "the future"])
async def test_lease_that_makes_no_sense_counts_for_nothing(stage: Stage, renewed: object) -> None:
    """A renewal that cannot be one leaves the session the time it was launched with."""
    documents.write(str(stage.host.lease), {"boot_id": procfs.boot_id(), "renewed_at": renewed})
    await stage.launch(["/bin/cat"], ttl=0.5)
    assert (await (await stage.attach()).exited()).why == "lease"


async def test_environment_and_descriptors_of_claude(stage: Stage) -> None:
    """Claude gets exactly the environment of its spec and two tokens, and no descriptor but stdio and its lock."""
    started = await stage.launch(["/bin/cat"])
    entries = procfs.environment(started.pid).decode().rstrip("\0").split("\0")
    assert {entry.partition("=")[0] for entry in entries} == {
        "PATH",
        "STAGE",
        "DURABLE_CLAUDE_SESSION",
        "DURABLE_CLAUDE_NONCE",
    }
    open_files = {str(path.readlink()) for path in Path(f"/proc/{started.pid}/fd").iterdir() if int(path.name) > 2}
    assert open_files == {str(stage.directory().child_lock)}


async def test_signals_of_claude_are_untouched(stage: Stage) -> None:
    """What the shim ignores and blocks for itself is default and open in claude; so is what its worker ignores."""
    background = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGQUIT, signal.SIGUSR1)}
    try:
        await stage.launch(["/bin/cat"])
    finally:
        for number, handler in background.items():
            signal.signal(number, handler)
    connection = await stage.attach()
    status = Path(f"/proc/{connection.hello.pid}/status").read_text()
    masks = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Sig"))
    assert int(masks["SigIgn"], 16) & CLASSIC_SIGNALS == int(masks["SigBlk"], 16) & CLASSIC_SIGNALS == 0


async def test_memory_is_taken_from_claude_first(stage: Stage) -> None:
    """When memory runs out, the kernel's choice falls on claude before it falls on the shim."""
    started = await stage.launch(["/bin/cat"])
    claude, shim = (int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in (started.pid, started.shim_pid))
    assert claude == min(1000, shim + 200)


async def test_code_is_never_taken_from_the_project(stage: Stage, short_path: Path) -> None:
    """A repository with a json.py of its own does not get it executed by the launcher or the shim."""
    project = short_path / "project"
    (project / "shim").mkdir(parents=True)
    for name in ("json.py", "os.py", "selectors.py", "shim/__init__.py", "shim/launch.py", "sitecustomize.py"):
        (project / name).write_text(f"open({str(short_path / 'hacked')!r}, 'w')\nraise SystemExit(9)\n")
    await stage.run(stage.spec(["/bin/cat"]), cwd=project, environment={"PYTHONPATH": str(project)})
    assert not (short_path / "hacked").exists()
