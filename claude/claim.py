"""Which session of the host goes on with a conversation: two claudes on one would both write it."""

from pathlib import Path

from claude.errors import ConversationRefused
from shim import documents, locks
from shim.client import HostDirectory


class Claim:
    """A session's claim on one conversation. It holds against others for as long as the session's process lives."""

    def __init__(self, host: HostDirectory, conversation_id: str, session_id: str) -> None:
        self._host = host
        self._path = host.state / "conversations" / f"{conversation_id}.json"
        self._conversation_id = conversation_id
        self._session_id = session_id

    def take(self) -> None:
        """Make the claim before a start; ConversationRefused while another session's process has it."""
        owner = self._owner()
        if owner != self._session_id and is_running(self._host, owner):
            raise self._refusal(owner)
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        documents.write(str(self._path), {"session_id": self._session_id})

    def confirm(self) -> None:
        """Look again once the process lives: of two that took it at once, the later one has it."""
        if (owner := self._owner()) != self._session_id:
            raise self._refusal(owner)

    def _owner(self) -> str:
        return str((documents.read(str(self._path)) or {}).get("session_id", self._session_id))

    def _refusal(self, owner: str) -> ConversationRefused:
        return ConversationRefused(
            f"conversation {self._conversation_id} is in use by session {owner!r}: stop that one, or fork it"
        )


def is_running(host: HostDirectory, session_id: str) -> bool:
    """Whether a process of the session lives, seen by the locks it holds."""
    directory = host.session(session_id)
    return any(path.exists() and is_held(path) for path in (directory.lock, directory.child_lock))


def is_held(path: Path) -> bool:
    """Whether a process holds the lock now."""
    lock = locks.take(str(path))
    if lock is not None:
        lock.release()
    return lock is None
