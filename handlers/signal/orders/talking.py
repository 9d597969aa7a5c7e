"""Messages for claude, and what their senders think better of."""

from __future__ import annotations

import contextlib
from itertools import islice
from typing import Final

from handlers.signal.desk import Desk, Done, Order, said
from handlers.signal.orders.opening import open_session
from handlers.signal.receiving import LOOK, received_files
from workflows.errors import Refused, SessionEnded
from workflows.messages import Message

_HINT: Final = "No session is open here. /start PROJECT opens one, /projects shows what there is, /help the rest."


async def say(desk: Desk, order: Order) -> Done:
    """Give claude a message. In a group that is for a project, the first one opens a session."""
    chat = order.chat
    if not chat.session_id:
        if order.message.chat.group and chat.project_path:
            return await open_session(desk, order, chat.project_path, order.argument)
        return said(order.reply(_HINT))
    return await _send(desk, order, order.argument)


async def edit(desk: Desk, order: Order) -> Done:
    """A message that still waits is replaced; one that claude has, it has."""
    if not order.chat.session_id or order.message.text.lstrip().startswith(("/", "／")):
        return said(order.reply("An edited command is not done again: send it anew."))
    earlier = _turn_of(desk, order)
    if not earlier:
        return Done()
    # Of this try or an earlier one of the same edit.
    taken_back = await _take_back(desk, order, earlier)
    if not taken_back:
        return said(order.reply("Claude has the message already, as it was. Send what is different as a new one."))
    sent = await _send(desk, order, order.message.text)
    return Done(sent.letters, [lambda: desk.inbox.replace(earlier, order.key)])


async def delete(desk: Desk, order: Order) -> Done:
    """A message that still waits is taken back."""
    earlier = _turn_of(desk, order)
    if not earlier or not order.chat.session_id:
        return Done()
    if await _take_back(desk, order, earlier):
        return said(order.reply("Taken back: claude will not see it."))
    return said(order.reply("Claude has that message already: /interrupt ends the turn."))


async def _send(desk: Desk, order: Order, text: str) -> Done:
    files = await received_files(desk, order)
    message = Message(turn_id=order.key, text=text.strip() or LOOK, attachments=files)
    accepted = await desk.sessions.send(order.chat.session_id, message)
    desk.shows_work(order.chat, order.chat.session_id, order.key)
    # Of many that came together only the last one is worth a word.
    is_last = next(islice(desk.inbox.all_of(order.chat.chat), 1, None), None) is None
    if not accepted.place or not is_last:
        return Done()
    others = "one message is" if accepted.place == 1 else f"{accepted.place} messages are"
    return said(order.reply(f"Queued: {others} ahead of it."))


async def _take_back(desk: Desk, order: Order, turn_id: str) -> bool:
    """Whether the turn is cancelled, now or by an earlier try."""
    with contextlib.suppress(Refused, SessionEnded):
        await desk.sessions.cancel_turn(order.chat.session_id, turn_id, call_id=order.key + "/back")
        return True
    return (await desk.sessions.wait_turn(order.chat.session_id, turn_id, seconds=0)).state == "cancelled"


def _turn_of(desk: Desk, order: Order) -> str:
    """The message that the same sender wrote in this chat at the time that is meant, whichever device they used, or the
    latest edit of it that claude was given instead.
    """
    message = order.message
    row = desk.store.row(
        "SELECT key FROM inbox WHERE chat = ? AND key LIKE ? ORDER BY number LIMIT 1",
        *(order.chat.chat, f"sig-%-{message.author.lstrip('+')}-%-{message.target}"),
    )
    return desk.inbox.latest(row["key"]) if row and message.target else ""
