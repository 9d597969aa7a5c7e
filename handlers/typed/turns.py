"""The commands that send messages, and what becomes of them."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from handlers.options import Attach, Json, Named, NamedEver, NoWait, TurnId, examples
from handlers.running import conclude

app: Final = typer.Typer()


@app.command(
    epilog=examples(
        "durable-claude send app 'now run the tests'",
        "durable-claude send . 'what is left to do?'",
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
    from handlers import commands

    conclude(commands.send(session, text, turn_id, attach or (), wait=not no_wait, as_json=json))


@app.command(epilog=examples("durable-claude wait app deploy-42", "durable-claude wait app turn-1f0c2a9b44d1 --json"))
def wait(
    session: NamedEver,
    turn: Annotated[str, typer.Argument(metavar="TURN", help="The turn's id.")],
    *,
    json: Json = False,
) -> None:
    """Show what claude does in a turn that was sent before, and print its answer."""
    from handlers import commands

    conclude(commands.wait(session, turn, as_json=json))


@app.command(epilog=examples("durable-claude interrupt app", "durable-claude interrupt app --json | jq -r .turn_id"))
def interrupt(session: Named, *, json: Json = False) -> None:
    """End the running turn; the session lives on."""
    from handlers import answers

    conclude(answers.interrupt(session, as_json=json))


@app.command(
    epilog=examples("durable-claude cancel app turn-1f0c2a9b44d1", "durable-claude cancel app deploy-42 --json")
)
def cancel(
    session: Named, turn: Annotated[str, typer.Argument(metavar="TURN", help="The turn's id.")], *, json: Json = False
) -> None:
    """Take a queued turn back before it begins."""
    from handlers import answers

    conclude(answers.cancel(session, turn, as_json=json))
