"""Who the embedded server is: kept in server.json, so that the next process that wants it can find it and be sure."""

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

# The kernel counts a process's birth from boot, and what the wall clock said at boot may be corrected a little.
_SAME_BIRTH_SECONDS = 2.0

# It ends its services within 2 s of a SIGTERM; past this it hangs, and its database survives a SIGKILL.
_STOP_SECONDS = 15.0

_PAUSE_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class ServerRecord:
    """One server process, told from any other that gets its pid later."""

    pid: int
    born: float
    """When the process was created, in seconds since the epoch."""
    database: str
    port: int
    ui_port: int

    @property
    def process(self) -> psutil.Process | None:
        """The living process this record is about; None when it is gone, whoever has its pid now."""
        try:
            process = psutil.Process(self.pid)
            return process if self._is_about(process) else None
        except psutil.Error:
            return None

    def end(self) -> None:
        """End the process and wait until it is gone; does nothing when it is. Blocks."""
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            if (process := self.process) is None:
                return
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal_number)
            self._wait(_STOP_SECONDS)

    def _is_about(self, process: psutil.Process) -> bool:
        if abs(process.create_time() - self.born) >= _SAME_BIRTH_SECONDS:
            return False
        if process.status() == psutil.STATUS_ZOMBIE:
            return not self._has_ended(process)
        # In the middle of its exec a process has no command line yet.
        command_line = process.cmdline()
        return not command_line or self.database in command_line

    def _has_ended(self, zombie: psutil.Process) -> bool:
        # While another thread is still on its way out, the process keeps its ports.
        if zombie.num_threads() > 1:
            return False
        # Ours to reap, or not: not everybody whose child it is reaps it soon.
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        return True

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.process is not None and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)


def read_record(path: Path) -> ServerRecord | None:
    """Return the record in this file, or None when there is none that can be read."""
    try:
        return ServerRecord(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def write_record(path: Path, record: ServerRecord) -> None:
    """Put the record there in one step: a reader finds the old one or the new one."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(record)) + "\n")
    draft.replace(path)
