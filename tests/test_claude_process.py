"""ClaudeProcess with real processes: any executable can be supervised."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from claude.command import project_directory
from claude.events import Event, Unreadable
from claude.process import (
    AlreadyStarted,
    ClaudeProcess,
    ConversationTaken,
    ConversationUnknown,
    ExecutableMissing,
    ExitedEarly,
    NotReady,
    NotRunning,
    ProjectRefused,
)
from shim.client import HostDirectory, ShimConnection

# On a busy machine a start takes a second; what takes this long hangs.
PATIENCE_SECONDS = 30.0

Make = Callable[..., ClaudeProcess]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    path = tmp_path / "project"
    path.mkdir()
    return path


@pytest.fixture
async def make(host: HostDirectory, project: Path) -> AsyncIterator[Make]:
    """Builds processes on the test's own host, and kills at the end what the test left running."""
    made: list[ClaudeProcess] = []

    def build(*command: str, session_id: str = "one", project_path: Path | str = project) -> ClaudeProcess:
        process = ClaudeProcess(
            session_id,
            project_path,
            host=host,
            command=command,
            environment={"PATH": os.defpath},
            lease_ttl_seconds=PATIENCE_SECONDS * 10,
        )
        made.append(process)
        return process

    yield build
    for process in made:
        await process.stop(0)
        await process.detach()


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


SLEEP = ["/bin/sh", "-c", "echo ready; exec sleep 3600"]
IGNORES_SIGTERM = python(
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(3600)"
)


async def first_line(process: ClaudeProcess) -> str:
    return (await lines(process, 1))[0]


async def lines(process: ClaudeProcess, count: int) -> list[str]:
    """Wait until the process has printed this many lines."""
    found: list[str] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for _, event in process.events():
            found.append(head(event))
            if len(found) == count:
                break
    return found


def head(event: Event) -> str:
    assert isinstance(event, Unreadable)
    return event.head.rstrip("\n")


def is_alive(pid: int) -> bool:
    """Whether the process exists, a zombie included."""
    return psutil.pid_exists(pid)


def is_running(pid: int) -> bool:
    """Whether the process exists and is more than an entry that its new parent has yet to clear away."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_start_spawns_the_process(make: Make) -> None:
    """After start the process runs, under the pid that is told."""
    process = make(*SLEEP)

    await process.start()

    assert process.is_running
    assert process.pid is not None
    assert is_alive(process.pid)
    assert not process.adopted


async def test_stop_ends_it_with_sigterm(make: Make) -> None:
    """A process that obeys SIGTERM is ended by it, and is gone when stop returns."""
    process = make(*SLEEP)
    await process.start()
    await first_line(process)

    ended = await process.stop()

    assert not process.is_running
    assert ended is not None
    assert (ended.why, ended.signal, ended.tree) == ("stopped", signal.SIGTERM, "empty")
    assert process.pid is not None
    assert not is_alive(process.pid)


async def test_a_process_that_ignores_sigterm_is_killed(make: Make) -> None:
    """When the timeout is over, SIGKILL ends it."""
    process = make(*IGNORES_SIGTERM)
    await process.start()
    await first_line(process)

    ended = await process.stop(timeout=0.2)

    assert ended is not None
    assert (ended.why, ended.signal) == ("stopped", signal.SIGKILL)
    assert process.pid is not None
    assert not is_alive(process.pid)


async def test_a_polite_process_may_finish_and_choose_its_exit_code(make: Make) -> None:
    """Stopping begins with the end of input: who reads it and leaves is not signalled."""
    process = make(*python("import sys; print('ready', flush=True); sys.stdin.read(); sys.exit(7)"))
    await process.start()
    await first_line(process)

    ended = await process.stop(PATIENCE_SECONDS)

    assert ended is not None
    assert (ended.why, ended.code, ended.signal) == ("stopped", 7, None)


async def test_each_process_sees_its_own_project(make: Make, tmp_path: Path) -> None:
    """The working directory is the session's project."""
    projects = [tmp_path / "first", tmp_path / "second"]
    for path in projects:
        path.mkdir()
    processes = [make("/bin/pwd", session_id=path.name, project_path=path) for path in projects]

    for process in processes:
        await process.start()

    assert [await first_line(process) for process in processes] == [str(path.resolve()) for path in projects]


async def test_two_sessions_have_separate_processes(make: Make) -> None:
    """Stopping one leaves the other alone."""
    one, two = make(*SLEEP, session_id="one"), make(*SLEEP, session_id="two")
    await asyncio.gather(one.start(), two.start())
    assert one.pid != two.pid

    await one.stop()

    assert not one.is_running
    assert two.is_running
    assert two.pid is not None
    assert is_alive(two.pid)


