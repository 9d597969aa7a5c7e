"""The queue of turns and the restart budget, without Temporal."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from activities.calls import ClaudeEnded, TurnEnded
from workflows.messages import MESSAGE_CAP_BYTES, QUEUE_CAP, Message, SessionReport
from workflows.page import memo, page
from workflows.reports import CARRIED_TEXT
from workflows.restarts import LONGEST_PAUSE_SECONDS, RestartBudget
from workflows.turns import REMEMBERED, Turns


def message(turn_id: str) -> Message:
    return Message(turn_id=turn_id, text=f"text of {turn_id}")


def ended(turn_id: str) -> TurnEnded:
    return TurnEnded(turn_id=turn_id, text="done", cost_usd=0.5)


def test_places_count_the_turns_before() -> None:
    """The running turn counts as one before the first queued one."""
    turns = Turns()
    assert [turns.accept(message(name)).place for name in "abc"] == [0, 1, 2]
    turns.begin()
    assert [turns.report(name).place for name in "abc"] == [0, 1, 2]
    assert [turns.report(name).state for name in "abcd"] == ["running", "queued", "queued", "unknown"]


def test_a_known_turn_is_never_enqueued_again() -> None:
    """Queued, running and finished turns are all recognised."""
    turns = Turns()
    for _ in range(2):
        turns.accept(message("a"))
    assert turns.waiting == 1
    turns.begin()
    turns.accept(message("a"))
    turns.finish(ended("a"))
    turns.accept(message("a"))
    assert turns.waiting == 0
    assert (turns.done, turns.cost_usd) == (1, 0.5)


def test_an_interrupted_turn_stays_the_current_one() -> None:
    """begin() hands out the current turn until it is finished."""
    turns = Turns()
    turns.accept(message("a"))
    turns.accept(message("b"))
    first = turns.begin()
    assert turns.begin() is first
    turns.finish(ended("a"))
    assert turns.begin() == message("b")


def test_a_full_queue_refuses_new_turns_and_knows_old_ones() -> None:
    """A resend of a queued message is fine when the queue is full; a new message is not."""
    turns = Turns()
    for number in range(QUEUE_CAP):
        turns.accept(message(str(number)))
    turns.refuse_when_full(message("5"))
    with pytest.raises(ValueError, match="are queued already"):
        turns.refuse_when_full(message("new"))


def test_what_the_next_run_starts_with_fits_into_its_input() -> None:
    """Many large messages in the worst of alphabets are refused in time, and old answers give way to them."""
    turns = Turns()
    for number in range(REMEMBERED):
        turns.accept(message(str(number)))
        turns.begin()
        turns.finish(replace(ended(str(number)), text="\U0001f980" * CARRIED_TEXT))
    # A control character takes one byte of the message and six in history: nothing is larger.
    turns.accept(Message(turn_id="large", text="\x01" * MESSAGE_CAP_BYTES))
    turns.begin()
    with pytest.raises(ValueError, match="too large together"):
        turns.refuse_when_full(message("small"))
    carried = json.dumps([asdict(each) for each in (turns.current, *turns.queue, *turns.reports) if each])

    assert len(carried) < 1_950_000
    assert [report.turn_id for report in turns.reports] == [str(number) for number in range(REMEMBERED)]
    texts = [len(report.ended.text) for report in turns.reports if report.ended]
    assert (texts[0], texts[-1]) == (0, CARRIED_TEXT)


def test_many_small_messages_may_queue_and_large_ones_wait() -> None:
    """The sizes of what waits are added up; one message alone is always taken."""
    turns = Turns()
    large = [Message(turn_id=f"large {number}", text="x" * MESSAGE_CAP_BYTES) for number in range(4)]
    for each in large[:3]:
        turns.refuse_when_full(each)
        turns.accept(each)
    with pytest.raises(ValueError, match="too large together"):
        turns.refuse_when_full(large[3])
    turns.refuse_when_full(message("small"))
    turns.refuse_when_full(large[0])


def test_finished_turns_are_forgotten_in_order() -> None:
    """Memory is bounded: the oldest report goes first."""
    turns = Turns()
    for number in range(REMEMBERED + 1):
        turns.accept(message(str(number)))
        turns.begin()
        turns.finish(ended(str(number)))
    assert turns.report("0").state == "unknown"
    assert turns.report("1").state == "done"


def test_restarts_pause_longer_each_time_until_the_budget_is_spent() -> None:
    """Five in the window, then None; a later window starts anew."""
    budget = RestartBudget(5, 600.0)
    assert [budget.spend(float(second)) for second in range(6)] == [1.0, 2.0, 4.0, 8.0, 16.0, None]
    assert budget.spend(700.0) == 1.0
    assert max(RestartBudget(50, 600.0).spend(0.0) or 0 for _ in range(50)) <= LONGEST_PAUSE_SECONDS


@pytest.mark.parametrize(
    ("ending", "sentence"),
    [
        (
            ClaudeEnded(generation=1, code=3, why="exited", stderr_tail="a\nlast words\n"),
            "claude exited with code 3: last words",
        ),
        (ClaudeEnded(generation=1, signal=9, why="exited"), "claude died of signal 9"),
        (ClaudeEnded(generation=1, code=0, why="exited"), "claude exited with code 0"),
        (ClaudeEnded(generation=1), "claude is gone and nobody can say how it ended"),
        (ClaudeEnded(generation=1, why="lease"), "claude was stopped because its host lost contact with Temporal"),
    ],
)
def test_an_ending_is_one_sentence(ending: ClaudeEnded, sentence: str) -> None:
    """How claude ended reads as a sentence, with its last words on stderr."""
    assert ending.sentence() == sentence


def test_page_and_memo_show_the_session() -> None:
    """The Web UI's page names status, project, process and the note; the memo has what lists need."""
    report = SessionReport(
        session_id="s", project_path="/p", status="restarting", host_id="h", pid=7, generation=2, note="claude died"
    )
    text = page(report)
    assert all(part in text for part in ("s: restarting", "`/p`", "pid 7, generation 2", "claude died"))
    assert memo(report)["status"] == "restarting"
