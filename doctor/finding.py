"""One thing that was looked at: how it stands, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["green", "yellow", "red"]

LEVELS: Final[tuple[Level, ...]] = ("green", "yellow", "red")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Green is well, yellow works with less than was promised, red breaks a promise or does not work at all."""

    name: str
    level: Level
    text: str
    remedy: str = ""


def green(name: str, text: str) -> Finding:
    """It is as it should be."""
    return Finding(name=name, level="green", text=text)


def yellow(name: str, text: str, remedy: str) -> Finding:
    """It works, with less than was promised; or nobody could look."""
    return Finding(name=name, level="yellow", text=text, remedy=remedy)


def red(name: str, text: str, remedy: str) -> Finding:
    """It does not work, or breaks a promise."""
    return Finding(name=name, level="red", text=text, remedy=remedy)


def worst(findings: Iterable[Finding]) -> Level:
    """The level of all of them together."""
    return max((finding.level for finding in findings), key=LEVELS.index, default="green")