TREE = """
import os, subprocess, sys, time
orphan = subprocess.Popen(["sleep", "3600"], start_new_session=True, stdout=subprocess.DEVNULL)
zombie = subprocess.Popen(["true"])
print(os.getpid(), orphan.pid, zombie.pid, flush=True)
time.sleep(3600)
"""


async def test_no_zombie_and_no_orphan_remains(make: Make) -> None:
    """Neither a descendant in a session of its own nor a child that was never waited for is left."""
    process = make(*python(TREE))
    await process.start()
    pids = [int(pid) for pid in (await first_line(process)).split()]
    before = set(psutil.Process().children(recursive=True))

    await process.stop()

    assert [pid for pid in pids if is_alive(pid)] == []
    assert set(psutil.Process().children(recursive=True)) <= before


async def test_without_the_shim_the_same_tree_leaves_an_orphan(project: Path) -> None:
    """The tree above is a real danger: SIGTERM to its root alone leaves the descendant running."""
    root = await asyncio.create_subprocess_exec(*python(TREE), cwd=project, stdout=asyncio.subprocess.PIPE)
    assert root.stdout is not None
    _, orphan, _ = (int(pid) for pid in (await root.stdout.readline()).split())

    root.terminate()
    await root.wait()

    try:
        assert is_alive(orphan)
    finally:
        os.kill(orphan, signal.SIGKILL)


async def test_stop_ends_what_a_killed_shim_left(make: Make) -> None:
    """kill -9 of the shim takes claude along and leaves the descendants; stop finds and ends them."""
    process = make(*python(TREE))
    await process.start()
    root, orphan, _ = (int(pid) for pid in (await first_line(process)).split())
    shim = psutil.Process(root).ppid()
    os.kill(shim, signal.SIGKILL)
    lost = await process.exited()
    assert (lost.why, lost.tree) == ("lost", "unknown")
    assert is_alive(orphan)

    ended = await process.stop()

    assert ended is not None
    assert (ended.why, ended.tree, ended.survivors) == ("lost", "empty", [])
    assert [pid for pid in (root, orphan) if is_running(pid)] == []


async def test_starting_twice_is_an_error_that_says_so(make: Make) -> None:
    """The second start names the session and the pid, and disturbs nothing."""
    process = make(*SLEEP)
    await process.start()

    with pytest.raises(AlreadyStarted, match=f"'one' was already started by this object, as pid {process.pid}"):
        await process.start()

    assert process.is_running


async def test_another_object_joins_the_living_process(make: Make) -> None:
    """A session has one process: starting it again elsewhere adopts what runs."""
    first, second = make(*SLEEP), make(*SLEEP)
    await first.start()

    await second.start()

    assert second.adopted
    assert second.pid == first.pid


async def test_starts_at_once_make_one_process(make: Make) -> None:
    """Of eight that start the same session at the same time one launches it and seven join."""
    processes = [make(*SLEEP) for _ in range(8)]

    await asyncio.gather(*(process.start() for process in processes))

    assert len({process.pid for process in processes}) == 1
    assert sum(not process.adopted for process in processes) == 1


async def test_a_session_can_be_started_again_after_its_end(make: Make) -> None:
    """A new object starts a new process, whose journal goes on where the earlier one's ended."""
    first, second = make("/bin/echo", "one"), make("/bin/echo", "two")
    await first.start()
    await first.exited()

    await second.start()
    await second.exited()

    assert second.pid != first.pid
    assert not second.adopted
    assert await lines(second, 2) == ["one", "two"]


async def test_a_process_that_is_being_stopped_is_not_adopted(make: Make) -> None:
    """Who starts the session in that moment waits for its end and launches a new one."""
    first, second = make(*IGNORES_SIGTERM), make(*SLEEP)
    await first.start()
    await first_line(first)
    stopping = asyncio.create_task(make(*SLEEP).stop(timeout=1))
    await until_stopping(first)

    await second.start()

    assert not second.adopted
    assert second.pid != first.pid
    assert second.is_running
    assert await stopping is not None


async def until_stopping(process: ClaudeProcess) -> None:
    """Wait until the shim says that it ends its process."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            connection = await ShimConnection.attach(process._directory, generation=process.generation)
            await connection.detach()
            if connection.hello.state == "stopping":
                return


async def test_stopping_twice_is_not_an_error(make: Make) -> None:
    """The second stop tells the same end again."""
    process = make(*SLEEP)
    await process.start()

    first, second = await process.stop(), await process.stop()

    assert first is not None
    assert first == second


async def test_stopping_what_never_ran_is_not_an_error(make: Make) -> None:
    """There is nothing to stop and nothing to tell."""
    assert await make(*SLEEP).stop() is None


async def test_another_object_can_stop_the_process(make: Make) -> None:
    """Whoever takes over needs only the session's id, and finds the end on record afterwards."""
    first, second = make(*SLEEP), make(*SLEEP)
    await first.start()

    ended = await second.stop()

    assert ended is not None
    assert await first.exited() == ended
    assert await make(*SLEEP).stop() == ended


