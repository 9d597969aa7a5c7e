"""One session has one claude, however often and however fast it is started."""

import asyncio
import sys
from collections import Counter
from pathlib import Path

from shim.client import Launched
from tests.shim.stage import PROGRAMS, Stage, known, python, until

STARTS = 40


async def start_at_once(stage: Stage, witness: Path, generation: int) -> list[Launched]:
    starts = [stage.launch(python("only_one.py", str(witness)), generation=generation) for _ in range(STARTS)]
    return await asyncio.gather(*starts)


async def test_forty_starts_at_once_give_one_process(stage: Stage, short_path: Path) -> None:
    """One start wins, thirty-nine are told of the same process."""
    witness = short_path / "witness"
    answers = await start_at_once(stage, witness, 1)
    assert Counter(answer.outcome for answer in answers) == {"started": 1, "running": STARTS - 1}
    assert len({answer.pid for answer in answers}) == 1
    await until(lambda: witness.exists() and witness.read_text())
    assert witness.read_text() == "started\n"


async def test_forty_starts_after_a_killed_shim_give_one_process(stage: Stage, short_path: Path) -> None:
    """Right after kill -9 of the shim, too: the second claude starts when the first one is dead."""
    witness = short_path / "witness"
    first = await stage.launch(python("only_one.py", str(witness)))
    await until(lambda: witness.exists() and witness.read_text())
    known(first.shim_pid).kill()
    answers = await start_at_once(stage, witness, 2)
    assert Counter(answer.outcome for answer in answers) == {"started": 1, "running": STARTS - 1}
    await until(lambda: witness.read_text().count("\n") == 2)
    assert witness.read_text() == "started\nstarted\n"


async def test_lock_of_the_child_keeps_a_second_claude_out(stage: Stage, short_path: Path) -> None:
    """A claude that outlived its shim is ended before the next one begins, whatever sweep finds it."""
    witness = short_path / "witness"
    first = await stage.launch(python("only_one.py", str(witness)), without=("deathsig", "cgroup"))
    await until(lambda: witness.exists() and witness.read_text())
    known(first.shim_pid).kill()
    await start_at_once(stage, witness, 2)
    await until(lambda: witness.read_text().count("\n") == 2)
    assert witness.read_text() == "started\nstarted\n"


async def test_without_locks_there_are_two(stage: Stage, short_path: Path) -> None:
    """The mechanism off: with socket and locks removed and no cgroup a second one starts beside the first.

    The first shim then notices that somebody else holds its lock, and ends.
    """
    witness = short_path / "witness"
    first = await stage.launch(python("only_one.py", str(witness)), without=("cgroup",))
    connection = await stage.attach()
    await until(lambda: witness.exists() and witness.read_text())
    directory = stage.directory()
    for path in (directory.socket, directory.lock, directory.child_lock, directory.boot):
        path.unlink()
    second = await stage.launch(python("only_one.py", str(witness)), generation=2, without=("cgroup",))
    await until(lambda: witness.read_text().count("\n") == 2)
    assert witness.read_text() == "started\noverlap\n"
    assert (await connection.exited()).why == "stopped"
    assert first.pid != second.pid
    assert (await stage.attach(generation=2)).hello.pid == second.pid


async def test_lock_on_a_file_that_is_no_longer_there_is_none(short_path: Path) -> None:
    """Four processes fight for a lock whose file each of them unlinks: never do two hold it."""
    command = [sys.executable, str(PROGRAMS / "unlinker.py"), str(short_path / "lock"), "200"]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    fighters = [
        await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
        for _ in range(4)
    ]
    met = [await fighter.communicate() for fighter in fighters]
    assert [out for out, _ in met] == [b"0\n"] * 4


async def test_lock_file_unlinked_by_a_cleaner_is_made_again(stage: Stage) -> None:
    """Both lock files vanish: a start finds the living session all the same, and the locks come back, held."""
    first = await stage.launch(["/bin/cat"])
    directory = stage.directory()
    directory.lock.unlink()
    directory.child_lock.unlink()
    assert (await stage.launch(["/bin/cat"])).pid == first.pid
    await until(lambda: directory.lock.exists() and directory.child_lock.exists(), "the return of the lock files")
    directory.socket.unlink()
    assert (await stage.launch(["/bin/cat"])).pid == first.pid
