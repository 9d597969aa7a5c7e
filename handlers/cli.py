"""The command line: its front door, and the commands that stand above sessions. The others are in handlers/typed/."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from typing import Annotated, Final, NoReturn

import typer

from handlers import console
from handlers.failure import EXIT_CODES, REFUSED, CommandFailed
from handlers.options import CreateNamespace, Json, RetentionDays, examples
from handlers.running import conclude, finish, run
from handlers.typed import looking, questions, sessions, signalling, turns
from runtime.settings import Settings

# A command imports, asks, prints and ends: what it makes until then is no garbage, and looking for some costs 10 to 40 ms.
_MADE_BEFORE_A_LOOK: Final = 50_000
# Where `up` has its Web UI, as browsers may call it.
LOCAL_UI: Final = ["http://127.0.0.1:8233", "http://localhost:8233"]

app: Final = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Claude Code sessions that survive: the worker, the server or this terminal may die, the session goes on.",
    epilog=EXIT_CODES,
)


def _show_version(*, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        console.result(f"durable-claude {version('durable-claude')}")
        raise typer.Exit


@app.callback()
def common(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """What every command has."""


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
    from workflows.attributes import KINDS

    settings = Settings.from_env()
    logs.configure(settings.log_format, settings.log_level, sys.stderr, content=settings.log_content)
    plan = DevServerPlan(state_directory=settings.state_directory, port=port, ui_port=ui_port, search_attributes=KINDS)
    conclude(serve(settings, plan, as_json=json))


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


@app.command(
    epilog=examples(
        "durable-claude setup",
        "TEMPORAL_NAMESPACE=claude durable-claude setup --create-namespace --retention-days 90",
        "durable-claude setup --json | jq .added",
    )
)
def setup(
    *,
    create_namespace: CreateNamespace = False,
    retention_days: RetentionDays = None,
    json: Json = False,
) -> None:
    """Prepare a Temporal server of your own for sessions, once; done again it changes nothing. `up` does it by itself."""
    from handlers.setup import setup as prepare
    from runtime.namespace import RETENTION_DAYS

    days = RETENTION_DAYS if retention_days is None else retention_days
    conclude(prepare(Settings.from_env(), create=create_namespace, retention_days=days, as_json=json))


@app.command(
    epilog=examples(
        "durable-claude doctor", "durable-claude doctor --json | jq '.findings[] | select(.level==\"red\")'"
    )
)
def doctor(*, json: Json = False) -> None:
    """Look at everything that sessions need here, and say what to mend; changes nothing. Exit code 1: something is red."""
    # It needs the worker, whose imports take longer than the other commands do.
    from handlers.doctor import doctor as examine

    raise typer.Exit(asyncio.run(examine(as_json=json)))


@app.command(
    epilog=examples("durable-claude demo", "LIVE=1 durable-claude demo", "durable-claude demo --json | jq .facts")
)
def demo(*, json: Json = False) -> None:
    """Watch a session survive the death of its worker; the model is scripted unless LIVE=1 says to use your login."""
    from demo.story import tell

    raise typer.Exit(asyncio.run(tell(Settings.from_env(), as_json=json)))


for theme in (sessions, turns, looking, questions, signalling):
    app.add_typer(theme.app)


def main() -> NoReturn:
    """Run the command of this process and end the process."""
    gc.set_threshold(_MADE_BEFORE_A_LOOK)
    code = finish(run(app, sys.argv[1:]))
    # The SDK's threads can crash an interpreter that is taken down in the usual way.
    os._exit(code)


if __name__ == "__main__":
    main()