async def test_letting_go_leaves_the_process_running(make: Make) -> None:
    """A worker that detaches takes nothing with it."""
    process = make(*SLEEP)
    await process.start()

    await process.detach()

    assert not process.is_running
    assert process.pid is not None
    assert is_alive(process.pid)


async def test_attaching_to_nothing_is_refused(make: Make) -> None:
    """There is no process to join."""
    with pytest.raises(NotRunning):
        await make(*SLEEP).attach()


async def test_an_end_is_recorded_as_it_came(make: Make) -> None:
    """Exit code of one that ends by itself, signal of one that is killed by somebody else."""
    leaves = make("/bin/sh", "-c", "exit 3", session_id="leaves")
    killed = make(*SLEEP, session_id="killed")
    await asyncio.gather(leaves.start(), killed.start())
    assert killed.pid is not None
    os.kill(killed.pid, signal.SIGKILL)

    async with asyncio.timeout(PATIENCE_SECONDS):
        left, died = await leaves.exited(), await killed.exited()

    assert (left.why, left.code, left.signal) == ("exited", 3, None)
    assert (died.why, died.code, died.signal) == ("exited", None, signal.SIGKILL)


async def test_a_missing_executable_is_named(make: Make) -> None:
    """The error names it and says what to do; nothing runs afterwards."""
    process = make("/no/such/claude")

    with pytest.raises(ExecutableMissing, match=r"'/no/such/claude' was not found.*DURABLE_CLAUDE_EXECUTABLE"):
        await process.start()

    assert not process.is_running


async def test_an_executable_without_leave_to_run_is_named(make: Make, tmp_path: Path) -> None:
    """A file that cannot be executed is told apart from one that is not there."""
    plain = tmp_path / "claude"
    plain.write_text("")

    with pytest.raises(ExecutableMissing, match="cannot be executed"):
        await make(str(plain)).start()


async def test_a_failed_start_can_be_repeated(make: Make, tmp_path: Path) -> None:
    """Once the reason is gone the same object starts the process."""
    program = tmp_path / "claude"
    process = make(str(program))
    with pytest.raises(ExecutableMissing):
        await process.start()
    program.write_text("#!/bin/sh\nexec sleep 3600\n")
    program.chmod(0o755)

    await process.start()

    assert process.is_running


async def test_a_missing_directory_is_refused(make: Make, project: Path) -> None:
    """Nothing is started in a directory that is not there, or is a file."""
    (project / "file").touch()

    with pytest.raises(ProjectRefused, match="does not exist"):
        await make(*SLEEP, project_path=project / "gone").start()
    with pytest.raises(ProjectRefused, match="is not a directory"):
        await make(*SLEEP, project_path=project / "file").start()


def refused_for_others(path: str) -> str:
    """What project_directory says to a user without privileges, who is a child of this process."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setuid(65534)
            project_directory(path, [Path("/")])
            os.write(writer, b"accepted")
        except ProjectRefused as error:
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer:
        said = answer.read().decode()
    os.waitpid(child, 0)
    return said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_unreadable_directory_is_refused(short_path: Path) -> None:
    """A directory that this user may not enter is refused before anything starts."""
    short_path.chmod(0o755)
    locked = short_path / "locked"
    locked.mkdir(mode=0o700)

    assert "ProjectRefused" in refused_for_others(str(locked))
    assert "may not be read" in refused_for_others(str(locked))


async def test_a_forbidden_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the operator's settings only directories below their roots are used."""
    for name in ("root", "outside"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("DURABLE_CLAUDE_ROOTS", str(tmp_path / "root"))
    monkeypatch.setenv("DURABLE_CLAUDE_STATE_DIRECTORY", str(tmp_path / "state"))

    with pytest.raises(ProjectRefused, match="outside the allowed roots"):
        await ClaudeProcess("one", tmp_path / "outside").start()

    assert not (tmp_path / "state").exists()


def test_a_session_id_is_checked_before_anything_else(host: HostDirectory, project: Path) -> None:
    """An id that could name another directory never gets as far as a path."""
    with pytest.raises(ValueError, match="1 to 64 letters"):
        ClaudeProcess("../up", project, host=host)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("cannot find the config", ExitedEarly),
        ("No conversation found with session ID: 5f3", ConversationUnknown),
        ("Error: Session ID 5f3 is already in use.", ConversationTaken),
    ],
)
async def test_an_end_before_the_handshake_tells_what_was_said(make: Make, said: str, error: type[ExitedEarly]) -> None:
    """The error has the exit code and the tail of stderr, and knows claude's own two refusals."""
    process = make("/bin/sh", "-c", f"echo earlier >&2; echo '{said}' >&2; exit 1")
    await process.start()

    with pytest.raises(error) as failure:
        await process.ready(PATIENCE_SECONDS)

    assert type(failure.value) is error
    assert failure.value.exit.code == 1
    assert "exit code 1" in str(failure.value)
    assert said in str(failure.value)
    assert process.stderr_tail() == f"earlier\n{said}\n"


