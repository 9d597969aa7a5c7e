"""What a command needs around it is not as it should be: one sentence that says what to do, and nothing is started."""

import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from claude.command import find_executable
from demo.stage import Stage, directories, free_ports
from tests.e2e.command_line import CommandLine, Ran
from tests.e2e.scene import Scene, playing, until


@dataclass(frozen=True, kw_only=True)
class Host:
    """A server and a worker whose claude is whatever lies at `program`, and has no login."""

    scene: Scene
    run: CommandLine
    program: Path

    async def end(self, name: str) -> None:
        self.program.unlink(missing_ok=True)
        await self.run("stop", name, "--timeout", "0")


@pytest.fixture(scope="module")
async def host() -> AsyncIterator[Host]:
    with directories() as elsewhere:
        program = elsewhere.root / "claude"
        async with playing(DURABLE_CLAUDE_EXECUTABLE=str(program), ANTHROPIC_API_KEY="") as scene:
            await scene.new_worker()
            yield Host(scene=scene, run=CommandLine(scene.stage), program=program)


def processes_of(stage: Stage) -> list[int]:
    """Whatever runs with the directories of this stage on its command line or as its home."""
    return [process.pid for process in psutil.process_iter() if is_of(process, str(stage.root))]


def is_of(process: psutil.Process, root: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return any(root in part for part in process.cmdline()) or root in process.environ().get("HOME", "")
    return False


BROKEN_TOML = "[profile.default]\naddress = "
CONFIGURED: dict[str, tuple[dict[str, str], int, str]] = {
    "another namespace": ({"TEMPORAL_NAMESPACE": "nowhere"}, 4, "no namespace 'nowhere': create it"),
    "a temporal.toml that does not parse": ({"TEMPORAL_CONFIG_FILE": "broken.toml"}, 4, "configuration cannot be read"),
    "an unknown profile": ({"TEMPORAL_PROFILE": "elsewhere"}, 4, "elsewhere"),
    "an address that is none": ({"TEMPORAL_ADDRESS": "not an address"}, 4, "'not an address' cannot be the address"),
    "a misspelt setting": ({"DURABLE_CLAUDE_ROOT": "/"}, 2, "did you mean DURABLE_CLAUDE_ROOTS?"),
    "two bad settings": (
        {"DURABLE_CLAUDE_MAX_SESSIONS": "many", "DURABLE_CLAUDE_IDLE_SECONDS": "soon"},
        2,
        "MAX_SESSIONS='many' must be a whole number above 0; DURABLE_CLAUDE_IDLE_SECONDS='soon' must be",
    ),
    "a key file that is not there": ({"DURABLE_CLAUDE_ENCRYPTION_KEY_FILE": "/nowhere"}, 2, "/nowhere"),
    "a state directory that is a file": ({"DURABLE_CLAUDE_STATE_DIRECTORY": "/dev/null"}, 1, "DURABLE_CLAUDE_STATE"),
}


@pytest.mark.parametrize("what", CONFIGURED)
async def test_a_configuration_that_cannot_be_used_is_one_sentence(host: Host, what: str) -> None:
    """It names what is wrong and what to set; no session comes of it."""
    more, code, said = CONFIGURED[what]
    broken = host.scene.stage.project / "broken.toml"
    broken.write_text(BROKEN_TOML)
    environment = {"TEMPORAL_ADDRESS": host.scene.plan.address} | more
    if "DURABLE_CLAUDE_STATE_DIRECTORY" in more:
        del environment["TEMPORAL_ADDRESS"]
    if "TEMPORAL_CONFIG_FILE" in more:
        environment["TEMPORAL_CONFIG_FILE"] = str(broken)
    ran = await host.run.under(environment, "start", ".", "--name", "never")

    assert said in ran.stderr
    assert (ran.code, ran.is_one_sentence) == (code, True), ran
    assert "never" not in [row.session_id async for row in host.scene.sessions.list(ended=True)]


def missing(program: Path) -> None:
    program.unlink(missing_ok=True)


def not_executable(program: Path) -> None:
    program.write_text("#!/bin/sh\n")
    program.chmod(0o644)


def nonsense(program: Path) -> None:
    program.write_bytes(bytes(100))
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (missing, "does not exist: correct DURABLE_CLAUDE_EXECUTABLE"),
        (not_executable, "may not be run by this user: check its permissions"),
        (nonsense, "DURABLE_CLAUDE_EXECUTABLE"),
    ],
)
async def test_a_claude_that_cannot_be_run_is_one_sentence(
    host: Host, prepare: Callable[[Path], None], said: str
) -> None:
    """The start fails with what to correct on the host, and leaves no process."""
    name = prepare.__name__.replace("_", "-")
    prepare(host.program)
    ran = await host.run("start", ".", "--name", name)
    await host.end(name)

    assert said in ran.stderr
    assert (ran.code, ran.is_one_sentence) == (1, True), ran
    assert host.scene.stage.host.session(name).socket.exists() is False


