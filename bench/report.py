"""The rows of a bench: their bars, their table and their JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, kw_only=True)
class Bar:
    """The most that is still good: of the value itself, of its ratio to the baseline, or of what it has over it."""

    limit: float
    of: Literal["value", "ratio", "difference"] = "value"

    def text(self, unit: str) -> str:
        """The bar as people and JSON read it."""
        match self.of:
            case "ratio":
                return f"<= {self.limit:g} x baseline"
            case "difference":
                return f"<= baseline + {self.limit:g} {unit}"
            case _:
                return f"<= {self.limit:g} {unit}"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One thing measured. `baseline` is None where there is nothing to compare with."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    bar: Bar | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.bar and self.bar.of != "value" and self.ratio is None:
            raise ValueError(f"the bar of row {self.name!r} is about a baseline: give it one above 0")

    @property
    def ratio(self) -> float | None:
        """How many times the baseline the value is."""
        return self.value / self.baseline if self.baseline else None

    @property
    def ok(self) -> bool:
        """Whether the bar holds; without one nothing can be missed."""
        if self.bar is None:
            return True
        measured = {"value": self.value, "ratio": self.ratio, "difference": self.value - (self.baseline or 0.0)}
        return (measured[self.bar.of] or 0.0) <= self.bar.limit

    def document(self) -> dict[str, Any]:
        """The row as JSON has it."""
        return {
            "name": self.name,
            "value": round(self.value, 3),
            "unit": self.unit,
            "baseline": None if self.baseline is None else round(self.baseline, 3),
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "bar": self.bar.text(self.unit) if self.bar else None,
            "ok": self.ok,
        }


def table(rows: Sequence[Row]) -> Table:
    """All rows for a person; a missed bar stands out."""
    shown = Table(title="durable-claude against what it stands on", title_justify="left")
    shown.add_column("what", overflow="fold")
    for heading in ("value", "baseline", "ratio"):
        shown.add_column(heading, justify="right", no_wrap=True)
    shown.add_column("bar", no_wrap=True)
    shown.add_column("ok", no_wrap=True)
    for row in rows:
        shown.add_row(*_cells(row))
    return shown


def notes(rows: Sequence[Row]) -> str:
    """What each baseline is and how far the samples lie apart, below the table."""
    return "\n".join(f"{row.name}: {row.note}" for row in rows if row.note)


def write_json(rows: Sequence[Row], path: Path) -> None:
    """The same rows as a JSON list."""
    path.write_text(json.dumps([row.document() for row in rows], indent=2) + "\n")


def missed(rows: Sequence[Row]) -> list[str]:
    """The names of the rows that miss their bar."""
    return [row.name for row in rows if not row.ok]


def _cells(row: Row) -> list[str | Text]:
    verdict = "" if row.bar is None else Text("yes", style="green") if row.ok else Text("NO", style="bold red")
    return [
        row.name,
        f"{number(row.value)} {row.unit}",
        "" if row.baseline is None else f"{number(row.baseline)} {row.unit}",
        "" if row.ratio is None else f"{row.ratio:.2f}",
        row.bar.text(row.unit) if row.bar else "",
        verdict,
    ]


def number(value: float) -> str:
    """Three digits say all that a noisy machine can."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
