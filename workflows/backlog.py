"""The notices that are not delivered yet, in order. However long nobody takes them, they stay few and small."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict, replace
from typing import Final

from workflows.notices import Listener, Notice, Undelivered
from workflows.reports import CARRIED_TEXT, shortened

# Who comes back after days reads no more than this, and all of them are carried in history.
BACKLOG_CAP: Final = 200
# The next run of the workflow, and whoever delivers for a session that is over, start with all of it: see QUEUE_BYTES.
BACKLOG_BYTES: Final = 256 * 1024


class Backlog:
    """The oldest is always kept: it may be on its way. What is dropped is told in its place."""

    def __init__(self, carried: list[Undelivered]) -> None:
        self._waiting = list(carried)

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def first(self) -> Undelivered:
        """The one to deliver now."""
        return self._waiting[0]

    @property
    def questions(self) -> list[str]:
        """The questions among them, by id."""
        told = (one.notice for one in self._waiting)
        return [notice.approval.approval_id for notice in told if notice.kind == "question" and notice.approval]

    def add(self, one: Undelivered) -> None:
        """The latest; room is made for it where it is needed."""
        self._waiting.append(one)
        if len(self._waiting) > BACKLOG_CAP:
            self._waiting[1:3] = [_dropped(self._waiting[1:3])]

    def take_off(self) -> None:
        """The first one is delivered, or never will be."""
        del self._waiting[0]

    def readdress(self, listener: Listener | None) -> None:
        """Somebody else takes them all; nobody takes none."""
        self._waiting = [_readdressed(one, listener) for one in self._waiting] if listener else []

    def carry(self) -> list[Undelivered]:
        """All of them, so shortened that they fit into the input of a workflow; the latest keep most of their text."""
        kept = list(self._waiting)
        sizes = [_size(_cut(one, 0)) for one in kept]
        while sum(sizes) > BACKLOG_BYTES and len(kept) > 2:
            kept[1:3] = [_dropped(kept[1:3])]
            sizes[1:3] = [_size(kept[1])]
        left, carried = BACKLOG_BYTES - sum(sizes), deque[Undelivered]()
        for one, bare in zip(reversed(kept), reversed(sizes), strict=True):
            fitting = (cut for cut in (one, _cut(one, CARRIED_TEXT)) if _size(cut) - bare <= left)
            carried.appendleft(next(fitting, _cut(one, 0)))
            left -= _size(carried[0]) - bare
        return list(carried)


def _dropped(several: list[Undelivered]) -> Undelivered:
    """One notice in place of several, under a key that is as lasting as that of the first of them."""
    first, count = several[0], sum(one.dropped or 1 for one in several)
    notice = first.notice
    key = notice.key if first.dropped else _key(notice, f"/dropped/{notice.address}")
    said = Notice(
        key=key,
        address=notice.address,
        session_id=notice.session_id,
        project_path=notice.project_path,
        kind="warning",
        at=several[-1].notice.at,
        text=f"{count} notices were dropped: nobody took them for too long",
    )
    return Undelivered(queue=first.queue, notice=said, dropped=count)


def _readdressed(one: Undelivered, listener: Listener) -> Undelivered:
    key = _key(one.notice, f"/{listener.address}")
    return replace(one, queue=listener.queue, notice=replace(one.notice, key=key, address=listener.address))


def _key(notice: Notice, ending: str) -> str:
    return notice.key.removesuffix(f"/{notice.address}") + ending


def _cut(one: Undelivered, length: int) -> Undelivered:
    report = one.notice.report
    return replace(one, notice=replace(one.notice, report=shortened(report, length))) if report else one


def _size(one: Undelivered) -> int:
    """Bytes in history, where a character that is not ASCII takes six or twelve."""
    return len(json.dumps(asdict(one)))
