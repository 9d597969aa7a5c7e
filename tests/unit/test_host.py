"""The host id: made once, kept, agreed on."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.host import HostIdUnreadable, host_id


def test_the_id_is_kept(tmp_path: Path) -> None:
    """The second call and every later process get the id of the first, and nothing else is left in the directory."""
    state = tmp_path / "new" / "state"

    first = host_id(state)

    assert host_id(state) == first
    assert re.fullmatch(r"[a-z0-9-]+-[0-9a-f]{8}", first)
    assert [path.name for path in state.iterdir()] == ["host-id"]
    assert state.stat().st_mode & 0o777 == 0o700


def test_two_state_directories_are_two_hosts(tmp_path: Path) -> None:
    """Workers with different state directories on one machine never share a queue."""
    assert host_id(tmp_path / "a") != host_id(tmp_path / "b")


def test_workers_that_start_at_once_agree(tmp_path: Path) -> None:
    """Eight processes that all find no id end with the same one."""
    program = (
        "import sys; from pathlib import Path; from runtime.host import host_id\n"
        "sys.stdin.read(); print(host_id(Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    root = Path(__file__).parents[2]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) for _ in range(8)
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.close()
        worker.stdin = None

    answers = {worker.communicate(timeout=60)[0].strip() for worker in workers}

    assert answers == {host_id(tmp_path)}


@pytest.mark.parametrize("text", ["", "Not An Id", "a/b", "x" * 200], ids=["empty", "words", "slash", "long"])
def test_a_damaged_file_is_not_replaced_in_silence(tmp_path: Path, text: str) -> None:
    """A new id would cut living sessions off from their host, so a person is asked."""
    (tmp_path / "host-id").write_text(text)

    with pytest.raises(HostIdUnreadable, match="no host id"):
        host_id(tmp_path)
