"""Each check of `doctor`, met with the fault it is there for."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import resource
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from doctor import configuration, directories, executable, kernel, limits, server, supervision
from doctor.clock import judged as clock
from doctor.directories import MB, RUN, STATE
from doctor.examination import blocking, within
from doctor.finding import Finding, green, red, worst, yellow
from doctor.living import living_workers
from doctor.queues import judged as queues
from runtime.settings import Settings
from shim.ask import Answer, Unanswered, ask, trial_argv
from workflows.attributes import KINDS

ROOT = Path(__file__).parents[2]


def settings(**environ: str) -> Settings:
    return Settings.from_env({"PATH": os.defpath, "HOME": "/nonexistent", **environ})


def levels(findings: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.level for finding in findings}


def fail() -> list[Finding]:
    raise ValueError("no such thing")


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_worst_finding_counts() -> None:
    """Red before yellow before green; nothing at all is well."""
    assert worst([green("a", ""), red("b", "", "mend"), yellow("c", "", "mend")]) == "red"
    assert worst([]) == "green"


async def test_a_check_that_hangs_or_fails_is_a_finding() -> None:
    """Neither a thread that never ends nor an error keeps the others from their answer."""
    released = threading.Event()

    def hang() -> list[Finding]:
        released.wait()
        return []

    try:
        async with asyncio.timeout(30):
            hung = await within("slow", blocking(hang), 0.1)
            failed = await within("broken", blocking(fail), 5)
    finally:
        released.set()

    assert [(found.name, found.level) for found in [*hung, *failed]] == [("slow", "red"), ("broken", "red")]


# -- claude


@pytest.mark.parametrize(
    ("script", "level", "says"),
    [
        ("echo '2.1.330 (Claude Code)'", "green", "2.1.330"),
        ("echo '2.1.250 (Claude Code)'", "green", "2.1.250"),
        ("echo '1.0.3 (Claude Code)'", "yellow", "older"),
        ("echo '9.0.0 (Claude Code)'", "yellow", "newer"),
        ("echo 'hello, world'", "yellow", "no version"),
    ],
)
async def test_the_version_of_claude(short_path: Path, script: str, level: str, says: str) -> None:
    """Known versions are green, others say what was measured."""
    claude = program(short_path / "claude", script)
    found = await executable.examine(settings(DURABLE_CLAUDE_EXECUTABLE=str(claude)))

    assert levels(found)["claude-version"] == level
    assert says in found[1].text
    assert all(version in found[1].text for version in executable.MEASURED)


@pytest.mark.parametrize(
    ("script", "says"),
    [("exit 3", "ends with 3"), ("echo broken >&2; exit 1", "broken"), ("exec sleep 60", "does not")],
)
async def test_a_claude_that_does_not_work_is_red(
    short_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, says: str
) -> None:
    """One that fails or hangs is named with what it said; what hangs is ended."""
    monkeypatch.setattr(executable, "_ANSWER_SECONDS", 1.0)
    claude = program(short_path / "claude", script)
    found = await executable.examine(settings(DURABLE_CLAUDE_EXECUTABLE=str(claude)))

    assert levels(found) == {"claude": "red", "claude-version": "yellow", "login": "yellow"}
    assert says in found[0].text


async def test_a_missing_claude_is_red(short_path: Path) -> None:
    """The finding names the path."""
    found = await executable.examine(settings(DURABLE_CLAUDE_EXECUTABLE=str(short_path / "none")))

    assert (found[0].level, str(short_path / "none") in found[0].text) == ("red", True)


@pytest.mark.parametrize(
    ("said", "environ", "level", "says"),
    [
        ('{"loggedIn": true, "authMethod": "api_key", "apiKeySource": "ANTHROPIC_API_KEY"}', {}, "green", "API key"),
        ('{"loggedIn": true, "authMethod": "oauth_token"}', {"ANTHROPIC_BASE_URL": "http://x"}, "green", "http://x"),
        ('{"loggedIn": false}', {}, "red", "not logged in"),
        ('{"loggedIn": false}', {"ANTHROPIC_BASE_URL": "http://x"}, "yellow", "http://x"),
        ("what?", {}, "yellow", "does not say"),
        ("[]", {}, "yellow", "does not say"),
    ],
)
def test_the_login(said: str, environ: dict[str, str], level: str, says: str) -> None:
    """What claude says of its login, with what it pays."""
    found = executable.judged_login(Answer(code=0, stdout=said, stderr=""), environ)

    assert (found.level, says in found.text) == (level, True)


def test_the_measured_versions_are_those_of_the_document() -> None:
    """The document says what it was measured with, and so does the check."""
    document = (ROOT / "docs" / "claude-cli.md").read_text()

    assert [version for version in executable.MEASURED if version not in document] == []


async def test_what_hangs_is_ended_with_all_it_started(short_path: Path) -> None:
    """A wrapper does not outlive its question, and neither does what it wraps."""
    wrapper = program(short_path / "wrapper", f"sleep 60 & echo $! > {short_path}/pid; wait")
    with pytest.raises(Unanswered):
        await ask([str(wrapper)], {"PATH": os.defpath}, 0.5)
    pid = int((short_path / "pid").read_text())
    async with asyncio.timeout(10):
        while Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
            await asyncio.sleep(0.01)

    assert pid > 1


async def test_an_answer_without_end_is_cut() -> None:
    """A program that says megabytes is heard to its end, and only the beginning is kept."""
    answer = await ask(["/bin/sh", "-c", "head -c 3000000 /dev/zero; exit 7"], {"PATH": os.defpath}, 10)

    assert (answer.code, len(answer.stdout)) == (7, 1 << 16)


# -- directories


def test_a_private_directory_is_green(short_path: Path) -> None:
    """Made or yet to be made; nothing is left in it."""
    short_path.chmod(0o700)
    there = directories.privacy("state", short_path, STATE)
    to_come = directories.privacy("state", short_path / "a" / "b", STATE)

    assert (there.level, to_come.level) == ("green", "green")
    assert list(short_path.iterdir()) == []


def test_a_directory_that_others_may_read_is_yellow(short_path: Path) -> None:
    """The mode is named, with the command that mends it."""
    short_path.chmod(0o755)
    found = directories.privacy("state", short_path, STATE)

    assert (found.level, "0755" in found.text, f"chmod 700 {short_path}" in found.remedy) == ("yellow", True, True)


def test_what_is_no_directory_of_ours_is_red(short_path: Path) -> None:
    """A file, a link, and a place under a file."""
    file, link = short_path / "file", short_path / "link"
    file.touch()
    link.symlink_to(short_path)
    found = [directories.privacy("state", path, STATE) for path in (file, link, file / "below")]

    assert [finding.level for finding in found] == ["red"] * 3


def test_somebody_else_s_directory_is_red(short_path: Path) -> None:
    """The worker refuses it, so it is said before."""
    theirs = Path("/")
    if os.geteuid() == 0:
        theirs = short_path / "theirs"
        theirs.mkdir(mode=0o700)
        os.chown(theirs, 12345, 12345)

    assert "belongs to user" in directories.privacy("state", theirs, STATE).text


def test_a_directory_that_cannot_be_written_is_red() -> None:
    """Even root makes no file in /proc."""
    assert directories.privacy("run", Path("/proc/self"), RUN).level == "red"
    assert directories.privacy("run", Path("/proc/none"), RUN).level == "red"


@pytest.mark.parametrize(
    ("kind", "state", "run"),
    [
        ("ext4", "green", "green"),
        ("overlay", "green", "green"),
        ("tmpfs", "yellow", "green"),
        ("nfs4", "red", "red"),
        ("cifs", "red", "red"),
        ("fuse.sshfs", "red", "red"),
        ("fuse.something", "yellow", "yellow"),
        ("virtiofs", "yellow", "yellow"),
    ],
)
def test_the_filesystem(kind: str, state: str, run: str) -> None:
    """A network is red, what was not measured is yellow, memory is enough for sockets."""
    mounts = (
        "1 0 254:0 / / rw - ext4 /dev/vda rw\n2 1 0:9 / /odd\\040place rw,relatime shared:1 - ext4 x rw\n"
        f"3 1 0:9 / /odd\\040place rw - {kind} server:/x rw\n4 1 0:3 / /odd rw - nfs x rw\n"
    )
    place = Path("/odd place/state")

    assert directories.filesystem("state", place, STATE, mounts).level == state
    assert directories.filesystem("run", place, RUN, mounts).level == run
    assert directories.kind_of(Path("/odder"), mounts) == "ext4"


@pytest.fixture
def small_disk(short_path: Path) -> Iterator[Path]:
    """A filesystem of 50 MB with few files."""
    disk = short_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=50m,nr_inodes=2000,mode=700", "tmpfs", str(disk)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode != 0:
        pytest.skip("this user may not mount a disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_nearly_full(small_disk: Path) -> None:
    """Too little for journals is enough for sockets, until files run out as well."""
    state, run = directories.examine("state", small_disk, STATE), directories.examine("run", small_disk, RUN)
    for number in range(1950):
        (small_disk / str(number)).touch()
    used_up = directories.room("run-space", small_disk, RUN)

    assert levels(state) == {"state-directory": "green", "state-filesystem": "yellow", "state-space": "red"}
    assert levels(run) == {"run-directory": "green", "run-filesystem": "green", "run-space": "yellow"}
    assert used_up.level == "red"


def test_a_full_disk_cannot_be_written(small_disk: Path) -> None:
    """What the kernel says is passed on."""
    filled = subprocess.run(["dd", "if=/dev/zero", f"of={small_disk}/big", "bs=1M"], check=False, capture_output=True)
    assert b"No space" in filled.stderr
    found = directories.privacy("state", small_disk, STATE)

    assert (found.level, "No space left" in found.text) == ("red", True)


def test_a_socket_path_that_is_too_long(short_path: Path) -> None:
    """The limit is the kernel's."""
    assert directories.socket_path(short_path, short_path).level == "green"
    assert directories.socket_path(short_path, short_path / ("x" * 90)).level == "red"


