"""The command line as a person runs it: a process of its own, its two outputs, its exit code."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.stage import Stage

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "handlers.cli")
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What came of one command."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def is_one_sentence(self) -> bool:
        """Nothing but one line on stderr, with no traceback and no colour in it."""
        return not self.stdout and len(self.stderr.splitlines()) == 1 and "\x1b" not in self.stderr


class CommandLine:
    """Runs `durable-claude`. It finds the server by the state directory, as beside an `up`."""

    def __init__(self, stage: Stage, more: Mapping[str, str] | None = None) -> None:
        self.directory = stage.project
        self.environment = {
            "PATH": os.defpath,
            "HOME": str(stage.root / "home"),
            "PYTHONPATH": str(ROOT),
            "DURABLE_CLAUDE_STATE_DIRECTORY": str(stage.host.state),
            "DURABLE_CLAUDE_RUN_DIRECTORY": str(stage.host.run),
            **(more or {}),
        }

    async def __call__(self, *arguments: str, stdin: bytes = b"", **environment: str) -> Ran:
        """Run a command to its end."""
        process = await self.begin(*arguments, **environment)
        return await finish(process, stdin)

    async def under(self, environment: Mapping[str, str], *arguments: str) -> Ran:
        """Run a command to its end in an environment that differs."""
        return await finish(await self.begin(*arguments, **environment))

    async def begin(self, *arguments: str, **environment: str) -> Process:
        """Run a command and leave it running."""
        return await asyncio.create_subprocess_exec(
            *(*PROGRAM, *arguments),
            cwd=self.directory,
            env={**self.environment, **environment},
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
        )


async def finish(process: Process, stdin: bytes = b"") -> Ran:
    """Wait for a command's end; one that does not come to it is killed."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            stdout, stderr = await process.communicate(stdin)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ran(code=process.returncode or 0, stdout=stdout.decode(), stderr=stderr.decode())


async def line_with(stream: asyncio.StreamReader, text: str) -> str:
    """The next line of this output that holds the text."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while line := (await stream.readline()).decode():
            if text in line:
                return line
    raise AssertionError(f"the output ended without {text!r}")
