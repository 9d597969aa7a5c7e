"""One question to a living shim, for a launcher that wants to know whether there is one."""

from __future__ import annotations

import json
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# A living shim answers within a millisecond; one that is stopped or starved may not hold up a start for long.
_PATIENCE_SECONDS = 2.0


def status(path: str) -> dict[str, Any] | None:
    """The introduction of the shim that listens here; None when nobody does or nobody answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_PATIENCE_SECONDS)
        try:
            connection.connect(path)
            connection.sendall(b'{"op": "status", "request": 1}\n')
            with connection.makefile("rb") as answers:
                answer = json.loads(answers.readline())
        except (OSError, ValueError):
            return None
    return answer if isinstance(answer, dict) and answer.get("ok") else None
