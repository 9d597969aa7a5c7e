"""Where things are on one host: the directory of state, the directory of sockets, and a directory for each session."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from shim.layout import LEASE, SESSIONS, SessionFiles

_SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

# macOS allows 103 bytes in sockaddr_un.sun_path, Linux 107: the smaller one keeps a state directory portable.
SOCKET_PATH_BYTES = 103


@dataclass(frozen=True, kw_only=True)
class SessionDirectory:
    """The files of one session. Lock files in it are never unlinked while anybody could hold them."""

    session_id: str
    state: Path
    run: Path

    @property
    def files(self) -> SessionFiles:
        return SessionFiles(str(self.state), str(self.run), self.session_id)

    @property
    def path(self) -> Path:
        return Path(self.files.directory)

    @property
    def spec(self) -> Path:
        return Path(self.files.spec)

    @property
    def lock(self) -> Path:
        return Path(self.files.lock)

    @property
    def child_lock(self) -> Path:
        return Path(self.files.child_lock)

    @property
    def boot(self) -> Path:
        return Path(self.files.boot)

    @property
    def socket(self) -> Path:
        return Path(self.files.socket)

    def exit(self, generation: int) -> Path:
        return Path(self.files.exit(generation))

    def journal(self, generation: int) -> Path:
        return Path(self.files.journal(generation))

    def stderr(self, generation: int) -> Path:
        return Path(self.files.stderr(generation))


@dataclass(frozen=True, kw_only=True)
class HostDirectory:
    """The two directories of a host: `state` survives a reboot, `run` is short and holds the sockets."""

    state: Path
    run: Path

    @property
    def lease(self) -> Path:
        return self.state / LEASE

    def session(self, session_id: str) -> SessionDirectory:
        if not _SESSION_ID.fullmatch(session_id):
            raise ValueError(f"{session_id!r} cannot name a session: use 1 to 64 letters, digits, dots, dashes")
        return SessionDirectory(session_id=session_id, state=self.state, run=self.run)

    def sessions(self) -> list[str]:
        """Every session that has a directory here, running or not."""
        try:
            names = os.listdir(self.state / SESSIONS)
        except FileNotFoundError:
            return []
        return sorted(name for name in names if _SESSION_ID.fullmatch(name))

    def prepare(self) -> None:
        """Create both directories, private to this user; refuse a run directory that is not ours."""
        _private_directory(self.state)
        _private_directory(self.state / SESSIONS)
        _private_directory(self.run)
        longest = len(os.fsencode(self.session("x").socket))
        if longest > SOCKET_PATH_BYTES:
            raise ValueError(f"{str(self.run)!r} is too long for sockets ({longest} bytes): choose a shorter directory")


def _private_directory(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise PermissionError(f"{str(path)!r} is a symbolic link: name the directory itself")
    if found.st_uid != os.geteuid():
        raise PermissionError(f"{str(path)!r} belongs to user {found.st_uid}: choose a directory of your own")
    if stat.S_IMODE(found.st_mode) & 0o077:
        path.chmod(0o700)
