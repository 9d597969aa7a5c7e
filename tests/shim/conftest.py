"""A stage for every test, which is empty again when the test has ended."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shim import procfs
from shim.client import HostDirectory
from tests.shim.stage import Stage, cgroups_of, until


@pytest.fixture
async def stage(host: HostDirectory) -> AsyncIterator[Stage]:
    """A stage of the test's own; a process, socket, lock or cgroup that survives the test fails it."""
    stage = Stage(host)
    yield stage
    await stage.close()
    await until(lambda: not _processes(host.state), f"the end of {_processes(host.state)}")
    await until(lambda: not cgroups_of(stage), "the removal of the cgroups")


def _processes(state: Path) -> list[int]:
    """Shims that run from this state directory, and children that were started with it."""
    return [pid for pid in procfs.pids() if not procfs.is_zombie(pid) and _belongs(pid, state)]


def _belongs(pid: int, state: Path) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    program = f"{state}/shim/".encode()
    return program in command or f"STAGE={state}\0".encode() in procfs.environment(pid) + b"\0"
