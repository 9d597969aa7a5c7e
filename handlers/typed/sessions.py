"""The commands that open, show and stop sessions."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from handlers.options import (
    Budget,
    Idle,
    Json,
    Lifetime,
    Limits,
    NamedEver,
    NamedEvers,
    NoWait,
    Resume,
    When,
    completed,
    examples,
)
from handlers.running import conclude

app: Final = typer.Typer()


@app.command(
    epilog=examples(
        "durable-claude start .",
        "durable-claude start ~/src/app --message 'why does the build fail?'",
        "id=$(durable-claude start ~/src/app --name app)",
        "git diff | durable-claude start . --message -",
        "durable-claude start . --idle-minutes 5 --lifetime-hours 48 --budget-usd 20",
        "durable-claude start . --resume 5f2d6c1e-8f0b-4f5c-9a58-0f3f6d1b2c3d",
    )
)
def start(
    path: Annotated[str, typer.Argument(metavar="PATH", help="The project directory.", show_default=False)],
    *,
    message: Annotated[str | None, typer.Option(help="What claude should do first; '-' reads it from stdin.")] = None,
    name: Annotated[
        str | None, typer.Option(help="The session's id; by default the directory's name and a suffix.")
    ] = None,
    idle_minutes: Idle = None,
    lifetime_hours: Lifetime = None,
    budget_usd: Budget = None,
    resume: Resume = "",
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """Open a session: a durable claude in a project directory. Prints its id, or with a message the answer."""
    from handlers import commands

    limits = Limits(idle_minutes=idle_minutes, lifetime_hours=lifetime_hours, budget_usd=budget_usd)
    conclude(commands.start(path, message, name, limits, resume, wait=not no_wait, as_json=json))


@app.command(epilog=examples("durable-claude fork app", "id=$(durable-claude fork app --name app-other-way)"))
def fork(
    session: NamedEver,
    *,
    name: Annotated[str | None, typer.Option(help="The new session's id.", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Open a second session with a copy of a session's conversation; the first one goes on as it is."""
    from handlers import commands

    conclude(commands.fork(session, name, as_json=json))


@app.command(epilog=examples("durable-claude resume app", "durable-claude resume ~/src/app --json | jq -r .was"))
def resume(session: NamedEver, *, json: Json = False) -> None:
    """Bring a session back: one that sleeps is woken, one that failed is opened again with its conversation."""
    from handlers import resuming

    conclude(resuming.resume(session, as_json=json))


@app.command(epilog=examples("durable-claude status app", "durable-claude status app --json | jq '.approvals'"))
def status(session: NamedEver, *, json: Json = False) -> None:
    """Show what a session is and does, and what it asks you."""
    from handlers import commands

    conclude(commands.status(session, as_json=json))


@app.command(
    epilog=examples("durable-claude ls", "durable-claude ls --all", "durable-claude ls --json | jq -r '.[].session_id'")
)
def ls(
    *, every: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False, json: Json = False
) -> None:
    """List the sessions, newest first."""
    from handlers import commands

    conclude(commands.ls(ended=every, as_json=json))


@app.command(
    epilog=examples(
        "durable-claude watch",
        "durable-claude watch app ~/src/shop",
        "durable-claude watch --once",
        "durable-claude watch --json | jq -r '.sessions[] | select(.questions > 0) | .session_id'",
    )
)
def watch(
    sessions: NamedEvers = None,
    *,
    once: Annotated[bool, typer.Option("--once", help="Print one table and end.")] = False,
    json: Json = False,
) -> None:
    """Follow sessions live, those that need you first; all that live, or the named ones. `q` or Ctrl-C leaves."""
    from handlers import watching

    conclude(watching.watch(sessions or (), once=once, as_json=json))


@app.command(
    epilog=examples(
        "durable-claude stop app",
        "durable-claude stop app --after-turn",
        "durable-claude stop app --timeout 0",
        "durable-claude stop --all",
    )
)
def stop(
    session: Annotated[
        str,
        typer.Argument(metavar="SESSION", help="A session, as in the other commands.", autocompletion=completed),
    ] = "",
    *,
    every: Annotated[bool, typer.Option("--all", help="Every session that lives.")] = False,
    after_turn: Annotated[bool, typer.Option("--after-turn", help="Let the running turn end first.")] = False,
    timeout: Annotated[float | None, typer.Option(min=0, max=60, help="Seconds for claude to end by itself.")] = None,
    json: Json = False,
) -> None:
    """Stop a session for good; returns when no process of it is left. Queued turns are not run."""
    if every == bool(session):
        raise typer.BadParameter("name a session, or say --all" + (", not both" if every else ""))
    from handlers import commands

    when: When = "after_turn" if after_turn else "now"
    if every:
        conclude(commands.stop_all(timeout, when, as_json=json))
    else:
        conclude(commands.stop(session, timeout, when, as_json=json))
