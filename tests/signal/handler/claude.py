"""What the scripted claude of these tests does: a message's words are its program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from activities.calls import PermissionNeeded, SendTurn, TurnEnded, TurnStep
from tests.workflow.conftest import ScriptedHost

LONG = "A long answer. " * 400


@dataclass
class Claude:
    """`ask` asks for leave once, twice with `ask ask`; `choose` and `choose two` ask for a choice; `hold` goes on when released; `fail` fails."""

    host: ScriptedHost
    released: bool = False
    can_be_remembered: bool = False
    command: str = "rm x"
    texts: dict[str, str] = field(default_factory=dict)
    """What is answered to a text, where it is not the usual."""

    def __call__(self, call: SendTurn) -> TurnStep | Exception:
        given = {answer.request_id for answer in self.host.answers}
        needed = [self._needed(call, at) for at, _ in enumerate(self._questions(call.text))]
        for one in needed:
            if one.request_id not in call.asked:
                return TurnStep(permission=one)
        waits = any(one.request_id not in given for one in needed) or ("hold" in call.text and not self.released)
        return self.host.busy() if waits and not self._is_over(call) else TurnStep(ended=self._ended(call))

    def _is_over(self, call: SendTurn) -> bool:
        return any(one.session_id == call.session_id for one in self.host.interrupts)

    def _ended(self, call: SendTurn) -> TurnEnded:
        text = self.texts.get(call.text, f"answer to {call.text}")
        kind: Any = "interrupted" if self._is_over(call) else "no_credit" if "fail" in call.text else ""
        return TurnEnded(
            turn_id=call.turn_id, text=text, error_kind=kind, is_error=bool(kind), cost_usd=0.25, journal_end=1
        )

    def _questions(self, text: str) -> list[dict[str, Any]]:
        if "choose" in text:
            asked = [question("Which database?", "SQLite", "Postgres"), question("Which port?", "80", "8080")]
            return [{"questions": asked if "two" in text else asked[:1]}]
        return [{"command": self.command}] * text.split().count("ask")

    def _needed(self, call: SendTurn, at: int) -> PermissionNeeded:
        given = self._questions(call.text)[at]
        name = f"{call.turn_id}/{at}"
        return PermissionNeeded(
            turn_id=call.turn_id,
            request_id=name,
            digest=name,
            tool="AskUserQuestion" if "questions" in given else "Bash",
            input=given,
            can_be_remembered=self.can_be_remembered,
            needs_person="questions" in given,
        )


def question(text: str, *labels: str) -> dict[str, Any]:
    """A question of claude's own."""
    return {"question": text, "header": "", "multiSelect": False, "options": [{"label": label} for label in labels]}
