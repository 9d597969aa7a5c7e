"""What a session has not been able to tell stays small, and nothing is lost of it in silence."""

from __future__ import annotations

import json
from dataclasses import asdict

from activities.calls import TurnEnded
from workflows.backlog import BACKLOG_BYTES, BACKLOG_CAP, Backlog
from workflows.notices import Listener, Notice, Undelivered
from workflows.reports import CARRIED_TEXT, TurnReport


def told(number: int, text: str = "") -> Undelivered:
    ended = TurnEnded(turn_id=f"t{number}", text=text)
    notice = Notice(
        key=f"s/life/turn/t{number}/d:a",
        address="d:a",
        session_id="s",
        project_path="/project",
        kind="turn",
        at=float(number),
        report=TurnReport(turn_id=f"t{number}", state="done", ended=ended),
        asked="é" * 200,
    )
    return Undelivered(queue="q", notice=notice)


def filled(count: int, text: str = "") -> Backlog:
    backlog = Backlog([])
    for number in range(count):
        backlog.add(told(number, text))
    return backlog


def size(carried: list[Undelivered]) -> int:
    return len(json.dumps([asdict(one) for one in carried]))


def drained(backlog: Backlog) -> list[Notice]:
    taken = []
    while backlog:
        taken.append(backlog.first.notice)
        backlog.take_off()
    return taken


def test_the_oldest_but_one_make_room() -> None:
    """The first may be on its way and stays; what is dropped is counted in one notice, the others keep their order."""
    first, dropped, *rest = drained(filled(BACKLOG_CAP + 5))

    assert first.key == "s/life/turn/t0/d:a"
    assert (dropped.key, dropped.kind) == ("s/life/turn/t1/dropped/d:a", "warning")
    assert dropped.text == "6 notices were dropped: nobody took them for too long"
    assert [notice.at for notice in rest] == [float(number) for number in range(7, BACKLOG_CAP + 5)]


def test_what_is_carried_has_a_bound_and_the_latest_keep_their_text() -> None:
    """Long answers are cut and say so, the oldest first; those that came last are whole."""
    carried = filled(20, "x" * 64 * 1024).carry()
    texts = [one.notice.report.ended for one in carried if one.notice.report]
    lengths = [len(ended.text) for ended in texts if ended]

    assert len(carried) == 20
    assert size(carried) <= BACKLOG_BYTES + 20 * 4
    assert lengths == sorted(lengths)
    assert lengths[-1] == 64 * 1024
    assert CARRIED_TEXT in lengths
    assert [ended.text_truncated for ended in texts if ended] == [length < 64 * 1024 for length in lengths]


def test_what_does_not_fit_even_without_text_is_counted() -> None:
    """However large notices are, they are carried up to the bound, and what is dropped is told."""
    carried = filled(BACKLOG_CAP, "x").carry()
    first, dropped, *rest = (one.notice for one in carried)

    assert size(carried) <= BACKLOG_BYTES + BACKLOG_CAP * 4
    assert (first.at, rest[-1].at) == (0.0, float(BACKLOG_CAP - 1))
    assert carried[1].dropped == BACKLOG_CAP - 1 - len(rest)
    assert dropped.text.startswith(f"{carried[1].dropped} notices")


def test_somebody_else_takes_everything_under_new_keys() -> None:
    """Address, queue and key change, the order does not; nobody takes nothing."""
    backlog = filled(2)
    backlog.readdress(Listener(queue="other", address="g:b"))
    queue, taken = backlog.first.queue, drained(backlog)
    other = filled(2)
    other.readdress(None)

    assert queue == "other"
    assert [(notice.key, notice.address) for notice in taken] == [
        ("s/life/turn/t0/g:b", "g:b"),
        ("s/life/turn/t1/g:b", "g:b"),
    ]
    assert not other
