"""Fixtures for every test: a host of its own, and proof that nothing is left on it."""

import fcntl
import io
import logging
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from shim.paths import HostDirectory, SessionDirectory


def pytest_configure() -> None:
    """A shell has its background jobs ignore Ctrl-C, and with them all that they start: commands under test do not."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much of what could go on for ever: defaults for every day, more by hand."""
    parser.addoption("--turns", default="600", help="turns of the long session in tests/workflow/test_moves_on.py")
    parser.addoption("--runs", default="200", help="random sessions in tests/workflow/test_promises.py")


# Whole files run beside each other; of these each takes minutes, and the last one to begin is the last to end.
LONG_FILES = ("test_promises.py", "test_signal_kills.py", "test_moves_on.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files begin first."""
    items.sort(key=lambda item: item.path.name not in LONG_FILES)


# A shim that was just told to stop is gone in milliseconds; a busy machine gets this long.
GONE_SECONDS = 10.0


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A new directory with a path short enough for sockets, which pytest's own are not; removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="dc-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A stream to log to; afterwards logging is as it was."""
    root, handlers, level = logging.getLogger(), logging.getLogger().handlers[:], logging.getLogger().level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def small_disk(short_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    path = short_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(path)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.decode().strip()}")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def host(short_path: Path) -> Iterator[HostDirectory]:
    """A host of the test's own. The test stops its sessions; a living shim, a socket or a held lock fails it."""
    host = HostDirectory(state=short_path / "state", run=short_path / "run")
    host.prepare()
    yield host
    deadline = time.monotonic() + GONE_SECONDS
    while (left := left_on(host)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []


def left_on(host: HostDirectory) -> list[str]:
    """Name every socket that still exists and every lock that somebody still holds."""
    sockets = [f"socket {path.name}" for path in host.run.iterdir()]
    sessions = [host.session(session_id) for session_id in host.sessions()]
    return sockets + [held for session in sessions for held in held_locks(session)]


def held_locks(session: SessionDirectory) -> list[str]:
    """Name the locks of a session that a process still holds."""
    return [f"{session.session_id}: {path.name} is held" for path in (session.lock, session.child_lock) if held(path)]


def held(path: Path) -> bool:
    """Whether a process holds the lock on this file."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
