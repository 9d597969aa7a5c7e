"""One session's claude process: start it or join it, talk to it, read it, stop it. It outlives this object."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal, NoReturn

from claude import protocol
from claude.command import ExecutableMissing, ProjectRefused, project_directory
from claude.defaults import Defaults
from claude.errors import (
    AlreadyStarted,
    ConversationRefused,
    ConversationTaken,
    ConversationUnknown,
    ExitedEarly,
    NotReady,
    exited_early,
)
from claude.events import ControlAnswered, Event
from claude.identity import check_session_id
from claude.launcher import Launcher
from claude.ready import Ready
from claude.trace import STDERR_TAIL_BYTES, Trace
from shim.client import (
    Busy,
    ConnectionLost,
    Exit,
    Fenced,
    Hello,
    HostDirectory,
    LaunchFailed,
    LaunchSpec,
    NotRunning,
    ShimConnection,
    end_heirs,
)

__all__ = [
    "AlreadyStarted",
    "Busy",
    "ClaudeProcess",
    "ConnectionLost",
    "ConversationRefused",
    "ConversationTaken",
    "ConversationUnknown",
    "ExecutableMissing",
    "ExitedEarly",
    "Fenced",
    "LaunchFailed",
    "NotReady",
    "NotRunning",
    "ProjectRefused",
    "Ready",
]


class ClaudeProcess:
    """A session has at most one process on its host, whoever starts it; each object is one caller's view of it.

    Whoever takes over uses a new object and `attach`. The process ends by itself or by `stop`, never with its object.
    """

    def __init__(
        self,
        session_id: str,
        project_path: str | Path,
        *,
        host: HostDirectory | None = None,
        launcher: Launcher | None = None,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        generation: int = 1,
        lease_ttl_seconds: float | None = None,
    ) -> None:
        """Take the operator's settings for what is not given; who gives the host has checked the roots."""
        self._defaults = Defaults()
        self._session_id = check_session_id(session_id)
        self._project_path = str(project_path)
        self._host = self._defaults.host if host is None else host
        self._roots = self._defaults.roots if host is None else (Path("/"),)
        self._launcher = launcher or Launcher(self._host)
        self._command = command
        self._environment = dict(self._defaults.environment if environment is None else environment)
        self._lease_ttl_seconds = self._defaults.lease_ttl_seconds if lease_ttl_seconds is None else lease_ttl_seconds
        self._directory = self._host.session(session_id)
        self._joining = asyncio.Lock()
        self._connection: ShimConnection | None = None
        self._hello: Hello | None = None
        self._has_started = False
        self.generation = generation
        self.adopted = False
        """The process was running already when `start` was called."""
        self.pid: int | None = None

    async def start(self) -> None:
        """Launch the process, or join the one that lives; returns when it exists, not when it is ready."""
        if self._has_started:
            raise AlreadyStarted(f"session {self._session_id!r} was already started by this object, as pid {self.pid}")
        project = project_directory(self._project_path, self._roots)
        self._host.prepare()
        await self._join_or_launch(project)
        while self._hello is not None and self._hello.state == "stopping":
            # What is ending is nobody's to adopt.
            await self.exited()
            await self._join_or_launch(project)
        self._has_started = True

    async def attach(self) -> None:
        """Join the living process; NotRunning when there is none."""
        async with self._joining:
            if not self.is_running:
                self._connection = await ShimConnection.attach(self._directory, generation=self.generation)
                self._hello = self._connection.hello
                self.pid = self._hello.pid

    async def ready(self, timeout: float = 60.0) -> Ready:  # noqa: ASYNC109 - it ends as NotReady, with the pid
        """Wait for the handshake, which is made once per process, whoever asks for it and however often."""
        if self._hello is None:
            await self._raise_exited_early()
        request_id = f"initialize-{self._hello.shim_pid}-{self._hello.pid}"
        try:
            async with asyncio.timeout(timeout):
                # A claude that no longer reads its input is about to end, which the events tell.
                with suppress(ConnectionLost):
                    await self.send(request_id, protocol.initialize(request_id))
                async for _, event in self.events():
                    if isinstance(event, ControlAnswered) and event.request_id == request_id:
                        return self._read_ready(event)
        except TimeoutError:
            raise NotReady(f"claude (pid {self.pid}) has not answered the handshake within {timeout:g} s") from None
        return await self._raise_exited_early()

    async def send(self, message_id: str, line: bytes) -> Literal["written", "duplicate"]:
        """Put a line into claude's stdin, once per message id; Busy when claude has not read the earlier ones."""
        if self._connection is None:
            raise NotRunning(f"this object has no process of session {self._session_id!r}: start or attach first")
        return await self._connection.write(message_id, line)

    async def events(self, offset: int = 0) -> AsyncIterator[tuple[int, Event]]:
        """What claude said from this byte of the journal on, each event with the offset after its line.

        Ends when the process is gone and the journal is read; without a process, with what the journal holds.
        """
        if self._connection is None:
            for after, event in self.recorded(offset):
                yield after, event
            return
        async for after, line in self._connection.lines(offset):
            for event in protocol.parse(line):
                yield after, event

    def recorded(self, offset: int = 0) -> Iterator[tuple[int, Event]]:
        """What the journal holds by now, without waiting for more."""
        for after, line in self._trace.lines(offset):
            for event in protocol.parse(line):
                yield after, event

    async def stop(self, timeout: float = 5.0) -> Exit | None:  # noqa: ASYNC109 - the shim keeps it
        """End the process with all its descendants: politely for `timeout` seconds, then by force.

        Returns how it ended, also when that was long ago; None when the session never ran here.
        """
        try:
            await self.attach()
        except NotRunning:
            return await self._swept(self._trace.exit())
        assert self._connection is not None
        return await self._connection.stop(timeout)

    async def exited(self) -> Exit:
        """Wait for the end of the process and return how it came; `lost` when nobody can know."""
        if self._connection is None:
            with suppress(NotRunning):
                await self.attach()
        if self._connection is not None:
            return await self._connection.exited()
        return self._trace.exit() or self._trace.lost()

    async def detach(self) -> None:
        """Let go of the process; it lives on."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.detach()

    @property
    def is_running(self) -> bool:
        """Whether this object holds a living process."""
        return self._connection is not None and self._connection.is_open

    @property
    def journal_end(self) -> int:
        """How many bytes claude has written to stdout so far."""
        return self._trace.journal_end

    @property
    def stdout_path(self) -> Path:
        """The journal."""
        return self._trace.stdout_path

    @property
    def stderr_path(self) -> Path:
        """What claude wrote to stderr."""
        return self._trace.stderr_path

    def stderr_tail(self, limit: int = STDERR_TAIL_BYTES) -> str:
        """The last bytes of stderr as text; empty when there is nothing."""
        return self._trace.stderr_tail(limit)

    async def _swept(self, ended: Exit | None) -> Exit | None:
        """Nobody wrote down the end, so nobody ended the descendants either: do it now."""
        if ended is None or ended.why != "lost":
            return ended
        survivors = await asyncio.to_thread(end_heirs, self._directory)
        return replace(ended, survivors=survivors, tree="incomplete" if survivors else "empty")

    @property
    def _trace(self) -> Trace:
        # An adopted process writes under the generation it was started with.
        return Trace(self._directory, self._hello.generation if self._hello else self.generation)

    async def _join_or_launch(self, project: Path) -> None:
        try:
            await self.attach()
            self.adopted = True
        except NotRunning:
            await self._launch(project)

    async def _launch(self, project: Path) -> None:
        spec = LaunchSpec(
            session_id=self._session_id,
            generation=self.generation,
            argv=list(self._command or self._defaults.command(self._session_id, self._environment)),
            cwd=str(project),
            environment=self._environment,
            lease_ttl_seconds=self._lease_ttl_seconds,
        )
        launching = asyncio.create_task(self._launcher.launch(spec))
        try:
            launched = await asyncio.shield(launching)
        except asyncio.CancelledError:
            # An abandoned launcher may still start the process: who is cancelled must be able to stop it.
            await asyncio.wait([launching])
            raise
        self.adopted = launched.outcome == "running"
        self.pid, self._hello = launched.pid, None
        # It may have ended already, which is for `ready` and `exited` to say.
        with suppress(NotRunning):
            await self.attach()

    def _read_ready(self, answer: ControlAnswered) -> Ready:
        if answer.is_error:
            raise NotReady(f"claude (pid {self.pid}) refused the handshake: {answer.error!r}")
        return Ready.read(answer.response)

    async def _raise_exited_early(self) -> NoReturn:
        raise exited_early(await self.exited(), self.stderr_tail())
