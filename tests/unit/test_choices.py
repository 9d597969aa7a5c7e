"""How claude's own questions are told and answered on a command line."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from handlers import choices
from tests.unit.questions import question
from workflows.approvals import Approval
from workflows.errors import Refused

QUESTIONS = [
    {"question": "Is a=b?", "header": "Same", "options": [{"label": "Yes"}, {"label": "No, it's not"}]},
    {"question": "Which one?", "header": "", "options": []},
]


def approval(given: Any = QUESTIONS, tool: str = "AskUserQuestion") -> Approval:
    return question(tool=tool, input={"questions": given})


def test_a_question_is_answered_by_its_text_or_its_header() -> None:
    """An equals sign in the question or in the answer is part of it."""
    assert choices.chosen(approval(), ["Is a=b?=No=never", "Which one?=This"]) == {
        "Is a=b?": "No=never",
        "Which one?": "This",
    }
    assert choices.chosen(approval(), ["Which one?=", "Same=Yes"]) == {"Is a=b?": "Yes", "Which one?": ""}


@pytest.mark.parametrize(
    ("asked", "given", "said"),
    [
        (approval(), ["Is a=b?=Yes"], "no answer is given to: Which one?"),
        (approval(), ["Whether?=Yes"], "answers none of the questions: Is a=b? (Yes | No, it's not); Which one?"),
        (approval("cut"), ["no sign"], "'no sign' answers none of the questions: 'question=choice'"),
        (approval(tool="Bash"), ["x=y"], "a1 asks for leave to use Bash: approve or deny it"),
    ],
    ids=["one is left out", "an unknown one", "no equals sign", "leave is asked for"],
)
def test_what_answers_nothing_is_refused(asked: Approval, given: list[str], said: str) -> None:
    """The sentence says which questions there are."""
    with pytest.raises(Refused) as refused:
        choices.chosen(asked, given)

    assert said in str(refused.value)


@pytest.mark.parametrize("given", ["cut", None, [], ["x"], [{}], [{"options": "x"}], [{"options": [None]}]])
def test_questions_of_any_shape_are_told(given: Any) -> None:
    """What history shortened, or claude wrote otherwise, still has a command that answers it."""
    assert choices.command("app", approval(given)).startswith("durable-claude answer app a1 ")


def test_the_command_that_is_shown_gives_the_first_answers() -> None:
    """It can be pasted into a shell as it is."""
    pasted = shlex.split(choices.command("app", approval()))

    assert choices.chosen(approval(), pasted[4:]) == {"Is a=b?": "Yes", "Which one?": "ANSWER"}


def test_answers_to_shortened_questions_go_by_the_first_equals_sign() -> None:
    """Without the questions nobody can say more."""
    assert choices.chosen(approval("cut"), ["Which one?=a=b"]) == {"Which one?": "a=b"}
