"""A journal as a person reads it."""

import json
from typing import Any

import pytest

from handlers.telling import Item, Teller, as_bytes, as_lines
from workflows.reading import Written


def told(*records: dict[str, Any] | str, generation: int = 1, teller: Teller | None = None) -> list[Item]:
    teller = teller or Teller()
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    return [
        item
        for number, line in enumerate(lines)
        for item in teller.tell(Written(generation=generation, end=number, text=line))
    ]


def shown(*records: dict[str, Any] | str) -> list[str]:
    return [line for item in told(*records) for line in as_lines(item)]


def says(*blocks: dict[str, Any], parent: str | None = None) -> dict[str, Any]:
    return {"type": "assistant", "parent_tool_use_id": parent, "message": {"content": list(blocks)}}


def asks(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "user", "isReplay": True, "uuid": "m", "message": {"content": text}, **more}


TEXT = {"type": "text", "text": "I look.\nThen I fix."}
CALL = {"type": "tool_use", "id": "t-1", "name": "Bash", "input": {"command": "make\ntest"}}
ANSWER = {"type": "tool_result", "tool_use_id": "t-1", "content": "1\n\n2\n3\n4\n5"}
RESULT = {"type": "result", "subtype": "success", "result": "Then I fix.", "duration_ms": 1234, "total_cost_usd": 0.5}
FAILED = {**RESULT, "subtype": "error_during_execution", "is_error": True, "result": "", "errors": ["boom"]}


def test_a_turn_is_told_in_its_order() -> None:
    """What was asked, said, done, given back, and what it took: each as a person skims it."""
    turn = [
        {"type": "system", "subtype": "init"},
        asks("fix it\nplease", timestamp="now"),
        says(TEXT, CALL),
        {"type": "user", "message": {"content": [ANSWER]}},
        RESULT,
    ]

    assert shown(*turn) == [
        "› fix it",
        "  please",
        "I look.",
        "Then I fix.",
        "  Bash: make test",
        "    1",
        "    2",
        "    3",
        "    … (2 more lines)",
        "  1.2 s · 0.5000 USD",
    ]


@pytest.mark.parametrize(
    ("record", "lines"),
    [
        (asks("again"), []),
        ({"type": "later_version"}, []),
        ("no json", ["  not understood: no json"]),
        (says(TEXT, parent="t-1"), ["    I look.", "    Then I fix."]),
        (says(CALL, parent="t-1"), ["      Bash: make test"]),
        (FAILED, ["  error_during_execution: boom · 1.2 s · 0.5000 USD"]),
        (
            {"type": "system", "subtype": "api_retry", "attempt": 2, "max_retries": 9},
            ["  waits for the API (try 2 of 9)"],
        ),
    ],
    ids=["a repeat", "unknown", "broken", "a subagent says", "a subagent acts", "a failure", "a retry"],
)
def test_what_else_may_happen(record: dict[str, Any] | str, lines: list[str]) -> None:
    """What says nothing is left out, what nobody can read is named, what went wrong says so."""
    assert shown(record) == lines


def test_a_question_names_its_tool() -> None:
    """A request for leave is told where it was asked."""
    request = {"subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": "rm -r x"}}

    assert shown({"type": "control_request", "request_id": "r", "request": request}) == [
        "  asks leave for Bash: rm -r x"
    ]


def test_a_restart_is_said_between_two_processes() -> None:
    """Once, and not before the first."""
    teller = Teller()
    first, second = told(says(TEXT), teller=teller), told(says(TEXT), says(TEXT), generation=3, teller=teller)

    assert [item.kind for item in first + second] == ["said", "restart", "said", "said"]
    assert as_lines(second[0]) == ["── claude was started again (process 3) ──"]


def test_an_item_is_a_document_too() -> None:
    """Programs get what the text says in fields."""
    [item] = told(FAILED)
    document = item.document()

    assert item.is_error
    assert (document["cost_usd"], document["duration_ms"], document["is_error"]) == (0.5, 1234, True)
    assert json.loads(json.dumps(document)) == document


def test_bytes_that_are_no_text_come_back_as_they_were() -> None:
    """What travelled as lone surrogates is the same bytes again."""
    line = b"\xff\x00 and \xc3\xa9"

    assert as_bytes(line.decode("utf-8", "surrogateescape")) == line
