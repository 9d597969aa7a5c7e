"""Running a short program to its end, in bounded time and with bounded output: what it said, or that it said nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process, create_subprocess_exec
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Nobody reads more than this of an answer.
_ANSWER_BYTES = 1 << 16

_TRIAL = "import sys; sys.path.append(sys.argv[1]); from shim.trial import main; main(sys.argv[2:])"


class Unanswered(TimeoutError):
    """The program did not come to its end in time, and was killed."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How a program ended, and the beginning of what it said."""

    code: int
    stdout: str
    stderr: str

    @property
    def first_line(self) -> str:
        """What a person is shown of a failure."""
        return ((self.stderr.strip() or self.stdout.strip() or "it said nothing").splitlines())[0][:200]


async def ask(argv: Sequence[str], environment: Mapping[str, str], seconds: float) -> Answer:
    """Run it without input and wait for its end; raises Unanswered, or OSError when it cannot be started."""
    process = await create_subprocess_exec(
        *argv, env=dict(environment), cwd="/", stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(seconds):
            said = await asyncio.gather(_beginning(process.stdout), _beginning(process.stderr))
            code = await process.wait()
    except TimeoutError:
        raise Unanswered(f"no end within {seconds:g} s") from None
    finally:
        if sys.exc_info()[0] is not None:
            await _end(process)
    stdout, stderr = (text.decode(errors="replace") for text in said)
    return Answer(code=code, stdout=stdout, stderr=stderr)


def trial_argv(directory: Path, *arguments: str) -> list[str]:
    """The command that tries out the kernel, with the shim package of this directory, as a shim is run."""
    return [sys.executable, "-I", "-S", "-c", _TRIAL, str(directory), *arguments]


async def _beginning(stream: asyncio.StreamReader) -> bytes:
    """Read all and keep the beginning, so that nobody is blocked who says much."""
    kept = b""
    while chunk := await stream.read(_ANSWER_BYTES):
        kept += chunk[: _ANSWER_BYTES - len(kept)]
    return kept


async def _end(process: Process) -> None:
    # Its group is its own: a wrapper that hangs takes along what it wraps.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
