"""Whoever is killed, at whatever moment: the next start works, and there never were two."""

import asyncio
import json
import signal
from pathlib import Path

import pytest

from shim import procfs
from shim.client import LaunchFailed, NotAnswering, encode, launcher_argv, read_exit
from tests.shim.stage import Known, Stage, first_line, known, python, until

# A launch takes about forty milliseconds: killing in steps of two hits everything in it.
MOMENTS = [moment * 0.002 for moment in range(30)]


@pytest.mark.parametrize("victim", ["launcher", "shim", "both"])
async def test_kill_at_any_moment_of_a_launch(stage: Stage, short_path: Path, victim: str) -> None:
    """kill -9 at thirty moments of a launch; each time the next launch works and no two claudes overlap."""
    witness = short_path / "witness"
    argv = python("only_one.py", str(witness))
    for generation, moment in enumerate(MOMENTS, start=1):
        await _killed_launch(stage, encode(stage.spec(argv, generation=generation)), moment, victim)
        await stage.launch(argv, generation=generation)
        connection = await stage.attach(generation=generation)
        assert (await connection.stop(0)).tree == "empty"
        await connection.detach()
    assert "overlap" not in (witness.read_text() if witness.exists() else "")


async def _killed_launch(stage: Stage, spec: bytes, moment: float, victim: str) -> None:
    launcher = await asyncio.create_subprocess_exec(
        *launcher_argv(stage.host), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    assert launcher.stdin
    launcher.stdin.write(spec)
    launcher.stdin.close()
    await asyncio.sleep(moment)
    shims = [process for process in _shims(stage) if process.pid != launcher.pid]
    if victim != "shim" and launcher.returncode is None:
        launcher.kill()
    if victim != "launcher":
        for shim in shims:
            shim.kill()
    await launcher.wait()


def _shims(stage: Stage) -> list[Known]:
    return [
        Known(pid, found[1])
        for pid in procfs.pids()
        if (found := procfs.parent_and_start(pid)) and f"{stage.host.state}/shim/".encode() in _command(pid)
    ]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


async def test_kill_at_any_moment_of_a_stop(stage: Stage, short_path: Path) -> None:
    """The shim is killed while it climbs the ladder: the next start finds nobody left, or ends them."""
    for generation in range(1, 11):
        pids = short_path / f"pids{generation}"
        pids.mkdir()
        await stage.launch(python("escape.py", str(pids)), generation=generation)
        connection = await stage.attach(generation=generation)
        assert await first_line(connection) == b"ready"
        tree = [known(int(path.read_text())) for path in pids.iterdir()]
        shim = known(connection.hello.shim_pid)
        stop = asyncio.create_task(connection.stop(0.05))
        await asyncio.sleep(generation * 0.01)
        shim.kill()
        await stop
        await connection.detach()
        await stage.launch(["/bin/cat"], generation=generation)
        assert not [process for process in tree if process.lives]
        again = await stage.attach(generation=generation)
        await again.stop(0)
        await again.detach()


async def test_stopped_shim_is_neither_dead_nor_joined(stage: Stage) -> None:
    """A shim that is stopped holds its lock and says nothing: every call ends, nobody starts a second claude.

    Once it runs again it does what it was asked meanwhile.
    """
    started = await stage.launch(["/bin/cat"])
    attached = await stage.attach()
    shim = known(started.shim_pid)
    shim.kill(signal.SIGSTOP)
    attach, stop, launch = await asyncio.gather(
        stage.attach(generation=1),
        attached.stop(0),
        stage.launch(["/bin/cat"], generation=2),
        return_exceptions=True,
    )
    assert shim.lives
    assert isinstance(attach, NotAnswering)
    assert isinstance(stop, NotAnswering)
    assert isinstance(launch, LaunchFailed)
    assert launch.kind == "locked"
    shim.kill(signal.SIGCONT)
    assert (await attached.exited()).why == "stopped"


async def test_launcher_that_is_killed_leaves_a_session(stage: Stage) -> None:
    """A worker that dies after the fork finds the session when it comes back: nobody has to read the answer."""
    process = await asyncio.create_subprocess_exec(*launcher_argv(stage.host), stdin=asyncio.subprocess.PIPE)
    assert process.stdin
    process.stdin.write(encode(stage.spec(["/bin/cat"])))
    process.stdin.close()
    await until(lambda: stage.directory().path.joinpath("shim.log").exists(), "the shim")
    process.kill()
    await process.wait()
    connection = await stage.attach()
    await connection.write("a", b"fine\n")
    assert await first_line(connection) == b"fine"


@pytest.mark.parametrize("spoiled", [b"", b"{}", b"[1]", b'{"generation": "x"', b'{"generation": null, "fence": {}}'])
async def test_spoiled_boot_record_does_not_hold_up_a_start(stage: Stage, spoiled: bytes) -> None:
    """A host crash may leave any rubbish in a file that was just written: the next start works."""
    await stage.launch(["/bin/cat"])
    await (await stage.attach()).stop(0)
    stage.directory().boot.write_bytes(spoiled)
    assert (await stage.launch(["/bin/cat"], generation=2)).outcome == "started"


async def test_heirs_are_swept_without_a_boot_record(stage: Stage, short_path: Path) -> None:
    """The boot record of a killed shim is gone too: whoever holds the inherited lock is found by that alone."""
    pids = short_path / "pids"
    pids.mkdir()
    await stage.launch(python("escape.py", str(pids)), without=("cgroup",))
    connection = await stage.attach()
    assert await first_line(connection) == b"ready"
    tree = {path.name: known(int(path.read_text())) for path in pids.iterdir()}
    known(connection.hello.shim_pid).kill()
    await connection.exited()
    stage.directory().boot.unlink()
    await stage.launch(["/bin/cat"], generation=2, without=("cgroup",))
    out_of_reach = tree.pop("hidden")
    survivors = [kind for kind, process in tree.items() if process.lives]
    out_of_reach.kill()
    assert survivors == []


async def test_end_of_another_boot_is_lost(stage: Stage) -> None:
    """After a reboot nothing is left to sweep, and the end of what ran before it is recorded as lost."""
    started = await stage.launch(["/bin/cat"])
    connection = await stage.attach()
    known(started.shim_pid).kill()
    await connection.exited()
    boot = json.loads(stage.directory().boot.read_bytes())
    stage.directory().boot.write_text(json.dumps({**boot, "boot_id": "another"}))
    await stage.launch(["/bin/cat"], generation=2)
    recorded = read_exit(stage.directory(), 1)
    assert recorded is not None
    assert recorded.why == "lost"
