"""Questions that claude asks by itself, each with some answers to choose from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workflows.approvals import ASKING_TOOL, Approval


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One question and what claude offers as answers; others may be given."""

    text: str
    header: str
    labels: list[str]
    takes_several: bool = False

    def line(self) -> str:
        """The question with its answers."""
        return f"{self.text} ({' | '.join(self.labels)})" if self.labels else self.text


def asked(approval: Approval) -> list[Asked]:
    """What claude asks; nothing when it asks for leave, or so much that history has only the beginning."""
    questions = approval.input.get("questions") if approval.tool == ASKING_TOOL else None
    return [_asked(one) for one in questions if isinstance(one, Mapping)] if isinstance(questions, list) else []


def _asked(question: Mapping[str, Any]) -> Asked:
    options = question.get("options")
    labels = [str(one.get("label", "")) for one in options if isinstance(one, Mapping)] if options else []
    return Asked(
        text=str(question.get("question", "")),
        header=str(question.get("header", "")),
        labels=labels,
        takes_several=question.get("multiSelect") is True,
    )