# -- kernel


async def test_the_kernel_is_really_tried(short_path: Path) -> None:
    """Here all of it works, apart from cgroups that a container may lack; no file stays."""
    found = levels(await kernel.examine(short_path / "yet" / "to come"))

    assert found.pop("cgroup") in ("green", "yellow")
    assert set(found.values()) == {"green"}
    assert list(short_path.iterdir()) == []


def test_what_the_kernel_refuses_is_red() -> None:
    """Each trial that failed is named with the promise it takes away; without a cgroup it is only weaker."""
    failed = {"subreaper": False, "death-signal": "PermissionError: no", "pidfd": False, "locks": False}
    found = kernel.judged({**failed, "cgroup": False})
    unheard = kernel.judged({"failure": "the child ended with 1"})

    assert levels(found) == {**dict.fromkeys(failed, "red"), "cgroup": "yellow"}
    assert levels(unheard) == levels(found)
    assert "no" in found[1].text
    assert kernel.judged({"cgroup": True, "cgroup-clone": False})[-1].level == "yellow"


# A subreaper that buries nobody, as a program does that is pid 1 of a container.
CARELESS = (
    "import ctypes, subprocess, sys\n"
    "ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n"
    "child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)\n"
    "sys.stdout.buffer.write(child.stdout.read())\n"
)


