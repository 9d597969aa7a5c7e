"""How things stand, and ending what runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from handlers import finding
from handlers.signal import grammar, project_files
from handlers.signal.asking import question_line
from handlers.signal.attachment import attachment
from handlers.signal.desk import Desk, Done, Order, said
from handlers.signal.harmless import one_line
from handlers.signal.wording import EMPTY, fitted
from workflows.errors import Refused
from workflows.messages import SessionReport

# More lines than this would not be read on a phone.
LISTED: Final = 20
ENDED: Final = "This session has ended. /new begins a fresh one in the same project, /resume goes on with it."


async def help_(desk: Desk, order: Order) -> Done:
    """What can be written here."""
    return said(order.reply(grammar.HELP))


async def status(desk: Desk, order: Order) -> Done:
    """How this chat's session stands."""
    report = await desk.sessions.status(_session(order))
    return said(order.reply("\n".join(_lines(report, order))))


async def sessions(desk: Desk, order: Order) -> Done:
    """All sessions that live."""
    rows = [row async for row in desk.sessions.list()]
    lines = [
        f"{'▸ ' if row.session_id == order.chat.session_id else ''}{row.session_id} · {row.status} · "
        f"{one_line(Path(row.project_path).name, 40)}"
        for row in rows[:LISTED]
    ]
    if len(rows) > LISTED:
        lines.append(f"… and {len(rows) - LISTED} more")
    return said(order.reply("\n".join(lines) or "No session lives. /start PROJECT opens one."))


async def projects(desk: Desk, order: Order) -> Done:
    """What can be started."""
    names = "\n".join(one_line(name, 60) for name in desk.projects.listed())
    return said(order.reply(names or "No project is known here: /start takes a path under the allowed roots."))


async def stop(desk: Desk, order: Order) -> Done:
    """End this chat's session, or the one that is named, and every process of it."""
    name = order.argument.strip()
    if name and name.lower() != "now":
        finding.check(name)
        session_id = order.plan or await finding.find(desk.sessions, name)
    else:
        session_id = order.plan or _session(order)
    # A second try must not say that it has ended already.
    if not order.plan and (await desk.sessions.glance(session_id)).has_ended:
        return said(order.reply(f"{session_id} has ended already."))
    desk.inbox.plan(order.key, session_id)
    report = await desk.sessions.stop(session_id, by=order.chat.chat, call_id=order.key)
    turns = "one turn" if report.turns_done == 1 else f"{report.turns_done} turns"
    left = f" ⚠ Processes {report.survivors} are left." if report.survivors else ""
    close = lambda: desk.prompts.close_all(report.session_id)  # noqa: E731
    return Done([order.reply(f"Stopped {report.session_id}: {turns}, {report.cost_usd:.2f} USD.{left}")], [close])


async def interrupt(desk: Desk, order: Order) -> Done:
    """End the running turn; the session lives on."""
    session_id = _session(order)
    turn_id = order.plan or (await desk.sessions.status(session_id)).turn_id
    if not turn_id:
        raise Refused("no turn is running")
    # Tried again later it must not hit the turn after this one.
    desk.inbox.plan(order.key, turn_id)
    await desk.sessions.interrupt(session_id, turn_id, call_id=order.key)
    return said(order.reply("Interrupted. The session goes on."))


async def last(desk: Desk, order: Order) -> Done:
    """The latest answer again, all of it."""
    session_id = _session(order)
    if not order.chat.last_turn:
        raise Refused("there is no answer yet")
    text = await desk.sessions.full_text(session_id, order.chat.last_turn)
    answer, files = fitted(text if text.strip() else EMPTY)
    return said(order.reply(answer, files=files))


async def file(desk: Desk, order: Order) -> Done:
    """Send a file of the project."""
    report = await desk.sessions.status(_session(order))
    if report.host_id and report.host_id != desk.host_id:
        raise Refused("the session runs on another host than this handler: its files cannot be sent from here")
    try:
        name, content, kind = await asyncio.to_thread(
            project_files.read, Path(report.project_path), order.argument.strip()
        )
    except project_files.FileRefused as error:
        raise Refused(str(error)) from error
    return said(order.reply(one_line(name, 100), files=(attachment(name, content, kind),)))


def _session(order: Order) -> str:
    if not order.chat.session_id:
        raise Refused("no session is open here: /start PROJECT opens one")
    return order.chat.session_id


def _lines(report: SessionReport, order: Order) -> list[str]:
    lines = [
        f"{report.session_id}: {report.status}" + (f" ({one_line(report.note, 200)})" if report.note else ""),
        f"in {one_line(report.project_path, 100)}",
        f"{report.turns_done} turns done, {report.queued} queued, {report.cost_usd:.2f} USD",
    ]
    if report.last_error:
        lines.append(f"last error: {one_line(report.last_error, 200)}")
    lines += [question_line(approval) for approval in report.approvals]
    level = f"told here: {order.chat.level}"
    return [
        *lines,
        level
        + (f", quiet {order.chat.quiet}" if order.chat.quiet else "")
        + (", muted" if order.chat.is_muted else ""),
    ]
