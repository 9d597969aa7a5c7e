"""Sessions that begin: new ones, fresh ones, old ones again, and a group for a project."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import Final

from handlers import finding, naming
from handlers.signal.desk import Desk, Done, Order
from handlers.signal.harmless import one_line
from handlers.signal.receiving import LOOK, received_files
from workflows.errors import Refused, SessionEnded, SessionNotFound
from workflows.messages import Message
from workflows.rows import SessionRow

_USAGE: Final = "say which project: /start PROJECT [what claude should do]; /projects shows what there is"


async def start(desk: Desk, order: Order) -> Done:
    """Open a session in a project, perhaps with its first message."""
    if not order.argument:
        raise Refused(_USAGE)
    project, *text = order.argument.split(maxsplit=1)
    await _refuse_second(desk, order)
    return await open_session(desk, order, str(desk.projects.path(project)), "".join(text))


async def new(desk: Desk, order: Order) -> Done:
    """A fresh conversation in the project of this chat; the one before is stopped."""
    chat = order.chat
    if not chat.project_path:
        raise Refused(f"this chat is for no project yet: {_USAGE}")
    before = order.plan or chat.session_id
    if before and (row := await _row(desk, before)) and not row.has_ended:
        if row.status in ("busy", "awaiting_approval") and not order.plan:
            raise Refused("a turn is running: wait for it, or /interrupt it first")
        # Whoever tries this again must not find its own new session in the way.
        desk.inbox.plan(order.key, before)
        await desk.sessions.stop(before, by=chat.chat, call_id=order.key + "/stop")
    return await open_session(desk, order, chat.project_path, order.argument)


async def resume(desk: Desk, order: Order) -> Done:
    """Go on with a session: this chat's, or the one that is named; the chat is for that one then."""
    name = order.argument.strip()
    session_id = order.chat.session_id
    if name:
        finding.check(name)
        session_id = await finding.find(desk.sessions, name, ended=True)
    if not session_id:
        raise Refused("say which session: /resume SESSION; /sessions shows what there is")
    row = await desk.sessions.glance(session_id)
    listener = desk.listener(order.chat.chat)
    if row.status == "stopped":
        return await _continued(desk, order, row)
    if row.has_ended:
        await desk.sessions.reopen(session_id, listener=listener)
    else:
        await desk.sessions.listen(session_id, listener, call_id=order.key + "/listen")
        if row.status == "hibernated":
            await desk.sessions.wake(session_id, call_id=order.key + "/wake")
    bind = lambda: desk.chats.bind(order.chat.chat, session_id, row.project_path)  # noqa: E731
    return Done([order.reply(f"This chat is for {session_id} now, in {_shown(row.project_path)}.")], [bind])


async def group(desk: Desk, order: Order) -> Done:
    """Make a Signal group for a project, with whoever asks for it in it."""
    name = order.argument.strip()
    if not name:
        raise Refused("say for which project: /group PROJECT")
    path = desk.projects.path(name)
    mark = f"durable-claude {order.digest}"
    made = (
        next((known for known in await desk.signal.groups() if mark in known.description), None) if order.plan else None
    )
    desk.inbox.plan(order.key, "made")
    group_id = (
        made.group_id
        if made
        else await desk.signal.create_group(
            f"claude: {one_line(path.name, 30)}", [order.message.author], f"A session in {path.name}. ({mark})"
        )
    )
    bind = lambda: desk.chats.bind(f"g:{group_id}", "", str(path))  # noqa: E731
    return Done(
        [order.reply(f"The group for {_shown(str(path))} is made. What you write there goes to a session of its own.")],
        [bind],
    )


async def open_session(desk: Desk, order: Order, project_path: str, text: str) -> Done:
    """Open a session whose name derives from the order, so that it is opened once however often this is tried."""
    chat = order.chat.chat
    session_id = _named_by(order, project_path)
    listener = desk.listener(chat)
    files = await received_files(desk, order) if order.message.files else []
    if text.strip() or files:
        message = Message(turn_id=order.key, text=text.strip() or LOOK, attachments=files)
        await desk.sessions.open_with(project_path, message, session_id=session_id, listener=listener)
        desk.shows_work(order.chat, session_id, order.key)
    else:
        await _once(desk, session_id, desk.sessions.open(project_path, session_id=session_id, listener=listener))
    bind = lambda: desk.chats.bind(chat, session_id, project_path)  # noqa: E731
    more = "" if text.strip() or files else " Write what claude should do."
    return Done([order.reply(f"Session {session_id} works in {_shown(project_path)}.{more}")], [bind])


def _named_by(order: Order, project_path: str) -> str:
    """What a session is called that this order opens."""
    return f"{naming.slug(Path(project_path))}-{order.digest}"


async def _once(desk: Desk, session_id: str, opening: Awaitable[None]) -> None:
    """Open a session that an earlier try may have opened."""
    try:
        await opening
    except Refused:
        if await _row(desk, session_id) is None:
            raise


async def _continued(desk: Desk, order: Order, row: SessionRow) -> Done:
    """A stopped session stays stopped; another one goes on with its conversation."""
    conversation = (await desk.sessions.status(row.session_id)).conversation_id
    session_id = _named_by(order, row.project_path)
    listener = desk.listener(order.chat.chat)
    adopting = desk.sessions.adopt(row.project_path, conversation, session_id=session_id, listener=listener)
    await _once(desk, session_id, adopting)
    bind = lambda: desk.chats.bind(order.chat.chat, session_id, row.project_path)  # noqa: E731
    return Done([order.reply(f"{row.session_id} was stopped; {session_id} goes on with its conversation.")], [bind])


async def _refuse_second(desk: Desk, order: Order) -> None:
    held = order.chat.session_id
    if not held or (row := await _row(desk, held)) is None or row.has_ended:
        return
    raise Refused(f"this chat is for {held} already: /stop it first, or /group PROJECT makes a chat for another one")


async def _row(desk: Desk, session_id: str) -> SessionRow | None:
    try:
        return await desk.sessions.glance(session_id)
    except (SessionNotFound, SessionEnded):
        return None


def _shown(path: str) -> str:
    return one_line(path, 200)
