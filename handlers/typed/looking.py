"""The commands that show what goes on in a session as it happens."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from handlers.options import Json, NamedEver, examples
from handlers.running import conclude

app: Final = typer.Typer()


@app.command(
    epilog=examples(
        "durable-claude logs app",
        "durable-claude logs app -f",
        "durable-claude logs app --lines 20 -f",
        "durable-claude logs app --since-turn deploy-42",
        "durable-claude logs app --raw | jq -c 'select(.type == \"result\")'",
    )
)
def logs(
    session: NamedEver,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the session is over.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="The lines as claude wrote them: stream-json.")] = False,
    lines: Annotated[
        int | None,
        typer.Option("--lines", "-n", min=0, help="Only the last ones, then what comes.", show_default=False),
    ] = None,
    since_turn: Annotated[
        str, typer.Option(metavar="TURN", help="From where this turn begins.", show_default=False)
    ] = "",
    generation: Annotated[
        int | None,
        typer.Option(min=1, help="From this process of the session on; it counts them.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Show what was asked and what claude said and did, from any machine; what it wrote stays on the session's host."""
    if raw and json:
        raise typer.BadParameter("--raw is JSON already, one line of claude's each: leave --json out")
    if since_turn and generation is not None:
        raise typer.BadParameter("--since-turn and --generation both say where to begin: give one")
    from handlers.logs import Wanted
    from handlers.logs import logs as show_logs

    wanted = Wanted(follow=follow, raw=raw, lines=lines, since_turn=since_turn, generation=generation, as_json=json)
    conclude(show_logs(session, wanted))


@app.command(epilog=examples("durable-claude chat app", "durable-claude chat ~/code/shop", "durable-claude chat ."))
def chat(
    session: Annotated[
        str,
        typer.Argument(
            metavar="SESSION|PATH", help="A session's id or its beginning, or a directory: ./app, ~/app or ."
        ),
    ],
) -> None:
    """Talk with a session in this terminal; with a directory, with the session that lives there, or a new one."""
    # Only this command needs a line editor, whose import takes as long as all of some other command.
    from handlers.chat import chat as talk

    conclude(talk(session))
