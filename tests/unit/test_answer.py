"""Where in the journals an answer is found."""

import json
from pathlib import Path

import pytest

from activities.answer import PART_CHARACTERS, AnswerMissing, answer_part
from activities.calls import AnswerPart, ReadAnswer
from shim.paths import HostDirectory


def result(text: str) -> bytes:
    return json.dumps({"type": "result", "subtype": "success", "result": text}).encode() + b"\n"


def call(generation: int, journal_end: int, start: int = 0) -> ReadAnswer:
    return ReadAnswer(session_id="one", project_path="/", generation=generation, journal_end=journal_end, start=start)


@pytest.fixture
def journals(host: HostDirectory) -> Path:
    """A session whose first process was adopted by generation 2, and replaced by generation 3."""
    directory = host.session("one")
    directory.path.mkdir(parents=True)
    directory.journal(1).write_bytes(result("first") + result("second"))
    directory.journal(3).write_bytes(result("third"))
    return directory.path


def test_an_answer_is_found_by_the_end_of_its_line(host: HostDirectory, journals: Path) -> None:
    """In the journal of its own generation, or of the process that it had adopted."""
    first, both = len(result("first")), len(result("first") + result("second"))

    assert answer_part(host, call(1, first)) == AnswerPart(text="first", total=5)
    assert answer_part(host, call(2, both, start=3)) == AnswerPart(text="ond", total=6)
    assert answer_part(host, call(3, len(result("third")))).text == "third"


def test_an_answer_that_is_gone_is_said_to_be(host: HostDirectory, journals: Path) -> None:
    """Also when something else ends there."""
    with (journals / "journal.3.jsonl").open("ab") as journal:
        journal.write(b"no result\n")
    for gone in (call(3, 1), call(3, (journals / "journal.3.jsonl").stat().st_size)):
        with pytest.raises(AnswerMissing, match="no answer ends at byte"):
            answer_part(host, gone)


def test_a_long_answer_comes_in_parts(host: HostDirectory, journals: Path) -> None:
    """None of them is larger than what history takes well."""
    long = result("x" * (PART_CHARACTERS + 1))
    (journals / "journal.4.jsonl").write_bytes(long)

    assert len(answer_part(host, call(4, len(long))).text) == PART_CHARACTERS
    assert answer_part(host, call(4, len(long), start=PART_CHARACTERS)).text == "x"
