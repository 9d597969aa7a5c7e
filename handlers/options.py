"""What the commands' signatures share: their arguments and options, and the end of their help."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import typer

from handlers.failure import EXIT_CODES
from workflows.messages import SessionOptions

Json = Annotated[
    bool, typer.Option("--json", help="JSON on stdout: one document, or one line per event while following.")
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return as soon as it is on its way.")]


def completed(incomplete: str) -> list[str]:
    """The names that a shell may complete this to."""
    # Completion is asked for at each key, and of commands that need no Temporal as well.
    from handlers.completion import living

    return living(incomplete)


def completed_ever(incomplete: str) -> list[str]:
    """The same, with the sessions that have ended."""
    from handlers.completion import known

    return known(incomplete)


When = Literal["now", "after_turn"]
_NAMES = "A session's id, the beginning of it if only one fits, or its project directory."
Named = Annotated[str, typer.Argument(metavar="SESSION", help=_NAMES, autocompletion=completed)]
NamedEver = Annotated[
    str, typer.Argument(metavar="SESSION", help=f"{_NAMES[:-1]}; it may have ended.", autocompletion=completed_ever)
]
NamedEvers = Annotated[
    list[str] | None, typer.Argument(metavar="[SESSION]...", help=_NAMES, autocompletion=completed, show_default=False)
]
Question = Annotated[
    str,
    typer.Argument(metavar="QUESTION", help="The question's id; not needed when only one waits.", show_default=False),
]
Attach = Annotated[
    list[str] | None,
    typer.Option(metavar="FILE", help="An image or another file of the session's host to send along; repeatable."),
]
Resume = Annotated[
    str,
    typer.Option(metavar="UUID", help="Go on with this conversation of claude's own, by its id.", show_default=False),
]
TurnId = Annotated[
    str, typer.Option(help="A name of yours for the turn: sent again, it is answered and not run again.")
]


def above_zero(value: float | None) -> float | None:
    """For a limit that would let nothing happen at 0."""
    if value is not None and not value > 0:
        raise typer.BadParameter(f"{value:g} is not above 0; leave the option out for no limit")
    return value


Idle = Annotated[
    float | None,
    typer.Option("--idle-minutes", min=0, max=525_600, help="Sleep after so long without work; 0 for never."),
]
Lifetime = Annotated[
    float | None,
    typer.Option("--lifetime-hours", max=87_600, callback=above_zero, help="Stop the session when it is so old."),
]
Budget = Annotated[
    float | None,
    typer.Option("--budget-usd", max=1e6, callback=above_zero, help="Take no more messages once this much is spent."),
]
CreateNamespace = Annotated[bool, typer.Option(help="Create the namespace, if it is not there.")]
RetentionDays = Annotated[
    int | None, typer.Option(min=1, max=3650, help="How long a new namespace keeps sessions that have ended.")
]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a person says of a new session's limits; None leaves the default in force."""

    idle_minutes: float | None = None
    lifetime_hours: float | None = None
    budget_usd: float | None = None

    def applied(self, options: SessionOptions) -> SessionOptions:
        """The options with these limits."""
        if self.idle_minutes is not None:
            options = replace(options, idle_seconds=self.idle_minutes * 60)
        if self.lifetime_hours is not None:
            options = replace(options, lifetime_seconds=self.lifetime_hours * 3600)
        if self.budget_usd is not None:
            options = replace(options, cost_budget_usd=self.budget_usd)
        return options


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n\n".join(["Examples:", *lines, EXIT_CODES])
