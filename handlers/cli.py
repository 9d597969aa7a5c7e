"""The command line: what a person types, and nothing of how it is done."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import traceback
from collections.abc import Coroutine
from typing import Annotated, Any, Final, NoReturn

import typer

from handlers import commands, console
from handlers.failure import EXIT_CODES, INTERRUPTED, judge
from runtime.settings import Settings, SettingsError

app: Final = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Claude Code sessions that survive: the worker, the server or this terminal may die, the session goes on.",
    epilog=EXIT_CODES,
)

Json = Annotated[
    bool, typer.Option("--json", help="JSON on stdout: one document, or one line per event while following.")
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return as soon as it is on its way.")]
Named = Annotated[
    str, typer.Argument(metavar="SESSION", help="A session's id, or the beginning of it if only one fits.")
]
TurnId = Annotated[
    str, typer.Option(help="A name of yours for the turn: sent again, it is answered and not run again.")
]


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n\n".join(["Examples:", *lines, EXIT_CODES])


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
    )
)
def start(
    path: Annotated[str, typer.Argument(metavar="PATH", help="The project directory.", show_default=False)],
    *,
    message: Annotated[str | None, typer.Option(help="What claude should do first; '-' reads it from stdin.")] = None,
    name: Annotated[
        str | None, typer.Option(help="The session's id; by default the directory's name and a suffix.")
    ] = None,
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """Open a session: a durable claude in a project directory. Prints its id, or with a message the answer."""
    conclude(commands.start(path, message, name, wait=not no_wait, as_json=json))


@app.command(
    epilog=examples(
        "durable-claude send app 'now run the tests'",
        "durable-claude send app - < task.md",
        "durable-claude send app 'deploy' --turn-id deploy-42 --json",
    )
)
def send(
    session: Named,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What claude should do; '-' reads it from stdin.")],
    *,
    no_wait: NoWait = False,
    turn_id: TurnId = "",
    json: Json = False,
) -> None:
    """Send a message to a session, show what claude does and print its answer. Ctrl-C leaves the turn running."""
    conclude(commands.send(session, text, turn_id, wait=not no_wait, as_json=json))


@app.command(epilog=examples("durable-claude wait app deploy-42", "durable-claude wait app turn-1f0c2a9b44d1 --json"))
def wait(
    session: Named, turn: Annotated[str, typer.Argument(metavar="TURN", help="The turn's id.")], *, json: Json = False
) -> None:
    """Show what claude does in a turn that was sent before, and print its answer."""
    conclude(commands.wait(session, turn, as_json=json))


@app.command(epilog=examples("durable-claude status app", "durable-claude status app --json | jq -r .status"))
def status(session: Named, *, json: Json = False) -> None:
    """Show what a session is and does."""
    conclude(commands.status(session, as_json=json))


@app.command(
    epilog=examples("durable-claude ls", "durable-claude ls --all", "durable-claude ls --json | jq -r '.[].session_id'")
)
def ls(
    *, every: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False, json: Json = False
) -> None:
    """List the sessions, newest first."""
    conclude(commands.ls(ended=every, as_json=json))


@app.command(epilog=examples("durable-claude stop app", "durable-claude stop app --timeout 0"))
def stop(
    session: Named,
    *,
    timeout: Annotated[float | None, typer.Option(min=0, max=60, help="Seconds for claude to end by itself.")] = None,
    json: Json = False,
) -> None:
    """Stop a session for good; returns when no process of it is left."""
    conclude(commands.stop(session, timeout, as_json=json))


@app.command(epilog=examples("durable-claude demo", "LIVE=1 durable-claude demo"))
def demo() -> None:
    """Watch a session survive the death of its worker; the model is scripted unless LIVE=1 says to use your login."""
    from demo.story import tell

    raise typer.Exit(asyncio.run(tell(Settings.from_env())))


def main() -> NoReturn:
    """Run the command of this process and end the process."""
    code = run(sys.argv[1:])
    code = code or console.flush()
    # The SDK's threads can crash an interpreter that is taken down in the usual way.
    os._exit(code)


def run(arguments: list[str]) -> int:
    """Run one command; the exit code. An error is one sentence on stderr."""
    try:
        return int(typer.main.get_command(app).main(arguments, prog_name="durable-claude", standalone_mode=False) or 0)
    except (KeyboardInterrupt, asyncio.CancelledError, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads on, as with `| head`: that is no error of ours.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  the process ends with it
        return 0
    except Exception as error:  # noqa: BLE001  whatever it is, a person gets a sentence
        code, sentence = judge(error)
        if sentence:
            console.problem(sentence)
        _show_where(error)
        return code


def conclude(work: Coroutine[Any, Any, None]) -> None:
    """Run a command's work to its end."""
    asyncio.run(work)


def _show_where(error: Exception) -> None:
    """The traceback, for who asked for everything; a person gets the sentence only."""
    with contextlib.suppress(SettingsError):
        if Settings.from_env().log_level == "debug":
            traceback.print_exception(error)


if __name__ == "__main__":
    main()
