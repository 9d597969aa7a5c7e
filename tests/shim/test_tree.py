"""However a descendant hides, the end of its session is its end."""

from pathlib import Path

import pytest

from shim.client import LaunchFailed, ShimConnection
from tests.shim.stage import Known, Stage, first_line, known, python, until

KINDS = {
    "leader", "child", "group", "session", "daemon", "bare", "hidden", "deaf", "stopped", "reaper", "heir",
}  # fmt: skip
EACH_WAY = pytest.mark.parametrize("without", [(), ("cgroup",)], ids=["with cgroup", "without cgroup"])


async def escapees(
    stage: Stage, pids: Path, *arguments: str, ttl: float = 600.0, without: tuple[str, ...] = ()
) -> tuple[ShimConnection, dict[str, Known]]:
    """Start the leader and all who try to escape it."""
    pids.mkdir()
    await stage.launch(python("escape.py", str(pids), *arguments), ttl=ttl, without=without)
    connection = await stage.attach()
    assert await first_line(connection) == b"ready"
    found = {path.name: known(int(path.read_text())) for path in pids.iterdir()}
    assert set(found) == KINDS
    return connection, found


def living(found: dict[str, Known]) -> set[str]:
    return {kind for kind, process in found.items() if process.lives}


@EACH_WAY
async def test_stop_leaves_nobody(stage: Stage, short_path: Path, without: tuple[str, ...]) -> None:
    """After stop none of eleven kinds of descendant lives, and the kernel has said so."""
    connection, found = await escapees(stage, short_path / "pids", without=without)
    ended = await connection.stop(0.4)
    assert living(found) == set()
    assert (ended.why, ended.tree, ended.survivors) == ("stopped", "empty", [])


@EACH_WAY
async def test_stop_at_once_leaves_nobody(stage: Stage, short_path: Path, without: tuple[str, ...]) -> None:
    """A timeout of zero kills without asking, and kills all."""
    connection, found = await escapees(stage, short_path / "pids", without=without)
    assert (await connection.stop(0)).tree == "empty"
    assert living(found) == set()


@EACH_WAY
async def test_lease_that_runs_out_leaves_nobody(stage: Stage, short_path: Path, without: tuple[str, ...]) -> None:
    """Without a renewal the shim ends the whole tree by itself."""
    connection, found = await escapees(stage, short_path / "pids", ttl=2.0, without=without)
    ended = await connection.exited()
    assert living(found) == set()
    assert (ended.why, ended.tree) == ("lease", "empty")


@EACH_WAY
async def test_leader_that_leaves_takes_all_along(stage: Stage, short_path: Path, without: tuple[str, ...]) -> None:
    """When claude ends by itself, what it started ends with it."""
    connection, found = await escapees(stage, short_path / "pids", "leave", without=without)
    await connection.write("leave", b"\n")
    ended = await connection.exited()
    assert living(found) == set()
    assert (ended.why, ended.code, ended.tree) == ("exited", 0, "empty")


@EACH_WAY
async def test_killed_leader_takes_all_along(stage: Stage, short_path: Path, without: tuple[str, ...]) -> None:
    """When claude is killed, what it started ends too."""
    connection, found = await escapees(stage, short_path / "pids", without=without)
    found["leader"].kill()
    ended = await connection.exited()
    assert living(found) == set()
    assert (ended.why, ended.signal, ended.tree) == ("exited", 9, "empty")


@EACH_WAY
async def test_next_start_sweeps_after_a_killed_shim(stage: Stage, short_path: Path, without: tuple[str, ...]) -> None:
    """kill -9 of the shim orphans the tree; once the next start has run, none of it lives.

    Without a cgroup one kind stays out of reach: a daemon that has neither our environment nor our descriptors.
    """
    connection, found = await escapees(stage, short_path / "pids", without=without)
    known(connection.hello.shim_pid).kill()
    assert (await connection.exited()).why == "lost"
    await stage.launch(["/bin/cat"], generation=2, without=without)
    out_of_reach = {"hidden"} if without else set[str]()
    survivors = living(found)
    found["hidden"].kill()
    assert survivors == out_of_reach


async def test_without_adopting_orphans_some_escape(stage: Stage, short_path: Path) -> None:
    """The mechanism off: killing the leader and its group leaves survivors, and the record does not call it empty."""
    connection, found = await escapees(stage, short_path / "pids", without=("subreaper", "cgroup"))
    ended = await connection.stop(0)
    survivors = living(found)
    for process in found.values():
        process.kill()
    await until(lambda: not living(found))
    assert survivors >= {"group", "session", "daemon", "bare", "hidden", "heir"}
    assert ended.tree == "unknown"


async def test_without_sweep_heirs_block_the_next_start(stage: Stage, short_path: Path) -> None:
    """The mechanism off: heirs survive a killed shim; the lock they inherited still keeps a second claude out."""
    connection, found = await escapees(stage, short_path / "pids", without=("cgroup",))
    known(connection.hello.shim_pid).kill()
    await connection.exited()
    with pytest.raises(LaunchFailed, match="still holds") as refusal:
        await stage.launch(["/bin/cat"], generation=2, without=("sweep", "cgroup"))
    survivors = living(found)
    assert refusal.value.kind == "survivors"
    assert survivors >= {"daemon", "session", "deaf"}
    assert "leader" not in survivors
    await stage.launch(["/bin/cat"], generation=2, without=("cgroup",))
    found["hidden"].kill()
    await until(lambda: not living(found))


async def test_without_shared_fate_the_leader_outlives_its_shim(stage: Stage, short_path: Path) -> None:
    """The mechanism off: without PDEATHSIG a killed shim leaves claude itself running, until a sweep."""
    connection, found = await escapees(stage, short_path / "pids", without=("deathsig",))
    known(connection.hello.shim_pid).kill()
    await connection.exited()
    assert "leader" in living(found)
    await stage.launch(["/bin/cat"], generation=2)
    assert living(found) == set()


async def test_claude_lives_in_the_cgroup_and_the_shim_does_not(stage: Stage) -> None:
    """Where a cgroup can be had, claude is born inside it."""
    started = await stage.launch(["/bin/cat"])
    place = Path(f"/proc/{started.pid}/cgroup").read_text().partition("0::")[2]
    if "durable-claude-" not in place:
        pytest.skip("no writable cgroup v2 with cgroup.kill on this machine")
    assert "durable-claude-" not in Path(f"/proc/{started.shim_pid}/cgroup").read_text()


async def test_survivor_of_an_unmarked_end_is_found_in_the_cgroup(stage: Stage, short_path: Path) -> None:
    """A cleaner removes every file of a living session: the next start still ends what is in its cgroup."""
    connection, found = await escapees(stage, short_path / "pids")
    if not await _has_cgroup(connection):
        pytest.skip("no writable cgroup v2 with cgroup.kill on this machine")
    directory = stage.directory()
    for path in (directory.socket, directory.lock, directory.child_lock, directory.boot):
        path.unlink()
    second = await stage.launch(["/bin/cat"], generation=2)
    assert living(found) == set()
    await connection.exited()
    assert known(second.pid).lives


async def _has_cgroup(connection: ShimConnection) -> bool:
    return "durable-claude-" in Path(f"/proc/{connection.hello.pid}/cgroup").read_text()
