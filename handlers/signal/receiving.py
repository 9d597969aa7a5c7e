"""Files that came with a message, put where claude can have them."""

from __future__ import annotations

import asyncio
from typing import Final

from handlers.signal.desk import Desk, Order
from handlers.signal.envelope import Attached
from handlers.signal.received import save
from workflows.errors import Refused
from workflows.messages import ATTACHMENTS_CAP

# signal-cli hands a file over in one line of JSON, a third longer than the file, and lines end at 64 MiB.
LARGEST_BYTES: Final = 40 * 1024 * 1024

# A file without a word is a message all the same.
LOOK: Final = "Look at the attached file."


async def received_files(desk: Desk, order: Order) -> list[str]:
    """The paths of the message's files on the session's host, fetched from Signal; Refused in words."""
    files = order.message.files
    if not files:
        return []
    if len(files) > ATTACHMENTS_CAP:
        raise Refused(f"{len(files)} files came with the message and at most {ATTACHMENTS_CAP} are taken")
    await _refuse_elsewhere(desk, order)
    return [await _fetch(desk, order, file, at) for at, file in enumerate(files)]


async def _refuse_elsewhere(desk: Desk, order: Order) -> None:
    """What is put on this host's disk is of use only to a session that runs here."""
    if not order.chat.session_id:
        return
    host_id = (await desk.sessions.glance(order.chat.session_id)).host_id
    if host_id and host_id != desk.host_id:
        raise Refused("the session runs on another host than this handler: files cannot be handed to it")


async def _fetch(desk: Desk, order: Order, file: Attached, at: int) -> str:
    _refuse_large(file.size)
    content = await desk.signal.attachment(file.file_id, order.message.chat)
    # What was said before is the sender's word.
    _refuse_large(len(content))
    path = await asyncio.to_thread(save, desk.files, order.key, file.name, file.content_type, content, index=at)
    return str(path)


def _refuse_large(size: int) -> None:
    if size > LARGEST_BYTES:
        raise Refused(f"the file has {size // 1024 // 1024} MB and at most {LARGEST_BYTES // 1024 // 1024} are taken")
