"""`doctor`: how this machine stands, in lines for a person or one document for a script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from doctor.examination import examine
from doctor.finding import Finding, Level, worst
from handlers import console
from handlers.connection import environ_of
from handlers.failure import FAILED, OK
from handlers.signal import checkup as signal
from runtime.salvage import salvaged

_SIGNS: Final[dict[Level, tuple[str, str]]] = {"green": ("✓", "green"), "yellow": ("!", "yellow"), "red": ("✗", "red")}


async def doctor(*, as_json: bool) -> int:
    """Look at everything and say it; the exit code says whether something is red."""
    settings, problems = salvaged()
    findings = await examine(
        settings, problems, environ_of(settings), handlers={"signal": lambda: signal.examine(settings)}
    )
    level = worst(findings)
    if as_json:
        console.document({"level": level, "findings": findings})
    else:
        _show(findings)
    return FAILED if level == "red" else OK


def _show(findings: Sequence[Finding]) -> None:
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        sign, colour = _SIGNS[finding.level]
        console.out.print(sign, style=colour, end=" ")
        console.result(f"{finding.name:{width}}  {finding.text}")
        if finding.remedy:
            console.result(f"  {'':{width}}  → {finding.remedy}")
    counts = {level: sum(finding.level == level for finding in findings) for level in _SIGNS}
    console.note(" · ".join(f"{count} {level}" for level, count in counts.items() if count))
