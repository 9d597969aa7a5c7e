"""The name of this host: made once, kept in the state directory, the same for every worker that runs on it."""

import os
import re
import secrets
import socket
from pathlib import Path


class HostIdUnreadable(ValueError):
    """The file with the host id holds something else."""


def host_id(state_directory: Path) -> str:
    """Return the id that this state directory was given, giving it one if need be; callers at the same time agree."""
    path = state_directory / "host-id"
    if not path.exists():
        _publish(path, _new_id())
    return _read(path)


def _new_id() -> str:
    # The machine's name is for people who read queue names; the random part is what tells hosts apart.
    name = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().lower()).strip("-")[:32].strip("-")
    return f"{name or 'host'}-{secrets.token_hex(4)}"


def _publish(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with draft.open("w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link, not a rename: the first one wins, and whoever comes second reads that.
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)


def _read(path: Path) -> str:
    text = path.read_text().strip()
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", text):
        raise HostIdUnreadable(
            f"{str(path)!r} holds {text[:80]!r}, which is no host id: restore it, or delete it when no session is alive"
        )
    return text
