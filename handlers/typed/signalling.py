"""The command that serves a phone."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from handlers import console
from handlers.options import Json, examples
from handlers.running import conclude
from runtime.settings import Settings

app: Final = typer.Typer()


@app.command(
    epilog=examples(
        "durable-claude signal --guide",
        "DURABLE_CLAUDE_SIGNAL_ACCOUNT=+15550000000 DURABLE_CLAUDE_SIGNAL_OWNERS=+15550001111 durable-claude signal",
    )
)
def signal(
    *,
    guide: Annotated[bool, typer.Option("--guide", help="Say how to get an account and a daemon, and end.")] = False,
    json: Json = False,
) -> None:
    """Serve sessions to Signal, until Ctrl-C: people write to an account of yours, and claude answers there.

    What arrives is kept before it is done, what is told before it is sent: it may be killed at any moment.
    """
    from handlers.signal.guide import guide as explained

    settings = Settings.from_env()
    if guide:
        console.result(explained(settings.signal))
        return
    # Only this command needs a worker of Temporal's, whose imports take longer than the other commands do.
    from handlers.signal.service import serve
    from runtime import logs
    from runtime.quiet import prepare_quiet_runtime

    logs.configure(settings.log_format, settings.log_level, sys.stderr, content=settings.log_content)
    # The metrics' address is the worker's, which shares these settings.
    prepare_quiet_runtime()

    def up(queue: str) -> None:
        if json:
            console.document({"queue": queue})
        else:
            console.result(f"The Signal handler is up. Write /help to the account; sessions tell it by {queue}.")
        console.out.file.flush()

    conclude(serve(settings, up))
