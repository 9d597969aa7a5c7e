"""What a session leaves in the world: processes and results. The story proves with it what it claims."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil
from temporalio.client import Client

from claude import protocol
from claude.events import TurnResult
from shim.paths import HostDirectory
from workflows.messages import workflow_id


@dataclass(frozen=True, kw_only=True)
class Trace:
    """The traces of one session on one host."""

    session_id: str
    host: HostDirectory

    def processes(self) -> list[psutil.Process]:
        """Every living process of the session: marked by its environment, its shim, and all below these."""
        marked = [process for process in psutil.process_iter() if self._is_marked(process)]
        below = [child for process in marked for child in _children(process)]
        return sorted({*marked, *below}, key=lambda process: process.pid)

    def results(self) -> int:
        """How many turns claude has ended, by its own journals."""
        journals = self.host.session(self.session_id).path.glob("journal.*.jsonl")
        return sum(_results(journal) for journal in journals)

    def _is_marked(self, process: psutil.Process) -> bool:
        try:
            marked = process.environ().get("DURABLE_CLAUDE_SESSION") == self.session_id
            return is_living(process) and (marked or self._holds_lock(process))
        except (psutil.Error, OSError):
            # Gone, or somebody else's.
            return False

    def _holds_lock(self, process: psutil.Process) -> bool:
        """Whether it is the session's shim."""
        lock = str(self.host.session(self.session_id).lock)
        return any(file.path == lock for file in process.open_files())


def is_living(process: psutil.Process) -> bool:
    """Whether it runs, and not another one that got its pid; a zombie has ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def followers(client: Client, session_id: str) -> list[str]:
    """The workers that follow the session's turn now, by the identities that Temporal knows them by."""
    description = await client.get_workflow_handle(workflow_id(session_id)).describe()
    pending = description.raw_description.pending_activities
    return [activity.last_worker_identity for activity in pending if activity.activity_type.name == "send_turn"]


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def _results(journal: Path) -> int:
    lines = journal.read_bytes().splitlines()
    return sum(isinstance(event, TurnResult) for line in lines for event in protocol.parse(line))