async def test_a_claude_that_is_not_logged_in_is_one_sentence(host: Host) -> None:
    """The session is there and lives on; the turn failed, and what to do stands in one sentence."""
    missing(host.program)
    host.program.symlink_to(find_executable(None, ""))
    await host.run("start", ".", "--name", "stranger")
    ran = await host.run("send", "stranger", "hello")
    status = (await host.run("status", "stranger", "--json")).json["status"]
    await host.end("stranger")

    assert "claude is not logged in, run `claude` on that host and `/login`, or set its API key" in ran.stderr
    assert (ran.code, ran.stdout, status) == (1, "", "ready")


@pytest.fixture
def full_disk(small_disk: Path) -> Path:
    """A disk on which not a byte is left."""
    fill(small_disk)
    return small_disk


def fill(disk: Path) -> None:
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


@pytest.fixture
def sealed_disk(small_disk: Path) -> Iterator[Path]:
    """A disk that nobody may write on, root neither."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    yield small_disk
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)


async def up_on(state: Path) -> tuple[Ran, list[int]]:
    """`up` with its state there, and what is left of it."""
    with directories() as stage:
        port, ui_port = free_ports()
        run = CommandLine(stage, {"DURABLE_CLAUDE_STATE_DIRECTORY": str(state)})
        ran = await run("up", "--port", str(port), "--ui-port", str(ui_port))

        async def nobody() -> bool:
            return not [*processes_of(stage), *processes_of(Stage(root=state))]

        await until(nobody)
        return ran, processes_of(Stage(root=state))


async def test_up_on_a_full_disk_is_one_sentence(full_disk: Path) -> None:
    """It says that there is no room, and no server is left running."""
    ran, left = await up_on(full_disk / "state")

    assert "no room is left" in ran.stderr
    assert "DURABLE_CLAUDE_STATE_DIRECTORY" in ran.stderr
    assert (ran.code, ran.is_one_sentence, left) == (1, True, [])


async def test_up_where_nothing_may_be_written_is_one_sentence(sealed_disk: Path) -> None:
    """It names the directory and the setting, and no server is left running."""
    ran, left = await up_on(sealed_disk / "state")

    assert f"this user cannot use '{sealed_disk}/state' (Read-only file system)" in ran.stderr
    assert (ran.code, ran.is_one_sentence, left) == (1, True, [])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_up_in_a_directory_of_somebody_else_is_one_sentence(short_path: Path) -> None:
    """The same where the user's rights are what is missing."""
    short_path.chmod(0o500)
    ran, left = await up_on(short_path / "state")
    short_path.chmod(0o700)

    assert "Permission denied" in ran.stderr
    assert (ran.code, ran.is_one_sentence, left) == (1, True, [])


async def test_a_start_on_a_host_with_a_full_disk_is_one_sentence(small_disk: Path) -> None:
    """The host tries for some seconds, as room may come; then the session fails with the reason, without a process."""
    async with playing(DURABLE_CLAUDE_STATE_DIRECTORY=str(small_disk / "state")) as scene:
        await scene.new_worker()
        await until(lambda: is_up(small_disk))
        fill(small_disk)
        ran = await CommandLine(scene.stage)("start", ".", "--name", "cramped")
        sockets = list(scene.stage.host.run.glob("*")) if scene.stage.host.run.exists() else []

    assert "No space left" in ran.stderr
    assert (ran.code, ran.is_one_sentence, sockets) == (1, True, [])


async def is_up(disk: Path) -> bool:
    """Whether the worker has begun to renew its lease."""
    return (disk / "state" / "lease.json").exists()
