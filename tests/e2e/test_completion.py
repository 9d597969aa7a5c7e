"""What a shell is offered, what is loaded for what is only looked up, and where colour goes."""

import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.metadata import version

import pytest

from demo.stage import directories, free_ports, server
from tests.e2e.command_line import PROGRAM, CommandLine, Ran, finish
from tests.e2e.terminal import terminal

SHELLS = {
    "bash": {"_DURABLE_CLAUDE_COMPLETE": "complete_bash", "COMP_WORDS": "durable-claude {typed}", "COMP_CWORD": "{at}"},
    "zsh": {"_DURABLE_CLAUDE_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "durable-claude {typed}"},
    "fish": {
        "_DURABLE_CLAUDE_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_ARGS": "durable-claude {typed}",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    },
}


@dataclass(frozen=True, kw_only=True)
class Shell:
    """A server where two sessions are open, although no worker takes them, and the command line."""

    run: CommandLine

    async def offers(self, typed: str, shell: str = "bash", **environment: str) -> Ran:
        asked = {name: value.format(typed=typed, at=len(typed.split(" "))) for name, value in SHELLS[shell].items()}
        return await self.run.under({**asked, **environment})


@pytest.fixture(scope="module")
async def shell() -> AsyncIterator[Shell]:
    with directories() as stage:
        async with server(stage):
            run = CommandLine(stage)
            for name in ("shop-one", "shop-two"):
                opened = await run("start", ".", "--name", name, "--no-wait")
                assert opened.code == 0, opened.stderr
            yield Shell(run=run)


@pytest.mark.parametrize("name", SHELLS)
async def test_a_shell_is_offered_the_sessions_that_live(shell: Shell, name: str) -> None:
    """The ids that begin with what was typed, in every shell that there is a script for."""
    offered = await shell.offers("send shop-", name)

    assert offered.code == 0
    assert "shop-one" in offered.stdout
    assert "shop-two" in offered.stdout
    assert offered.stderr == ""


async def test_what_cannot_be_completed_is_silent(shell: Shell) -> None:
    """No server, a setting that cannot be meant, a name that can be none: nothing is offered and nothing is said."""
    port, _ = free_ports()
    away = await shell.offers("send shop-", TEMPORAL_ADDRESS=f"127.0.0.1:{port}")
    wrong = await shell.offers("send shop-", DURABLE_CLAUDE_ROOT="/")
    nonsense = await shell.offers("send a:b'")
    other = await shell.offers("send none")

    assert {(ran.stdout.strip(), ran.stderr) for ran in (away, wrong, nonsense, other)} == {("", "")}


async def test_completion_is_installed_for_a_shell(shell: Shell) -> None:
    """The script that a shell needs is shown, and asks this program."""
    shown = await shell.run("--show-completion", "bash")

    assert shown.code == 0
    assert "_DURABLE_CLAUDE_COMPLETE=complete_bash" in shown.stdout


@pytest.mark.parametrize(
    "arguments", [("--version",), ("--help",), ("send", "--help"), ("ls", "--nonsense")], ids=" ".join
)
async def test_what_needs_no_temporal_does_not_load_it(shell: Shell, arguments: tuple[str, ...]) -> None:
    """Version, help and mistakes in typing are answered at once: the SDK is most of what a command loads."""
    program = (sys.executable, "-X", "importtime", *PROGRAM[1:], *arguments)
    process = await create_subprocess_exec(
        *program, cwd=shell.run.directory, env=shell.run.environment, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    ran = await finish(process)
    loaded = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines() if line.startswith("import time:")}

    assert "handlers.options" in loaded
    assert {name for name in loaded if name.partition(".")[0] in ("temporalio", "structlog", "psutil")} == set()


async def test_what_asks_temporal_does_not_load_what_a_worker_needs(shell: Shell) -> None:
    """A list is asked for often: it loads neither the workflow nor the process care."""
    program = (sys.executable, "-X", "importtime", *PROGRAM[1:], "ls")
    process = await create_subprocess_exec(
        *program, cwd=shell.run.directory, env=shell.run.environment, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    ran = await finish(process)

    assert "shop-one" in ran.stdout
    assert "temporalio.client" in ran.stderr
    assert [name for name in ("structlog", "workflows.session", "claude.process") if f" {name}\n" in ran.stderr] == []


@pytest.mark.parametrize(("more", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["colour", "NO_COLOR"])
async def test_errors_are_red_where_a_person_looks(shell: Shell, more: dict[str, str], is_coloured: bool) -> None:  # noqa: FBT001
    """On a terminal, unless NO_COLOR says otherwise; the tests of errors show that a pipe gets none."""
    environment = {**shell.run.environment, **more}
    async with terminal((*PROGRAM, "status", "nobody"), environment, shell.run.directory) as seen:
        code = await seen.ended()

    assert code == 3
    assert seen.text == "no session 'nobody' is known: `durable-claude ls` shows those that live"
    assert (b"\x1b[31m" in seen.written) is is_coloured


async def test_the_version_is_that_of_the_package(shell: Shell) -> None:
    """It is what was installed."""
    shown = await shell.run("--version")

    assert (shown.code, shown.stdout) == (0, f"durable-claude {version('durable-claude')}\n")