async def test_no_answer_to_the_handshake_is_not_ready(make: Make) -> None:
    """A process that lives and is silent is not ready in time, and is left alone."""
    process = make(*SLEEP)
    await process.start()

    with pytest.raises(NotReady, match=r"has not answered the handshake within 0\.1 s"):
        await process.ready(0.1)

    assert process.is_running


ANSWERS = """
import json, sys
for line in sys.stdin:
    print("read: " + line, file=sys.stderr, end="", flush=True)
    request = json.loads(line)
    response = {"subtype": "success", "request_id": request["request_id"], "response": {"claude_code_version": "9.9"}}
    print(json.dumps({"type": "control_response", "response": response}), flush=True)
"""


async def test_the_handshake_is_made_once(make: Make) -> None:
    """Asked again, also by another object, ready finds the answer in the journal."""
    first, second = make(*python(ANSWERS)), make(*python(ANSWERS))
    await first.start()
    await second.start()

    answers = [await first.ready(PATIENCE_SECONDS), await first.ready(), await second.ready()]

    assert [answer.cli_version for answer in answers] == ["9.9"] * 3
    assert first.stderr_tail().count("read: ") == 1


async def test_stdout_and_stderr_are_kept(make: Make) -> None:
    """Both are on disk, apart, after the process is gone; a long stderr is told by its tail."""
    process = make("/bin/sh", "-c", "echo out; echo problem >&2; seq 100000 >&2; echo end >&2")
    await process.start()
    await process.exited()

    assert process.stdout_path.read_text() == "out\n"
    assert process.journal_end == 4
    assert process.stderr_path.read_text().startswith("problem\n1\n")
    assert process.stderr_tail(limit=10).endswith("00\nend\n")
    assert len(process.stderr_tail()) <= 4096


async def test_events_are_read_from_any_offset_also_after_the_end(make: Make) -> None:
    """Each event comes with the offset from which the next one is read, by whoever asks, with or without a process."""
    process = make("/bin/sh", "-c", "echo one; echo two; printf torn")
    await process.start()

    live = [(offset, head(event)) async for offset, event in process.events()]
    later = [(offset, head(event)) async for offset, event in make().events(live[0][0])]

    assert live == [(4, "one"), (8, "two"), (12, "torn")]
    assert later == live[1:]


async def test_a_message_is_delivered_once(make: Make) -> None:
    """The same message id again changes nothing; another one does."""
    process = make("/bin/cat")
    await process.start()

    outcomes = [await process.send(message_id, b"hello\n") for message_id in ("m-1", "m-1", "m-2")]
    await process.stop(PATIENCE_SECONDS)

    assert outcomes == ["written", "duplicate", "written"]
    assert process.stdout_path.read_text() == "hello\nhello\n"


async def test_sending_without_a_process_is_refused(make: Make) -> None:
    """Who sends must have started or attached before."""
    with pytest.raises(NotRunning, match="start or attach first"):
        await make(*SLEEP).send("m-1", b"hello\n")


async def test_no_user_input_is_in_the_command(make: Make, tmp_path: Path) -> None:
    """A project path full of shell is a directory and nothing else, and a message never becomes an argument."""
    hostile = tmp_path / "$(touch hit); `touch hit` && touch hit #"
    hostile.mkdir()
    process = make(*python("import os, sys; print(os.getcwd(), len(sys.argv), flush=True); sys.stdin.read()"))
    process = make(*process._command or (), session_id="hostile", project_path=hostile)
    await process.start()
    await process.send("m-1", b"--dangerously-skip-permissions $(touch hit)\n")

    assert await first_line(process) == f"{hostile.resolve()} 1"
    assert process.pid is not None
    assert "touch hit" not in " ".join(psutil.Process(process.pid).cmdline())
    assert list(tmp_path.rglob("hit")) == []


async def test_a_cancelled_start_can_be_stopped(make: Make) -> None:
    """Who is cancelled while starting knows that the launch is over, and can end what it made."""
    process = make(*SLEEP)
    starting = asyncio.create_task(process.start())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    await process.stop(0)

    with pytest.raises(NotRunning):
        await make(*SLEEP).attach()