async def test_an_heir_that_reaps_nothing_is_red() -> None:
    """Below a careless subreaper the orphan stays a zombie, and that is seen; below a careful one it goes."""
    argv = trial_argv(ROOT, "orphan")
    answer = await ask([argv[0], "-c", CARELESS, *argv], {"PATH": os.defpath}, 20)
    careless = kernel.judged_reaper(json.loads(answer.stdout))
    careful = await kernel.examine_reaper()

    assert (careless.level, "init: true" in careless.remedy) == ("red", True)
    assert careful[0].level == "green"
    assert kernel.judged_reaper({"failure": "no child"}).level == "yellow"


# -- service manager


@pytest.mark.parametrize(
    ("cgroups", "unit"),
    [
        ("0::/\n", ("", False)),
        ("0::/docker/0123456789ab\n", ("", False)),
        ("0::/system.slice/claude.service\n", ("claude.service", False)),
        ("0::/system.slice/claude.service/shims\n", ("claude.service", False)),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", ("session-3.scope", False)),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/claude.service\n",
            ("claude.service", True),
        ),
        ("9:name=systemd:/system.slice/a:b.service\n4:memory:/x\n0::/\n", ("a:b.service", False)),
        ("", ("", False)),
        ("nonsense\n", ("", False)),
    ],
)
def test_the_unit_is_read_from_the_cgroup(cgroups: str, unit: tuple[str, bool]) -> None:
    """Version 1 and 2, with and without a unit, of the system's manager or a user's own."""
    assert supervision.unit_of(cgroups) == unit


