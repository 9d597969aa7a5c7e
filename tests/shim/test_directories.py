"""Where things are: private, short enough, and removed only when nobody can be using them."""

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

import pytest

from shim import program
from shim.client import HostDirectory, StillRunning, delete, launcher_argv, prune_programs
from tests.shim.stage import Stage, cgroups_of, first_line, known, until

CYCLES = 200


async def test_two_hundred_cycles_leave_nothing(stage: Stage) -> None:
    """After 200 starts and stops, descriptors, sockets, locks, cgroups and processes are what they were before."""
    await cycle(stage, "a", 1)
    await cycle(stage, "b", 1)
    before = footprint(stage)
    for generation in range(2, CYCLES // 2 + 2):
        await asyncio.gather(cycle(stage, "a", generation), cycle(stage, "b", generation))
    assert footprint(stage) == before


async def cycle(stage: Stage, session: str, generation: int) -> None:
    await stage.launch(["/bin/cat"], session=session, generation=generation)
    connection = await stage.attach(session, generation=generation)
    await connection.stop(0)
    await connection.detach()
    stage._connections.remove(connection)


def footprint(stage: Stage) -> dict[str, object]:
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "sockets": len(list(stage.host.run.iterdir())),
        "bound": Path("/proc/net/unix").read_text().count(str(stage.host.run)),
        "locks": _held_by_shims(stage),
        "cgroups": cgroups_of(stage),
        "shims": len(list((stage.host.state / "shim").iterdir())),
    }


def _held_by_shims(stage: Stage) -> int:
    inodes = {path.stat().st_ino for path in (stage.host.state / "s").glob("*/lock*")}
    return sum(
        int(line.split()[5].rpartition(":")[2]) in inodes for line in Path("/proc/locks").read_text().splitlines()
    )


async def test_state_directory_of_two_hundred_characters(short_path: Path) -> None:
    """A long state directory is no problem for the socket, which has a short one of its own."""
    state = short_path / ("x" * 90) / ("y" * 90) / "state"
    assert len(str(state)) > 200
    host = HostDirectory(state=state, run=short_path / "run")
    host.prepare()
    stage = Stage(host)
    await stage.launch(["/bin/cat"])
    connection = await stage.attach()
    assert len(os.fsencode(stage.directory().socket)) <= 103
    await connection.write("a", b"fine\n")
    assert await first_line(connection) == b"fine"
    await connection.stop(5)
    await stage.close()


def test_run_directory_that_is_too_long_is_refused(short_path: Path) -> None:
    """A socket path the kernel cannot take is refused when the host is prepared, with the path."""
    with pytest.raises(ValueError, match="choose a shorter"):
        HostDirectory(state=short_path / "state", run=short_path / ("z" * 90)).prepare()


def test_directories_are_private(short_path: Path) -> None:
    """Both directories are made, or made again, for this user alone."""
    (short_path / "run").mkdir(mode=0o755)
    HostDirectory(state=short_path / "state", run=short_path / "run").prepare()
    assert [(short_path / name).stat().st_mode & 0o777 for name in ("state", "state/s", "run")] == [0o700] * 3


def test_run_directory_of_somebody_else_is_refused(short_path: Path) -> None:
    """Nobody can wait for us with a directory or a link in a place that all users share."""
    (short_path / "elsewhere").mkdir()
    (short_path / "link").symlink_to(short_path / "elsewhere")
    with pytest.raises(PermissionError, match="symbolic link"):
        HostDirectory(state=short_path / "state", run=short_path / "link").prepare()
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    os.chown(short_path / "elsewhere", 65534, 65534)
    with pytest.raises(PermissionError, match="belongs to user 65534"):
        HostDirectory(state=short_path / "state", run=short_path / "elsewhere").prepare()


@pytest.mark.parametrize("session", ["", "a/b", "..", ".hidden", "-x", "x" * 65, "a b", "a\n", "é"])
def test_name_that_cannot_be_a_session_is_refused(host: HostDirectory, session: str) -> None:
    """A session id is a file name, so it is checked where it becomes one."""
    with pytest.raises(ValueError, match="cannot name a session"):
        host.session(session)


