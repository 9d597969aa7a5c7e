"""Handing an answer to claude, and what may come between."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError

from activities.failures import CLAUDE_GONE
from tests.unit.questions import question
from workflows.approvals import Answer
from workflows.turn_run import TurnRun


class Claude:
    """Takes an answer, or fails to."""

    def __init__(self, cause: Exception | None) -> None:
        self._cause = cause

    async def answer(self, *_: Any) -> None:
        if self._cause is not None:
            failed = ActivityError(
                "answer_permission failed",
                scheduled_event_id=1,
                started_event_id=2,
                identity="",
                activity_type="answer_permission",
                activity_id="1",
                retry_state=None,
            )
            raise failed from self._cause


async def handed_over(cause: Exception | None) -> bool:
    run = object.__new__(TurnRun)
    run._claude = Claude(cause)  # type: ignore[assignment]
    return await run._hand_over(question(), Answer(approval_id="a1", decision="allow"))


@pytest.mark.parametrize(
    "cause",
    # The turn ended while the answer was on its way: a failure of that is one that nobody would ever look at.
    [ApplicationError("gone", type=CLAUDE_GONE), CancelledError("Activity cancelled")],
    ids=["claude is gone", "the turn has ended"],
)
async def test_who_is_gone_or_needs_it_no_more_has_no_answer(cause: Exception) -> None:
    """And that is no fault."""
    assert await handed_over(cause) is False


async def test_an_answer_that_is_taken() -> None:
    """Claude has it."""
    assert await handed_over(None) is True


async def test_any_other_failure_is_one() -> None:
    """It fails the turn's task, and with it the session, in words."""
    with pytest.raises(ActivityError):
        await handed_over(ApplicationError("a bug"))
