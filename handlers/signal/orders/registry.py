"""Which order does what somebody wrote, and who may give it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

from handlers.signal import grammar
from handlers.signal.desk import Desk, Done, Order, said
from handlers.signal.envelope import Received
from handlers.signal.orders import answering, hearing, opening, standing, talking
from handlers.signal.people import may
from runtime.signal_settings import Role

Work = Callable[[Desk, Order], Awaitable[Done]]

# What each command takes: a watcher may look, an approver may answer as well.
_ORDERS: Final[Mapping[str, tuple[Work, Role]]] = {
    "say": (talking.say, "owner"),
    "start": (opening.start, "owner"),
    "new": (opening.new, "owner"),
    "resume": (opening.resume, "owner"),
    "group": (opening.group, "owner"),
    "stop": (standing.stop, "owner"),
    "file": (standing.file, "owner"),
    "interrupt": (standing.interrupt, "approver"),
    "approve": (answering.approve, "approver"),
    "deny": (answering.deny, "approver"),
    "level": (hearing.level, "approver"),
    "mute": (hearing.mute, "approver"),
    "quiet": (hearing.quiet, "approver"),
    "status": (standing.status, "watcher"),
    "sessions": (standing.sessions, "watcher"),
    "projects": (standing.projects, "watcher"),
    "last": (standing.last, "watcher"),
    "help": (standing.help_, "watcher"),
}
# What must get through although messages for claude wait in front of it.
_URGENT: Final = frozenset({"stop", "interrupt", "approve", "deny", "new", "status"})
_NOT_YOURS: Final = {
    "approver": "You may answer questions and look on here, but not give work.",
    "watcher": "You may only look on here: /status, /sessions, /last.",
    "owner": "",
}


async def done(desk: Desk, order: Order) -> Done:
    """Do what was ordered; raises SessionError and SignalError."""
    message = order.message
    match message.kind:
        case "reaction":
            return await _if_allowed(desk, order, "approver", answering.react)
        case "edit":
            return await _if_allowed(desk, order, "owner", talking.edit)
        case "delete":
            return await _if_allowed(desk, order, "owner", talking.delete)
    if may(order.role, "approver") and (answered := await answering.reply(desk, order)) is not None:
        return answered
    command = grammar.parse(message.text)
    work, needed = _ORDERS[command.name]
    return await _if_allowed(desk, replace(order, argument=command.argument), needed, work)


def is_urgent(message: Received) -> bool:
    """Whether it is about what claude does now, and not one more thing for it to do."""
    return message.kind == "reaction" or bool(message.target) or grammar.parse(message.text).name in _URGENT


async def _if_allowed(desk: Desk, order: Order, needed: Role, work: Work) -> Done:
    if may(order.role, needed):
        return await work(desk, order)
    # Reactions are small talk, until they decide something.
    return Done() if order.message.kind == "reaction" else said(order.reply(_NOT_YOURS[order.role]))
