"""The launcher that waits for the next start: it is used once, replaced, done without, and left behind by nobody."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from claude.launcher import Launcher
from claude.process import ClaudeProcess, Fenced, ProjectRefused
from shim.client import HostDirectory, prune_programs
from tests.shim.stage import Known, known, until

# A worker as far as launchers go: it says who waits, and then only lives.
KEEPER = """
import asyncio, sys
from pathlib import Path
import psutil
from claude.launcher import Launcher
from shim.client import HostDirectory

async def main():
    host = HostDirectory(state=Path(sys.argv[1]), run=Path(sys.argv[2]))
    keeping = asyncio.create_task(Launcher(host).keep())
    while not (children := psutil.Process().children()):
        await asyncio.sleep(0.01)
    print(children[0].pid, flush=True)
    await keeping

asyncio.run(main())
"""


@pytest.fixture
async def launcher(host: HostDirectory) -> AsyncIterator[Launcher]:
    """One that keeps a launcher waiting, until the end of the test."""
    launcher = Launcher(host)
    keeping = asyncio.create_task(launcher.keep())
    await waiting(launcher)
    yield launcher
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping
    assert launchers() == []


@pytest.fixture
async def process(host: HostDirectory, launcher: Launcher, tmp_path: Path) -> AsyncIterator[ClaudeProcess]:
    """A process that says where it is."""
    process = process_in(tmp_path, host, launcher)
    yield process
    await process.stop(0)
    await process.detach()


def process_in(project: Path, host: HostDirectory, launcher: Launcher, generation: int = 1) -> ClaudeProcess:
    command = ["/bin/sh", "-c", "pwd; exec sleep 600"]
    environment = {"PATH": os.defpath}
    return ClaudeProcess(
        "one",
        project,
        host=host,
        launcher=launcher,
        command=command,
        environment=environment,
        generation=generation,
        lease_ttl_seconds=600.0,
    )


def launchers() -> list[psutil.Process]:
    """Those of this process, that wait or work."""
    return [child for child in psutil.Process().children() if "launch" in _argv(child)]


def _argv(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


async def waiting(launcher: Launcher) -> Known:
    """The one that waits."""
    await until(lambda: launcher.has_spare, "a launcher that waits")
    (one,) = launchers()
    return known(one.pid)


async def test_a_start_uses_the_launcher_that_waits(process: ClaudeProcess, launcher: Launcher, tmp_path: Path) -> None:
    """It is taken, gone when the process runs, and has put the process into its own directory."""
    spare = await waiting(launcher)
    await process.start()
    assert not spare.lives
    assert launchers() == []
    assert await _first_line(process) == str(tmp_path)
    launcher.refill()
    assert (await waiting(launcher)).pid != spare.pid


async def test_a_start_without_one_has_its_own(process: ClaudeProcess, host: HostDirectory, tmp_path: Path) -> None:
    """Of two starts the second finds none that waits, and needs none."""
    second = process_in(tmp_path, host, process._launcher)
    await asyncio.gather(process.start(), second.start())
    assert process.pid == second.pid
    await second.detach()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_launcher_that_was_killed_is_done_without(process: ClaudeProcess, number: signal.Signals) -> None:
    """Nobody hears of it: the start has one of its own."""
    spare = await waiting(process._launcher)
    spare.kill(number)
    await until(lambda: not spare.lives, "its end")
    await process.start()
    assert process.is_running


async def test_a_launcher_that_is_killed_with_the_order_in_hand(process: ClaudeProcess) -> None:
    """It took the order and could not answer: the second finds what the first began, or begins it."""
    spare = await waiting(process._launcher)
    spare.kill(signal.SIGSTOP)
    starting = asyncio.create_task(process.start())
    await until(lambda: not process._launcher.has_spare, "the order")
    spare.kill(signal.SIGKILL)
    await starting
    assert process.is_running


async def test_what_it_refuses_is_said_as_ever(host: HostDirectory, launcher: Launcher, tmp_path: Path) -> None:
    """A directory that went away after it was checked, and a start that another one has replaced."""
    process = process_in(tmp_path, host, launcher)
    for how in ("is not a directory", "cannot be entered"):
        with pytest.raises(ProjectRefused, match=f"gone' {how}: No such file"):
            await process._launch(tmp_path / "gone")
    second = process_in(tmp_path, host, launcher, generation=2)
    await second.start()
    await second.stop(0)
    await second.detach()
    launcher.refill()
    await waiting(launcher)
    with pytest.raises(Fenced):
        await process_in(tmp_path, host, launcher, generation=1).start()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_it_ends_with_its_worker(host: HostDirectory, number: signal.Signals) -> None:
    """However a worker ends: the pipe that the launcher reads from ends with it."""
    program = [sys.executable, "-c", KEEPER, str(host.state), str(host.run)]
    keeper = await asyncio.create_subprocess_exec(*program, stdout=PIPE, cwd=Path(__file__).parents[1])
    assert keeper.stdout
    spare = known(int(await keeper.stdout.readline()))
    assert spare.lives
    keeper.send_signal(number)
    await keeper.communicate()
    await until(lambda: not spare.lives, "its end")


async def test_it_holds_nothing_of_its_worker(launcher: Launcher) -> None:
    """Not its directory, its terminal's signals, its environment or its files; and it keeps its program on the disk."""
    spare = psutil.Process((await waiting(launcher)).pid)
    assert spare.cwd() == "/"
    assert os.getsid(spare.pid) == spare.pid
    assert spare.environ().keys() <= {"LC_CTYPE"}
    program = Path(spare.cmdline()[3]).parent
    await until(lambda: [file.path for file in spare.open_files()] == [str(program / "in-use")], "its lock")
    assert prune_programs(launcher._host) == []


async def test_a_host_that_cannot_start_one_tells_it(host: HostDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker goes on; whoever starts a session is told what is wrong."""
    launcher = Launcher(host)

    async def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    monkeypatch.setattr("claude.launcher.RETRY_SECONDS", 0.0)
    keeping = asyncio.create_task(launcher.keep())
    await asyncio.wait([keeping], timeout=0.5)
    assert not keeping.done()
    monkeypatch.undo()
    await waiting(launcher)
    keeping.cancel()
    await asyncio.wait([keeping])
    assert launchers() == []


async def _first_line(process: ClaudeProcess) -> str:
    async for _, event in process.events():
        return str(getattr(event, "head", "")).strip()
    raise AssertionError("it said nothing")
