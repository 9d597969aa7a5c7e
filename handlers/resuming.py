"""`resume`: bring a session back, whatever it rests for."""

from __future__ import annotations

import shlex
from typing import Final

from handlers import commands, console
from handlers.connection import session_named
from handlers.failure import OUT_OF_REACH, CommandFailed
from workflows.client import Sessions
from workflows.errors import Refused
from workflows.messages import SessionReport
from workflows.rows import SessionRow

_SAID: Final = {
    "hibernated": "is awake again",
    "failed": "is open again and goes on with its conversation",
    "terminated": "is open again and goes on with its conversation",
}


async def resume(name: str, *, as_json: bool) -> None:
    """Wake a session that sleeps, open one again that failed; say what it was and is."""
    sessions, session_id = await session_named(name, ended=True)
    row = await sessions.glance(session_id)
    report = await _resumed(sessions, row)
    was = row.status if row.status in _SAID else report.status
    if as_json:
        console.document({"session_id": session_id, "was": was, "is": report.status, "report": report})
    elif said := _SAID.get(row.status):
        console.result(f"{session_id} {said}")
        console.note(f"{commands.opened(report)}; next: durable-claude send {session_id} 'what claude should do'")
    else:
        console.result(f"{session_id} is {report.status} already: there is nothing to resume")


async def _resumed(sessions: Sessions, row: SessionRow) -> SessionReport:
    if row.status == "stopped":
        raise Refused(
            f"session {row.session_id!r} was stopped for good: `durable-claude fork {row.session_id}` opens another one "
            f"with its conversation, or `durable-claude start {shlex.quote(row.project_path)} --resume UUID` goes on "
            f"with it (`durable-claude status {row.session_id}` shows the UUID)"
        )
    if row.status == "host_lost":
        raise CommandFailed(f"session {row.session_id!r} waits for its host: {row.note}", OUT_OF_REACH)
    if row.status == "hibernated":
        await sessions.wake(row.session_id)
    elif row.has_ended:
        await sessions.reopen(row.session_id)
    return await commands.ready(sessions, row.session_id)
