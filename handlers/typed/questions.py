"""The commands that answer what claude asks."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from handlers.options import Json, Named, Question, examples
from handlers.running import conclude
from workflows.approvals import Decision

app: Final = typer.Typer()


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
    from handlers import answers

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
    from handlers import answers

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
    from handlers import answers

    conclude(answers.choose(session, question, choices, as_json=json))
