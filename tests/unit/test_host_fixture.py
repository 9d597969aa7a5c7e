"""The `host` fixture: what it would find when a test left something behind."""

import fcntl
import socket

from shim.paths import HostDirectory
from tests.conftest import left_on


def test_a_clean_host_has_nothing_left(host: HostDirectory) -> None:
    """Directories, lock files and journals alone are no trace of a living process."""
    session = host.session("a")
    session.path.mkdir()
    session.lock.touch()
    session.journal(1).touch()

    assert left_on(host) == []


def test_a_socket_and_a_held_lock_are_found(host: HostDirectory) -> None:
    """A shim that still lives holds its lock and listens on its socket, and both are named."""
    session = host.session("a")
    session.path.mkdir()
    with session.lock.open("wb") as lock, socket.socket(socket.AF_UNIX) as listener:
        fcntl.flock(lock, fcntl.LOCK_EX)
        listener.bind(str(session.socket))

        left = left_on(host)

    session.socket.unlink()
    assert left == [f"socket {session.socket.name}", "a: lock is held"]
