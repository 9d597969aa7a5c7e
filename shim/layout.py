"""What workers and shims agree on: where a session's files are, as plain strings, and how they talk.

The shim imports this module and not `paths`: pathlib, dataclasses and hashlib together cost it 20 ms and 5 MB.
"""

from __future__ import annotations

import os

# The version of what workers and shims say to each other.
PROTOCOL = 1

SESSIONS = "s"
PROGRAMS = "shim"
LEASE = "lease.json"

# In each copy of the program: whoever runs from it shares a lock on this file.
IN_USE = "in-use"


class SessionFiles:
    """The files of one session; `state` and `run` are the two directories of the host."""

    def __init__(self, state: str, run: str, session_id: str) -> None:
        self.session_id = session_id
        self.directory = os.path.join(state, SESSIONS, session_id)
        self.lease = os.path.join(state, LEASE)
        self.key = session_key(state, session_id)
        self.socket = os.path.join(run, self.key + ".sock")
        self.spec = os.path.join(self.directory, "spec.json")
        self.lock = os.path.join(self.directory, "lock")
        self.child_lock = os.path.join(self.directory, "lock.child")
        self.boot = os.path.join(self.directory, "boot.json")
        self.log = os.path.join(self.directory, "shim.log")

    def exit(self, generation: int) -> str:
        return os.path.join(self.directory, f"exit.{generation}.json")

    def journal(self, generation: int) -> str:
        return os.path.join(self.directory, f"journal.{generation}.jsonl")

    def stderr(self, generation: int) -> str:
        return os.path.join(self.directory, f"stderr.{generation}.log")


def session_key(state: str, session_id: str) -> str:
    """Sixteen hex digits that name a session among all state directories of this user (FNV-1a, 64 bits)."""
    digest = 0xCBF29CE484222325
    for byte in os.fsencode(os.path.realpath(state)) + b"\0" + session_id.encode():
        digest = ((digest ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{digest:016x}"
