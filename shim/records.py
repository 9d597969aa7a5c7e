"""What crosses the edge between a worker and a shim, as values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeVar

Why = Literal["exited", "stopped", "lease", "lost"]
Tree = Literal["empty", "incomplete", "unknown"]


@dataclass(frozen=True, kw_only=True)
class LaunchSpec:
    """What to run. `environment` is the whole environment of the child, but for two tokens of the shim."""

    session_id: str
    generation: int
    argv: list[str]
    cwd: str
    environment: dict[str, str]
    lease_ttl_seconds: float


@dataclass(frozen=True, kw_only=True)
class Hello:
    """A living shim, as it introduces itself. `fence` is the highest generation anybody has shown it."""

    protocol: int
    session_id: str
    generation: int
    fence: int
    pid: int
    shim_pid: int
    journal: str
    stderr: str
    journal_end: int
    state: Literal["running", "degraded", "stopping"]


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How a process ended. `code` and `signal` are both None when nobody can know; `at` is a unix time."""

    generation: int
    code: int | None
    signal: int | None
    why: Why
    tree: Tree
    survivors: list[int]
    journal_bytes: int
    at: float


Record = TypeVar("Record", LaunchSpec, Hello, Exit)


def encode(record: LaunchSpec | Hello | Exit) -> bytes:
    """A record as one line of JSON."""
    return json.dumps(asdict(record)).encode() + b"\n"


def decode(kind: type[Record], document: Mapping[str, Any]) -> Record:
    """A record from its JSON object; fields that only a newer shim knows are left out."""
    return kind(**{field.name: document[field.name] for field in fields(kind)})
