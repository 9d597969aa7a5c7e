"""How the story is told: a line for each thing that happens, a table of what was proven."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

_ACTOR_WIDTH: Final = 10


@dataclass(frozen=True, kw_only=True)
class Fact:
    """Something the story claims, what it should be and what it is."""

    claim: str
    shown: str
    holds: bool


class Telling:
    """Prints the story to stdout, for a person."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._since = time.monotonic()

    def title(self, text: str) -> None:
        """What this is."""
        self._console.print(text, style="bold")

    def aside(self, text: str) -> None:
        """What one should know about it."""
        self._console.print(text, style="dim")

    def line(self, actor: str, text: str, style: str = "") -> None:
        """Something happened, now."""
        line = Text(f"{time.monotonic() - self._since:5.1f} s  ", style="dim")
        line.append(f"{actor:<{_ACTOR_WIDTH}}", style="bold")
        line.append(text, style=style)
        self._console.print(line)

    def facts(self, facts: list[Fact]) -> None:
        """What was proven, and what was not."""
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for fact in facts:
            mark = Text("ok", style="green") if fact.holds else Text("NO", style="bold red")
            table.add_row(mark, fact.claim, Text(fact.shown, style="bold"))
        self._console.print()
        self._console.print(table, soft_wrap=False)
        self._console.print()


class JsonTelling(Telling):
    """The same for a program: one JSON object on each line."""

    def title(self, text: str) -> None:
        """What this is."""
        self._event("title", text=text)

    def aside(self, text: str) -> None:
        """What one should know about it."""
        self._event("aside", text=text)

    def line(self, actor: str, text: str, style: str = "") -> None:
        """Something happened, now."""
        self._event("line", seconds=round(time.monotonic() - self._since, 3), actor=actor, text=text)

    def facts(self, facts: list[Fact]) -> None:
        """What was proven, and what was not."""
        self._event("facts", facts=[asdict(fact) for fact in facts])

    def _event(self, kind: str, **what: Any) -> None:
        print(json.dumps({"event": kind, **what}), flush=True)