@pytest.mark.parametrize(
    ("mode", "level"),
    [("process", "green"), ("none", "yellow"), (None, "yellow"), ("control-group", "red"), ("mixed", "red")],
)
def test_the_kill_mode(mode: str | None, level: str) -> None:
    """Only `process` leaves the shims and ends the worker."""
    found = supervision.judged("the worker", "claude.service", mode, is_users=True)

    assert found.level == level
    assert level == "green" or "--user" in found.remedy


async def test_systemctl_is_asked(short_path: Path) -> None:
    """What it says counts; without one, or from one that fails, nothing is known."""
    program(short_path / "systemctl", '[ "$1 $2 $3 $4" = "show --property=KillMode --value a.service" ] && echo mixed')
    there = await supervision._kill_mode(settings(PATH=f"{short_path}:/bin:/usr/bin"), "a.service", is_users=False)
    other = await supervision._kill_mode(settings(PATH=f"{short_path}:/bin:/usr/bin"), "b.service", is_users=True)
    missing = await supervision._kill_mode(settings(PATH="/nonexistent"), "a.service", is_users=False)

    assert (there, other, missing) == ("mixed", None, None)


def test_lingering(short_path: Path) -> None:
    """A service of a user needs it; for a shell it is worth knowing."""
    (short_path / "ada").touch()

    assert supervision.linger("ada", short_path, is_service=True).level == "green"
    assert supervision.linger("bob", short_path, is_service=True).level == "red"
    assert supervision.linger("bob", short_path, is_service=False).level == "yellow"


def test_a_living_worker_is_found_by_its_lock(short_path: Path) -> None:
    """The dead, strangers with its pid, and names that are none are not taken for one."""
    workers = short_path / "workers"
    workers.mkdir()
    for name in (f"here.{os.getpid()}.dead", "here.x.y", "nonsense", f"here.{os.getppid()}.stranger"):
        (workers / name).touch()
    before = living_workers(short_path)
    with (workers / f"here.{os.getpid()}.alive").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        during = living_workers(short_path)

    assert (before, during) == ([], [os.getpid()])


# -- limits, settings, clock, server


def test_limits_are_held_against_the_number_of_sessions() -> None:
    """Enough is green, less than asked for is yellow, less than two sessions is red; the remedy has the number."""
    assert [limits.memory(50, size * 1024 * MB).level for size in (16, 4, 0)] == ["green", "yellow", "red"]
    assert [limits.open_files(50, n).level for n in (resource.RLIM_INFINITY, 1024, 256, 100)] == [
        *("green", "green", "yellow", "red")
    ]
    assert [limits.processes(50, n).level for n in (None, 2000, 512, 60)] == ["green", "green", "yellow", "red"]
    assert "DURABLE_CLAUDE_MAX_SESSIONS=19" in limits.open_files(50, 256).remedy
    assert {finding.level for finding in limits.examine(settings())} <= {"green", "yellow"}


def test_every_problem_of_the_settings_is_listed() -> None:
    """One finding each; without any it is green."""
    assert [f.level for f in configuration.examine(settings(), ["a", "b"])][:2] == ["red", "red"]
    assert worst(configuration.examine(settings(), [])) == "green"


@pytest.mark.parametrize(("seconds", "level"), [(0.0, "green"), (5.0, "green"), (30.0, "yellow"), (61.0, "red")])
def test_the_distance_of_the_clocks(seconds: float, level: str) -> None:
    """Five seconds are let pass, a minute is not."""
    assert clock(seconds, ahead=True).level == level
    assert clock(seconds, ahead=False).level == level


def test_search_attributes_are_compared_by_type() -> None:
    """Missing ones can be registered; one of another type must go first."""
    right = {name: f"INDEXED_VALUE_TYPE_{kind.upper()}" for name, kind in KINDS.items()}

    assert server.judged_attributes(right).level == "green"
    assert server.judged_attributes({}).remedy == "`durable-claude setup`"
    assert server.judged_attributes({**right, "ClaudeTurns": "INDEXED_VALUE_TYPE_TEXT"}).level == "red"


def test_workers_are_looked_for_here_and_anywhere() -> None:
    """None at all is red; none of this host is worth knowing."""
    assert queues([], {"claude-host-a": ["w"]}).level == "red"
    assert queues(["w"], {}).level == "yellow"
    assert queues(["w"], {"claude-host-a": ["w"], "claude-host-a-watch": []}).level == "yellow"
    assert queues(["w"], {"claude-host-a": ["w"], "claude-host-a-watch": ["w"]}).level == "green"
