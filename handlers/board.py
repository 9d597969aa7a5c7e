"""The board of `watch`: one line for each session, those that need a person first, as wide as the terminal allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from handlers import console, views
from workflows.lookout import Sight

# What waits for a person, what is broken, what is on its way, what works, what rests.
_ORDER: Final = (
    *("awaiting_approval", "failed", "terminated", "locked", "host_lost", "restarting"),
    *("stopping", "starting", "busy", "ready", "hibernated", "stopped"),
)
# A column that is narrower than this tells nothing; the one of what claude does gets all that is left.
_LEAST: Final = 8
_SESSION_MOST: Final = 32
_DOING_LEAST: Final = 14
_GAP: Final = "  "


@dataclass(frozen=True, kw_only=True)
class _Column:
    heading: str
    cell: Callable[[Sight, datetime], str]
    is_number: bool = False


_SESSION: Final = _Column(heading="SESSION", cell=lambda sight, now: sight.row.session_id)
_DOING: Final = _Column(heading="DOING", cell=lambda sight, now: doing(sight))
_COLUMNS: Final = (
    _SESSION,
    _Column(heading="STATUS", cell=lambda sight, now: sight.row.status),
    _Column(heading="ASKS", cell=lambda sight, now: str(sight.questions or ""), is_number=True),
    _Column(heading="TURN", cell=lambda sight, now: _turn(sight)),
    _DOING,
    _Column(heading="FOR", cell=lambda sight, now: _since(sight.turn_since, now), is_number=True),
    _Column(heading="AGE", cell=lambda sight, now: _since(sight.row.opened_at, now), is_number=True),
    _Column(heading="USD", cell=lambda sight, now: f"{sight.row.cost_usd:.2f}", is_number=True),
    _Column(heading="RSS", cell=lambda sight, now: _figure(sight, "rss_mb", "M"), is_number=True),
    _Column(heading="CPU", cell=lambda sight, now: _figure(sight, "cpu_percent", "%"), is_number=True),
    _Column(heading="GEN", cell=lambda sight, now: _lives(sight), is_number=True),
)
# What a narrow terminal goes without, the first one first.
_DROPPED: Final = ("TURN", "GEN", "CPU", "RSS", "AGE", "USD", "FOR", "ASKS", "DOING")


def sorted_by_need(sights: Sequence[Sight]) -> list[Sight]:
    """Those that need a person first; alike ones as they were listed."""
    return sorted(sights, key=lambda sight: (not sight.questions, _rank(sight.row.status)))


def summary(sights: Sequence[Sight]) -> str:
    """How many sessions there are, by status, and what they cost so far."""
    counts = Counter(sight.row.status for sight in sights)
    parts = [f"{counts[status]} {status}" for status in sorted(counts, key=_rank)]
    cost = sum(sight.row.cost_usd for sight in sights)
    number = f"{len(sights)} session{'' if len(sights) == 1 else 's'}"
    return " · ".join([number, *parts, f"{cost:.2f} USD"])


def lines(sights: Sequence[Sight], now: datetime, width: int | None) -> list[Text]:
    """A heading and a line for each session; without a width as wide as they are."""
    columns = list(_COLUMNS)
    cells = [[_plain(column.cell(sight, now)) for column in columns] for sight in sights]
    table = [[column.heading for column in columns], *cells]
    widths = [max(cell_len(row[index]) for row in table) for index in range(len(columns))]
    if width is not None:
        widths = _fitted(widths, width)
    styles = ["bold", *(views.colour(sight.row.status) for sight in sights)]
    return [_line(row, widths, style) for row, style in zip(table, styles, strict=True)]


def document(sights: Sequence[Sight], now: datetime) -> dict[str, Any]:
    """The same for a program."""
    return {
        "at": now,
        "counts": Counter(sight.row.status for sight in sights),
        "sessions": [_record(sight, now) for sight in sights],
    }


def doing(sight: Sight) -> str:
    """What a person wants to know at this moment: the question that waits, what is wrong, or what claude does."""
    if sight.report and sight.report.approvals:
        return views.asked_for(sight.report.approvals[0])
    if sight.turn_since is not None and not sight.row.note:
        return str(sight.load.get("doing") or "thinks")
    return sight.row.note


def _record(sight: Sight, now: datetime) -> dict[str, Any]:
    report = sight.report
    return {
        **asdict(sight.row),
        "age_seconds": round((now - sight.row.opened_at).total_seconds(), 1),
        "questions": sight.questions,
        "turn_id": _turn(sight),
        "turn_seconds": round((now - sight.turn_since).total_seconds(), 1) if sight.turn_since else None,
        "doing": doing(sight),
        "queued": report.queued if report else None,
        "generation": sight.load.get("generation") or sight.row.generation or None,
        **{name: sight.load.get(name) for name in ("pid", "rss_mb", "cpu_percent")},
    }


def _fitted(widths: Sequence[int], width: int) -> list[int]:
    """How wide each column may be; 0 leaves it out."""
    fitted = list(widths)
    at = {column.heading: index for index, column in enumerate(_COLUMNS)}
    fitted[at["SESSION"]] = min(fitted[at["SESSION"]], _SESSION_MOST)
    fitted[at["DOING"]] = min(fitted[at["DOING"]], _DOING_LEAST)
    for heading in _DROPPED:
        if _total(fitted) > width:
            fitted[at[heading]] = 0
    for heading in ("SESSION", "STATUS"):
        over = max(0, _total(fitted) - width)
        fitted[at[heading]] = max(min(_LEAST, fitted[at[heading]]), fitted[at[heading]] - over)
    if fitted[at["DOING"]]:
        fitted[at["DOING"]] = min(widths[at["DOING"]], fitted[at["DOING"]] + width - _total(fitted))
    return fitted


def _total(widths: Sequence[int]) -> int:
    shown = [width for width in widths if width]
    return sum(shown) + len(_GAP) * (len(shown) - 1)


def _line(cells: Sequence[str], widths: Sequence[int], style: str) -> Text:
    shown = [
        _cut(cell, width, is_number=column.is_number)
        for cell, width, column in zip(cells, widths, _COLUMNS, strict=True)
        if width
    ]
    return Text(_GAP.join(shown).rstrip(), style=style, no_wrap=True)


def _cut(cell: str, width: int, *, is_number: bool) -> str:
    if cell_len(cell) > width:
        return set_cell_size(cell, width - 1) + "…"
    return " " * (width - cell_len(cell)) + cell if is_number else set_cell_size(cell, width)


def _plain(text: str) -> str:
    return " ".join(console.printable(text).split())


def _rank(status: str) -> int:
    return _ORDER.index(status) if status in _ORDER else len(_ORDER)


def _since(since: datetime | None, now: datetime) -> str:
    if since is None:
        return ""
    seconds = max(0.0, (now - since.astimezone(UTC)).total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def _figure(sight: Sight, name: str, unit: str) -> str:
    value = sight.load.get(name)
    return f"{value:.0f}{unit}" if isinstance(value, int | float) else ""


def _lives(sight: Sight) -> str:
    """The generation of the process, and how many deaths made a new one necessary."""
    generation = sight.load.get("generation") or sight.row.generation or ""
    return f"{generation}/{sight.row.restarts}" if sight.row.restarts else f"{generation}"


def _turn(sight: Sight) -> str:
    """The turn that is under way."""
    return sight.report.turn_id if sight.report else str(sight.load.get("turn_id", ""))
