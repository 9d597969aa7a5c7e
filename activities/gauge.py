"""What a heartbeat says about a living process."""

from __future__ import annotations

import time
from typing import Any

import psutil

from activities.follower import TurnFollower
from claude.process import ClaudeProcess


class Gauge:
    """Reads what a heartbeat says about a living process."""

    def __init__(self, process: ClaudeProcess, follower: TurnFollower | None = None) -> None:
        self._process = process
        self._follower = follower
        self._usage = _usage(process.pid)
        self._since = time.monotonic()

    def read(self) -> dict[str, Any]:
        """pid, memory, processor, journal size; with a turn also what claude does and did last."""
        about = {
            "pid": self._process.pid,
            "generation": self._process.generation,
            "journal_bytes": self._process.journal_end,
            **self._load(),
        }
        if self._follower is not None:
            about["doing"] = self._follower.reader.doing
            about["turn_seconds"] = round(time.monotonic() - self._since, 1)
            pending = self._follower.reader.pending
            about["asks"] = pending.request_id if pending else ""
            about["actions"] = [list(action) for action in self._follower.reader.actions]
        return about

    def _load(self) -> dict[str, Any]:
        if self._usage is None:
            return {}
        try:
            with self._usage.oneshot():
                times = self._usage.cpu_times()
                return {
                    "rss_mb": round(self._usage.memory_info().rss / 2**20, 1),
                    "cpu_percent": self._usage.cpu_percent(),
                    "cpu_seconds": round(times.user + times.system, 2),
                    "status": self._usage.status(),
                }
        except psutil.Error:
            return {}


def _usage(pid: int | None) -> psutil.Process | None:
    try:
        return psutil.Process(pid) if pid else None
    except psutil.Error:
        return None
