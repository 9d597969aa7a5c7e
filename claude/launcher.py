"""What starts shims: one launcher process for each start, and one that waits ready for the next."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE, Process
from typing import Final

import structlog

from claude.command import ExecutableMissing, ProjectRefused
from claude.trace import STDERR_TAIL_BYTES
from shim.client import (
    Fenced,
    HostDirectory,
    Launched,
    LaunchFailed,
    LaunchSpec,
    encode,
    launcher_argv,
    read_launch_answer,
)

# Who waits for the start that took the last spare hears of it first; both would be on the same processors.
SETTLE_SECONDS: Final = 0.1
# A host that cannot start a process now has more to do than this.
RETRY_SECONDS: Final = 10.0

log = structlog.get_logger(__name__)


class Launcher:
    """Launches sessions on a host. While `keep` runs, a start finds an interpreter that has started already."""

    def __init__(self, host: HostDirectory) -> None:
        self._host = host
        self._spare: Process | None = None
        self._wanted = asyncio.Event()
        self._wanted.set()

    @property
    def has_spare(self) -> bool:
        """Whether the next start finds a launcher that waits."""
        return self._spare is not None

    async def launch(self, spec: LaunchSpec) -> Launched:
        """Start the session, or find it running; what could not be done is raised."""
        document, spare = encode(spec), self._take()
        stdout, stderr = await spare.communicate(document) if spare else (b"", b"")
        if not stdout:
            # No spare, or one that was killed; what it may have begun is found by this one.
            launcher = await self._spawn_in_project(spec.cwd)
            stdout, stderr = await launcher.communicate(document)
        try:
            return read_launch_answer(stdout)
        except LaunchFailed as failure:
            raise _explained(failure, stderr.decode(errors="replace")) from failure

    def refill(self) -> None:
        """A start is over: `keep` may have the next spare wait."""
        self._wanted.set()

    async def keep(self) -> None:
        """Keep a launcher waiting, which ends with this call, and by itself when this process is killed."""
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                await asyncio.sleep(SETTLE_SECONDS)
                if self._spare is None:
                    await self._make_spare()
        finally:
            if spare := self._take():
                await spare.communicate(b"")

    async def _make_spare(self) -> None:
        try:
            self._spare = await self._spawn("/")
        except OSError as error:
            # A start can do without; it says itself what is wrong when that is still so.
            log.warning("no launcher waits for the next start", why=str(error))
            await asyncio.sleep(RETRY_SECONDS)
            self._wanted.set()

    def _take(self) -> Process | None:
        spare, self._spare = self._spare, None
        return spare

    async def _spawn_in_project(self, cwd: str) -> Process:
        try:
            return await self._spawn(cwd)
        except OSError as error:
            if error.filename != cwd:
                raise
            raise ProjectRefused(f"project directory {cwd!r} cannot be entered: {error.strerror}") from error

    async def _spawn(self, cwd: str) -> Process:
        argv = await asyncio.to_thread(launcher_argv, self._host)
        return await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            # Claude's own environment travels in the spec: the shim has no use for the secrets in it.
            env={},
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            # Ctrl-C at the worker's terminal is for the worker: it may yet have to start what it has taken on.
            start_new_session=True,
        )


def _explained(failure: LaunchFailed, stderr: str) -> Exception:
    """The failure as the error that says what its reader may do."""
    match failure.kind:
        case "executable-missing" | "not-executable":
            return ExecutableMissing(f"{failure}: install it, or correct DURABLE_CLAUDE_EXECUTABLE")
        case "directory-missing" | "directory-unreadable":
            return ProjectRefused(f"project directory {failure}")
        case "fenced":
            return Fenced(str(failure))
        case _:
            return LaunchFailed(failure.kind, f"{failure} {stderr[-STDERR_TAIL_BYTES:]}".strip())
