"""The rows of a bench: bars, the table, the JSON."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from bench.report import Bar, Row, missed, notes, table, write_json
from bench.samples import Pairs, interleaved, quantile, spread


def row(bar: Bar | None = None, *, value: float = 60.0, baseline: float | None = 50.0, name: str = "a turn") -> Row:
    return Row(name=name, value=value, unit="ms", baseline=baseline, bar=bar)


@pytest.mark.parametrize(
    ("bar", "ok"),
    [
        (Bar(limit=60.0), True),
        (Bar(limit=59.9), False),
        (Bar(limit=1.2, of="ratio"), True),
        (Bar(limit=1.19, of="ratio"), False),
        (Bar(limit=10.0, of="difference"), True),
        (Bar(limit=9.9, of="difference"), False),
        (None, True),
    ],
)
def test_a_bar_holds_up_to_its_limit(bar: Bar | None, ok: bool) -> None:  # noqa: FBT001
    """The limit itself is still good, whatever of the row the bar is about; no bar, nothing to miss."""
    assert row(bar).ok is ok


@pytest.mark.parametrize("of", ["ratio", "difference"])
@pytest.mark.parametrize("baseline", [None, 0.0])
def test_a_bar_about_a_baseline_needs_one(of: str, baseline: float | None) -> None:
    """A row that could not miss its bar for want of a baseline is refused, not passed."""
    with pytest.raises(ValueError, match="'a turn' is about a baseline"):
        row(Bar(limit=1.0, of=of), baseline=baseline)  # type: ignore[arg-type]


def test_json_has_the_rows_with_their_seven_fields(tmp_path: Path) -> None:
    """What the table shows is what JSON says, with null where there is nothing to compare with."""
    rows = [row(Bar(limit=50.0, of="difference")), row(value=79.0, baseline=None, name="memory")]
    write_json(rows, tmp_path / "bench.json")

    first, second = json.loads((tmp_path / "bench.json").read_text())

    assert first == {
        "name": "a turn",
        "value": 60.0,
        "unit": "ms",
        "baseline": 50.0,
        "ratio": 1.2,
        "bar": "<= baseline + 50 ms",
        "ok": True,
    }
    assert (second["baseline"], second["ratio"], second["bar"], second["ok"]) == (None, None, None, True)


def test_the_table_shows_values_bars_and_verdicts() -> None:
    """A person sees both numbers, the bar in words and whether it holds."""
    shown = io.StringIO()
    rows = [row(Bar(limit=1.25, of="ratio")), row(Bar(limit=40.0), name="a launch")]
    Console(width=120, file=shown).print(table(rows))

    turn, launch = [line.split("│") for line in shown.getvalue().splitlines() if "│" in line]

    assert [cell.strip() for cell in turn[1:7]] == ["a turn", "60.0 ms", "50.0 ms", "1.20", "<= 1.25 x baseline", "yes"]
    assert [cell.strip() for cell in launch[1:7]] == ["a launch", "60.0 ms", "50.0 ms", "1.20", "<= 40 ms", "NO"]


def test_missed_bars_are_named() -> None:
    """Only rows that miss a bar count against the bench."""
    rows = [row(), row(Bar(limit=100.0), name="good"), row(Bar(limit=1.0), name="bad")]

    assert missed(rows) == ["bad"]


def test_notes_tell_what_rows_leave_out() -> None:
    """Rows without a note take no line."""
    rows = [row(), Row(name="memory", value=1.0, unit="MB", note="RSS")]

    assert notes(rows) == "memory: RSS"


async def test_pairs_are_measured_in_turn_and_the_first_is_thrown_away() -> None:
    """Baseline and ours take turns, so that a noisy moment hits both; the first pair only warms up."""
    order: list[str] = []

    async def measure(name: str) -> float:
        order.append(name)
        return float(len(order))

    pairs = await interleaved(2, baseline=lambda: measure("baseline"), ours=lambda: measure("ours"))

    assert order == ["baseline", "ours"] * 3
    assert pairs == Pairs(baseline=[3.0, 5.0], ours=[4.0, 6.0])


def test_pairs_become_a_row_of_medians() -> None:
    """One bad sample moves neither number; the note tells how far the samples lie apart."""
    pairs = Pairs(baseline=[10.0, 11.0, 900.0], ours=[20.0, 22.0, 21.0])

    made = pairs.row("a turn", "ms", Bar(limit=2.0, of="ratio"), "baseline: bare")

    assert (made.value, made.baseline, made.ok) == (21.0, 11.0, True)
    assert made.note == "baseline: bare; n=3 20.0–22.0, baseline n=3 10.0–900"


def test_spread_leaves_the_extremes_out() -> None:
    """Nine tenths of the samples lie within what the spread says."""
    samples = [float(number) for number in range(1, 101)]

    assert (quantile(samples, 0.05), quantile(samples, 0.95)) == (6.0, 95.0)
    assert spread([*samples, 10_000.0]) == "n=101 6.00–96.0"
