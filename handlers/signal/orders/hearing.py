"""How much a chat is told, and when."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Final

from handlers.signal import quiet as hours
from handlers.signal.chats import LEVELS
from handlers.signal.desk import Desk, Done, Order
from workflows.errors import Refused

_FOR: Final = re.compile(r"(\d{1,3})\s*(m|min|h|d)")
_SECONDS: Final = {"m": 60, "min": 60, "h": 3600, "d": 86400}
# "Until I say so", as a time that the database can compare.
_FOREVER: Final = 1e12
_LEVEL: Final = {
    "urgent": "Only questions and what goes wrong are told here.",
    "milestones": "Answers, questions and what goes wrong are told here.",
    "everything": "All is told here, also what sorts itself out, like a claude that died and was started again.",
}


async def level(desk: Desk, order: Order) -> Done:
    """Choose what is told."""
    wanted = order.argument.strip().lower()
    found = next((one for one in LEVELS if wanted and one.startswith(wanted)), None)
    if found is None:
        raise Refused(f"say which level: {', '.join(LEVELS)}; now it is {order.chat.level}")
    return Done([order.reply(_LEVEL[found])], [lambda: desk.chats.change(order.chat.chat, level=found)])


async def mute(desk: Desk, order: Order) -> Done:
    """Be told nothing for a while; what was missed comes in one message."""
    wanted = order.argument.strip().lower()
    if wanted == "off":
        return Done(
            [order.reply("You hear from me again.")], [lambda: desk.chats.change(order.chat.chat, muted_until=0.0)]
        )
    match = _FOR.fullmatch(wanted)
    if wanted and not match:
        raise Refused("say for how long: /mute 30m, /mute 2h, /mute 1d, or /mute and later /mute off")
    until = time.time() + int(match[1]) * _SECONDS[match[2]] if match else _FOREVER
    told = f"until {datetime.fromtimestamp(until).astimezone():%a %H:%M}" if match else "until /mute off"
    return Done(
        [order.reply(f"Quiet {told}. Questions still come, without a sound.")],
        [lambda: desk.chats.change(order.chat.chat, muted_until=until)],
    )


async def quiet(desk: Desk, order: Order) -> Done:
    """Be left in peace at the same hours every day."""
    if not order.argument:
        raise Refused(f"say which hours: /quiet 22-7 or /quiet off; now it is {order.chat.quiet or 'off'}")
    try:
        wanted = hours.parse(order.argument)
    except ValueError as error:
        raise Refused(str(error)) from error
    told = (
        f"Quiet hours: {wanted}, by this host's clock. What happens then is told when they end."
        if wanted
        else "No quiet hours."
    )
    return Done([order.reply(told)], [lambda: desk.chats.change(order.chat.chat, quiet=str(wanted or ""))])
