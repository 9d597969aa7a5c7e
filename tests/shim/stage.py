"""What the shim's tests share: starting sessions, and telling the living from the dead."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from shim import procfs
from shim.client import (
    HostDirectory,
    Launched,
    LaunchSpec,
    NotRunning,
    SessionDirectory,
    ShimConnection,
    encode,
    launcher_argv,
    read_launch_answer,
)

# Far more than anything here takes: only a hang reaches it.
PATIENCE_SECONDS = 60.0

PROGRAMS = Path(__file__).parent / "programs"


@dataclass(frozen=True)
class Known:
    """A process by pid and start time, so that a stranger with the same pid is not taken for it."""

    pid: int
    start: int

    @property
    def lives(self) -> bool:
        found = procfs.parent_and_start(self.pid)
        return found is not None and found[1] == self.start and not procfs.is_zombie(self.pid)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal it, if it is still the same process."""
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(self.pid)
            with contextlib.suppress(ProcessLookupError):
                if self.lives:
                    signal.pidfd_send_signal(descriptor, number)
            os.close(descriptor)


def known(pid: int) -> Known:
    found = procfs.parent_and_start(pid)
    assert found is not None, f"process {pid} is gone already"
    return Known(pid, found[1])


@dataclass
class Stage:
    """A host with sessions on it; `close` ends whatever a test left running."""

    host: HostDirectory
    _connections: list[ShimConnection] = field(default_factory=list)

    def directory(self, session: str = "one") -> SessionDirectory:
        return self.host.session(session)

    def spec(self, argv: list[str], *, session: str = "one", generation: int = 1, ttl: float = 600.0) -> LaunchSpec:
        return LaunchSpec(
            session_id=session,
            generation=generation,
            argv=argv,
            cwd=str(self.host.state),
            environment={"PATH": "/usr/local/bin:/usr/bin:/bin", "STAGE": str(self.host.state)},
            lease_ttl_seconds=ttl,
        )

    async def run(
        self,
        spec: LaunchSpec,
        *,
        without: tuple[str, ...] = (),
        cwd: Path | None = None,
        environment: dict[str, str] | None = None,
        launcher_command: list[str] | None = None,
    ) -> Launched:
        """Launch exactly this; `without` switches safety mechanisms off."""
        switches = [f"--without={','.join(without)}"] if without else []
        launcher = await asyncio.create_subprocess_exec(
            *(launcher_command or launcher_argv(self.host)),
            *switches,
            cwd=cwd,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        answer, _ = await launcher.communicate(encode(spec))
        return read_launch_answer(answer)

    async def launch(
        self,
        argv: list[str],
        *,
        session: str = "one",
        generation: int = 1,
        ttl: float = 600.0,
        without: tuple[str, ...] = (),
    ) -> Launched:
        return await self.run(self.spec(argv, session=session, generation=generation, ttl=ttl), without=without)

    async def attach(self, session: str = "one", *, generation: int = 1) -> ShimConnection:
        connection = await ShimConnection.attach(self.directory(session), generation=generation)
        self._connections.append(connection)
        return connection

    async def close(self) -> None:
        for connection in self._connections:
            await connection.detach()
        for session in self.host.sessions():
            with contextlib.suppress(NotRunning):
                last = await ShimConnection.attach(self.directory(session), generation=1_000_000)
                await last.stop(0)
                await last.detach()


def python(program: str, *arguments: str) -> list[str]:
    """The command of one of the programs beside these tests."""
    return [sys.executable, "-I", "-S", str(PROGRAMS / program), *arguments]


def inline(source: str, *arguments: str) -> list[str]:
    """The command of a program given as text."""
    return [sys.executable, "-I", "-S", "-c", source, *arguments]


async def until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Wait until it holds."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < give_up, f"{what} did not come true"
        await asyncio.sleep(0.005)


async def all_lines(connection: ShimConnection, offset: int = 0) -> list[bytes]:
    return [line async for _, line in connection.lines(offset)]


async def first_line(connection: ShimConnection) -> bytes:
    async for _, line in connection.lines(0):
        return line
    raise AssertionError("it ended without a line")


def cgroups_of(stage: Stage) -> list[Path]:
    """The cgroup directories of this stage's sessions that still exist."""
    return list(_cgroups(stage))


def _cgroups(stage: Stage) -> Iterator[Path]:
    names = tuple(f"durable-claude-{stage.directory(session).files.key}." for session in stage.host.sessions())
    # Others come and go meanwhile, which `os.walk` takes in its stride.
    for directory, below, _ in os.walk("/sys/fs/cgroup"):
        yield from (Path(directory, name) for name in below if name.startswith(names))
