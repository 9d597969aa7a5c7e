"""The command line: what a person types, and nothing of how it is done."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated, Final, NoReturn

import typer

from handlers import answers, commands, console
from handlers.failure import EXIT_CODES, REFUSED, CommandFailed
from handlers.options import (
    Attach,
    Budget,
    Idle,
    Json,
    Lifetime,
    Limits,
    Named,
    NoWait,
    Question,
    Resume,
    TurnId,
    examples,
)
from handlers.running import conclude, run
from runtime.settings import Settings
from workflows.approvals import Decision

# Where `up` has its Web UI, as browsers may call it.
LOCAL_UI: Final = ["http://127.0.0.1:8233", "http://localhost:8233"]

app: Final = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Claude Code sessions that survive: the worker, the server or this terminal may die, the session goes on.",
    epilog=EXIT_CODES,
)


@app.command(
    epilog=examples(
        "durable-claude up", "durable-claude up --port 7300 --ui-port 8300", "durable-claude up --json | jq .ui_address"
    )
)
def up(
    *,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where Temporal listens, on 127.0.0.1.")] = 7233,
    ui_port: Annotated[int, typer.Option(min=1, max=65535, help="Where its Web UI listens.")] = 8233,
    json: Json = False,
) -> None:
    """Run a Temporal server and a worker here, until Ctrl-C. Killed and started again it has its sessions back."""
    # Only this command needs the worker, and its imports take longer than the other commands do.
    from handlers.up import up as serve
    from runtime import logs
    from runtime.dev_server import DevServerPlan

    settings = Settings.from_env()
    logs.configure(settings.log_format, settings.log_level, sys.stderr)
    plan = DevServerPlan(state_directory=settings.state_directory, port=port, ui_port=ui_port)
    conclude(serve(settings, plan, as_json=json))


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
    limits = Limits(idle_minutes=idle_minutes, lifetime_hours=lifetime_hours, budget_usd=budget_usd)
    conclude(commands.start(path, message, name, limits, resume, wait=not no_wait, as_json=json))


@app.command(epilog=examples("durable-claude fork app", "id=$(durable-claude fork app --name app-other-way)"))
def fork(
    session: Named,
    *,
    name: Annotated[str | None, typer.Option(help="The new session's id.", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Open a second session with a copy of a session's conversation; the first one goes on as it is."""
    conclude(commands.fork(session, name, as_json=json))


@app.command(
    epilog=examples(
        "durable-claude send app 'now run the tests'",
        "durable-claude send app - < task.md",
        "durable-claude send app 'what is wrong here?' --attach shot.png --attach trace.log",
        "durable-claude send app 'deploy' --turn-id deploy-42 --json",
    )
)
def send(
    session: Named,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What claude should do; '-' reads it from stdin.")],
    *,
    attach: Attach = None,
    no_wait: NoWait = False,
    turn_id: TurnId = "",
    json: Json = False,
) -> None:
    """Send a message to a session, show what claude does and print its answer. Ctrl-C leaves the turn running."""
    conclude(commands.send(session, text, turn_id, attach or (), wait=not no_wait, as_json=json))


@app.command(epilog=examples("durable-claude wait app deploy-42", "durable-claude wait app turn-1f0c2a9b44d1 --json"))
def wait(
    session: Named, turn: Annotated[str, typer.Argument(metavar="TURN", help="The turn's id.")], *, json: Json = False
) -> None:
    """Show what claude does in a turn that was sent before, and print its answer."""
    conclude(commands.wait(session, turn, as_json=json))


@app.command(
    epilog=examples(
        "durable-claude approve app",
        "durable-claude approve app a3 --turn",
        "durable-claude approve app a3 --always --json",
    )
)
def approve(
    session: Named,
    question: Question = "",
    *,
    turn: Annotated[bool, typer.Option("--turn", help="And everything else that this turn asks for.")] = False,
    always: Annotated[
        bool, typer.Option("--always", help="And never ask for this again, by claude's own rule.")
    ] = False,
    json: Json = False,
) -> None:
    """Let claude do what it asks leave for."""
    if turn and always:
        raise typer.BadParameter("--turn and --always cannot go together")
    decision: Decision = "allow_turn" if turn else "allow_always" if always else "allow"
    conclude(answers.answer(session, question, decision, as_json=json))


