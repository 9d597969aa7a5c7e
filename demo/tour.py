"""A tour of the command line for docs/tour.md: `python -m demo.tour`. What it shows was printed by the commands."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from pathlib import Path
from typing import Final

from demo.gallery import Gallery, gallery
from shim.ask import ask

TOUR: Final = Path(__file__).parents[1] / "docs" / "tour.md"
INTRODUCTION: Final = """\
# A tour of the command line

All of this was printed by the commands, with the real `claude` and a scripted model; `make tour` writes it anew.
The directory of the projects is called `~/code` here, and processes and times have other numbers wherever you try it.
"""
# What is said before each command, and the command.
STEPS: Final = (
    ("Which sessions live, and how are they?", "durable-claude ls"),
    ("Those that need a person come first; without `--once` it follows them live.", "durable-claude watch --once"),
    ("One of them asks something. What, and how is it answered?", "durable-claude status api"),
    ("Let claude do it. A session may be named by the beginning of its id.", "durable-claude approve api"),
    ("How did the turn end?", "durable-claude wait api turn-2"),
    ("A message, what claude does meanwhile, and its answer.", "durable-claude send compiler 'Run the short tests.'"),
    ("What was said and done before; `-f` follows, from any machine.", "durable-claude logs compiler --lines 12"),
    ("A turn takes too long? It ends, the session lives on.", "durable-claude interrupt shop"),
    ("Try another way with a copy of the conversation.", "durable-claude fork compiler --name compiler-other-way"),
    ("A session that sleeps wakes with the next message, or at once.", "durable-claude resume notes"),
    ("A session is named by its directory as well.", "durable-claude status ~/code/notes"),
    ("Scripts get JSON.", "durable-claude ls --json"),
    ("For good; it returns when no process is left.", "durable-claude stop compiler-other-way"),
    ("What cannot be done is said in one sentence, with what to do instead.", "durable-claude send website 'And now?'"),
    ("", "durable-claude status nobody"),
    ("", "durable-claude start ~/code/nowhere"),
)
# A list of all sessions as JSON is long, and the first one shows how it is.
SHOWN_LINES: Final = 24
SHOWN_WIDTH: Final = 280
# No step waits for a person, and claude answers at once.
SECONDS: Final = 90.0


async def tour() -> str:
    """The page, from its first word to its last."""
    async with gallery() as shown:
        parts = [INTRODUCTION]
        for words, command in STEPS:
            parts.append(f"{words}\n" if words else "")
            parts.append(f"```console\n$ {command}\n{await _printed(shown, command)}```\n")
    return "\n".join(part for part in parts if part)


async def _printed(shown: Gallery, command: str) -> str:
    """What the command prints, exit code and all, without what is this machine's."""
    _, *arguments = shlex.split(command.replace("~/code", str(shown.projects)))
    # One stream, so that what was printed first stands first.
    whole = ["/bin/sh", "-c", 'exec "$@" 2>&1', "sh", sys.executable, "-m", "handlers.cli", *arguments]
    answer = await ask(whole, shown.environment, SECONDS)
    lines = [_shortened(line.rstrip()) for line in answer.stdout.replace(str(shown.projects), "~/code").splitlines()]
    kept = [*lines[:SHOWN_LINES], "…"] if len(lines) > SHOWN_LINES else lines
    ended = [f"exit code {answer.code}"] if answer.code else []
    return "".join(f"{line}\n" for line in [*kept, *ended])


def _shortened(line: str) -> str:
    return line if len(line) <= SHOWN_WIDTH else f"{line[:SHOWN_WIDTH]}…"


async def main() -> None:
    """Write the page."""
    TOUR.write_text(await tour())
    print(f"{TOUR.name} is written")


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    # The SDK's threads can abort an interpreter that is taken down in the usual way.
    os._exit(0)