async def test_delete_refuses_the_living_and_removes_the_dead(stage: Stage) -> None:
    """A session is deleted with everything it had, but never while it runs."""
    await stage.launch(["/bin/cat"])
    directory = stage.directory()
    with pytest.raises(StillRunning, match="stop the session first"):
        delete(directory)
    await (await stage.attach()).stop(0)
    delete(directory)
    assert not directory.path.exists()
    assert stage.host.sessions() == []
    assert list(directory.path.parent.iterdir()) == []
    delete(directory)


async def test_delete_after_a_killed_shim(stage: Stage) -> None:
    """A session whose shim was killed is deleted once claude is dead too, without a living shim."""
    started = await stage.launch(["/bin/cat"])
    connection = await stage.attach()
    claude = known(started.pid)
    known(started.shim_pid).kill()
    await connection.exited()
    await until(lambda: not claude.lives)
    places = cgroups_of(stage)
    delete(stage.directory())
    assert not any(place.exists() for place in places)
    assert not stage.directory().socket.exists()


async def test_delete_and_start_at_once(stage: Stage) -> None:
    """Starts and deletions of one session race; every start that succeeds leaves a session that works."""
    for generation in range(1, 16):
        start = asyncio.create_task(stage.launch(["/bin/cat"], generation=generation))
        while not start.done():
            with contextlib.suppress(StillRunning):
                delete(stage.directory())
            await asyncio.sleep(0)
        await start
        connection = await stage.attach(generation=generation)
        assert await connection.write("a", b"x\n") == "written"
        await connection.stop(0)


def test_program_is_a_copy_named_by_its_content(short_path: Path) -> None:
    """The same code gives the same directory, other code another one, and no draft is left behind."""
    one, two = program.immutable_copy(short_path), program.immutable_copy(short_path)
    assert one == two
    assert [path.name for path in (short_path / "shim").iterdir()] == [one.parent.name]
    other = program._digest((("__main__.py", b"other"),))
    assert other != one.parent.name


async def test_program_brings_its_byte_code(stage: Stage) -> None:
    """A start compiles nothing, and writes nothing into the copy it runs from."""
    script = Path(launcher_argv(stage.host)[3])
    before = sorted(path for path in script.parent.rglob("*"))
    await stage.launch(["/bin/cat"])
    assert sorted(path for path in script.parent.rglob("*")) == before
    modules = {path.name.partition(".")[0] for path in (script.parent / "shim" / "__pycache__").iterdir()}
    assert modules >= {"launch", "supervisor", "control"}


async def test_running_shim_does_not_need_its_program(stage: Stage) -> None:
    """An upgrade may remove the copy a shim runs from: everything is imported at its start."""
    await stage.launch(["/bin/cat"])
    connection = await stage.attach()
    script = Path(launcher_argv(stage.host)[3])
    moved = script.parent.rename(script.parent.with_name("moved"))
    await connection.write("a", b"x\n")
    ended = await connection.stop(5)
    moved.rename(script.parent)
    assert (ended.code, ended.journal_bytes, ended.tree) == (0, 2, "empty")


async def test_programs_that_nobody_runs_from_are_removed(stage: Stage) -> None:
    """A copy goes when no shim runs from it and no worker has used it lately; the own one never does."""
    argv = launcher_argv(stage.host)
    own = Path(argv[3]).parent
    old, quiet, fresh, silent = (own.with_name(name * 16) for name in "abcd")
    for copy in (old, quiet, fresh, silent):
        shutil.copytree(own, copy)
    (silent / "in-use").unlink()
    draft = own.with_name(".draft-x")
    draft.mkdir()
    await stage.run(stage.spec(["/bin/cat"]), launcher_command=[*argv[:3], str(old / "__main__.py"), *argv[4:]])
    for path in (own, old, quiet, silent, draft):
        os.utime(path, (0, 0))
    assert prune_programs(stage.host) == [quiet.name]
    assert sorted(own.parent.iterdir()) == sorted([own, old, fresh, silent])
    connection = await stage.attach()
    await connection.write("a", b"fine\n")
    assert await first_line(connection) == b"fine"
    await connection.stop(0)
    assert prune_programs(stage.host) == [old.name]
    assert sorted(own.parent.iterdir()) == sorted([own, fresh, silent])


async def test_a_launch_keeps_its_program(stage: Stage) -> None:
    """Whoever is about to launch has touched the program, however old it is."""
    own = Path(launcher_argv(stage.host)[3]).parent
    os.utime(own, (0, 0))
    launcher_argv(stage.host)
    assert program._is_quiet(own) is False
