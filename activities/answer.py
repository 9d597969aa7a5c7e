"""The whole answer of a turn, as it stands in the journal."""

from __future__ import annotations

from typing import Final

from activities.calls import AnswerPart, ReadAnswer
from claude import protocol
from claude.events import TurnResult
from claude.trace import Trace
from shim.paths import HostDirectory

# Each part is written into history twice; at four bytes per character this is 256 KiB.
PART_CHARACTERS: Final = 64 * 1024


class AnswerMissing(Exception):
    """The journal does not hold the answer any more, or never did."""


def answer_part(host: HostDirectory, call: ReadAnswer) -> AnswerPart:
    """The part that was asked for; blocks while it reads. A process that was adopted writes its first journal on."""
    trace = Trace(host.session(call.session_id), call.generation)
    line = next((line for end, line in trace.lines(0) if end == call.journal_end), b"")
    for event in protocol.parse(line):
        if isinstance(event, TurnResult):
            return AnswerPart(text=event.text[call.start :][:PART_CHARACTERS], total=len(event.text))
    raise AnswerMissing(f"no answer ends at byte {call.journal_end} of {str(trace.stdout_path)!r}")