@app.command(epilog=examples("durable-claude deny app", "durable-claude deny app a3 --message 'use the test database'"))
def deny(
    session: Named,
    question: Question = "",
    *,
    message: Annotated[str, typer.Option(help="What claude is told, so that it can do better.")] = "",
    json: Json = False,
) -> None:
    """Refuse what claude asks leave for; the turn goes on without it."""
    conclude(answers.answer(session, question, "deny", message=message, as_json=json))


@app.command(epilog=examples("durable-claude answer app a3 'Which database?=SQLite' 'Since when?=version 2'"))
def answer(
    session: Named,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question's id.")],
    choices: Annotated[
        list[str], typer.Argument(metavar="QUESTION=CHOICE...", help="What claude asks, and your choice.")
    ],
    *,
    json: Json = False,
) -> None:
    """Answer what claude asks you; you may say something else than it offers."""
    conclude(answers.choose(session, question, choices, as_json=json))


@app.command(epilog=examples("durable-claude interrupt app", "durable-claude interrupt app --json | jq -r .turn_id"))
def interrupt(session: Named, *, json: Json = False) -> None:
    """End the running turn; the session lives on."""
    conclude(answers.interrupt(session, as_json=json))


@app.command(
    epilog=examples("durable-claude cancel app turn-1f0c2a9b44d1", "durable-claude cancel app deploy-42 --json")
)
def cancel(
    session: Named, turn: Annotated[str, typer.Argument(metavar="TURN", help="The turn's id.")], *, json: Json = False
) -> None:
    """Take a queued turn back before it begins."""
    conclude(answers.cancel(session, turn, as_json=json))


@app.command(epilog=examples("durable-claude status app", "durable-claude status app --json | jq '.approvals'"))
def status(session: Named, *, json: Json = False) -> None:
    """Show what a session is and does, and what it asks you."""
    conclude(commands.status(session, as_json=json))


@app.command(
    epilog=examples("durable-claude ls", "durable-claude ls --all", "durable-claude ls --json | jq -r '.[].session_id'")
)
def ls(
    *, every: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False, json: Json = False
) -> None:
    """List the sessions, newest first."""
    conclude(commands.ls(ended=every, as_json=json))


@app.command(
    epilog=examples(
        "durable-claude stop app",
        "durable-claude stop app --after-turn",
        "durable-claude stop app --timeout 0",
        "durable-claude stop --all",
    )
)
def stop(
    session: Annotated[str, typer.Argument(metavar="SESSION", help="A session, as in the other commands.")] = "",
    *,
    every: Annotated[bool, typer.Option("--all", help="Every session that lives.")] = False,
    after_turn: Annotated[bool, typer.Option("--after-turn", help="Let the running turn end first.")] = False,
    timeout: Annotated[float | None, typer.Option(min=0, max=60, help="Seconds for claude to end by itself.")] = None,
    json: Json = False,
) -> None:
    """Stop a session for good; returns when no process of it is left. Queued turns are not run."""
    if every == bool(session):
        raise typer.BadParameter("name a session, or say --all" + (", not both" if every else ""))
    when: commands.When = "after_turn" if after_turn else "now"
    if every:
        conclude(commands.stop_all(timeout, when, as_json=json))
    else:
        conclude(commands.stop(session, timeout, when, as_json=json))


@app.command(epilog=examples("durable-claude codec", "durable-claude codec --ui https://temporal.example.org"))
def codec(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where it listens, on 127.0.0.1; 0 for any.")] = 8234,
    ui: Annotated[list[str] | None, typer.Option(help="Where the Web UI is; may be given more than once.")] = None,
    json: Json = False,
) -> None:
    """Decrypt for the Temporal Web UI and `temporal --codec-endpoint` on this machine, until Ctrl-C."""
    # It needs a web server, which the other commands do without.
    try:
        from handlers.codec import serve
    except ModuleNotFoundError as error:
        raise CommandFailed(f"{error.name!r} is missing: install durable-claude[encryption]", REFUSED) from error
    conclude(serve(Settings.from_env(), port, ui or LOCAL_UI, as_json=json))


@app.command(epilog=examples("durable-claude demo", "LIVE=1 durable-claude demo"))
def demo() -> None:
    """Watch a session survive the death of its worker; the model is scripted unless LIVE=1 says to use your login."""
    from demo.story import tell

    raise typer.Exit(asyncio.run(tell(Settings.from_env())))


def main() -> NoReturn:
    """Run the command of this process and end the process."""
    code = run(app, sys.argv[1:])
    code = code or console.flush()
    # The SDK's threads can crash an interpreter that is taken down in the usual way.
    os._exit(code)


if __name__ == "__main__":
    main()
