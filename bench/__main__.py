"""`python -m bench`: every subject beside its baseline; a table, the same as JSON, and 1 when a bar is missed."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from rich.console import Console

from bench import explain, subjects
from bench.report import Row, missed, notes, table, write_json

T = TypeVar("T")

# A log has no width of its own, and 80 columns would fold every name.
console: Final = Console(highlight=False, width=None if sys.stdout.isatty() else 110)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 when all bars hold, 1 when one is missed, 130 when interrupted."""
    chosen = _parser().parse_args(arguments)
    try:
        if chosen.explain:
            asyncio.run(_interruptible(explain.explain(console)))
            return 0
        rounds = subjects.QUICK if chosen.quick else subjects.FULL
        rows = asyncio.run(_interruptible(subjects.measure({name: rounds[name] for name in chosen.only or rounds})))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    _report(rows)
    return 1 if missed(rows) else 0


async def _interruptible(work: Coroutine[Any, Any, T]) -> T:
    """A SIGTERM ends the bench as Ctrl-C does: with everything it started."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def _report(rows: Sequence[Row]) -> None:
    console.print(table(rows))
    console.print(notes(rows), style="dim")
    # A baseline on a busy machine is as slow as the rest, but a time alone is not a fair one there.
    console.print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} over the last minute", style="dim")
    if path := os.environ.get("BENCH_JSON"):
        write_json(rows, Path(path))
    if names := missed(rows):
        console.print(f"missed: {', '.join(names)}", style="bold red")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(subjects.FULL), help="this subject; may be repeated")
    parser.add_argument("--quick", action="store_true", help="few rounds: a look, not a measurement")
    parser.add_argument("--explain", action="store_true", help="the steps of a start, a turn and a takeover instead")
    return parser


if __name__ == "__main__":
    sys.exit(main())
