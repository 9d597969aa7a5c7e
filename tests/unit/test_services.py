"""What systemd and launchd are told to run, read from the files themselves, and that it is what the guides say."""

import plistlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from handlers.cli import app
from runtime.settings import Settings
from tests.unit.test_compose import ROOT, SERVICES

UNITS = sorted((ROOT / "deploy/systemd").iterdir())
PLISTS = sorted((ROOT / "deploy/launchd").iterdir())
NAMES = {"durable-claude", "durable-claude-signal", "signal-cli"}

# Each is needed, and docs/signal.md says what for.
FLAGS = ["--receive-mode=manual", "--no-receive-stdout", "--ignore-stories", "--ignore-avatars", "--ignore-stickers"]

# What the guide and the units must name, or nobody finds them.
SETTINGS = {
    "DURABLE_CLAUDE_PROJECTS",
    *(f"DURABLE_CLAUDE_SIGNAL_{name}" for name in ("ACCOUNT", "DAEMON", "OWNERS", "APPROVERS", "WATCHERS")),
    "DURABLE_CLAUDE_SIGNAL_NOTE_TO_SELF",
}


def unit(path: Path) -> dict[str, dict[str, list[str]]]:
    """The sections of a unit; a key may stand there more than once."""
    sections: dict[str, dict[str, list[str]]] = {}
    section = ""
    for line in path.read_text().splitlines():
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section = match[1]
        elif line and not line.startswith("#"):
            key, is_setting, value = line.partition("=")
            assert is_setting, line
            sections.setdefault(section, {}).setdefault(key, []).append(value)
    return sections


def plist(path: Path) -> dict[str, Any]:
    """The dictionary of a property list."""
    with path.open("rb") as file:
        return dict(plistlib.load(file))


def programs() -> dict[str, list[str]]:
    """The words of each command line, by the file that has it."""
    units = {f"{path.parent.name}/{path.name}": unit(path)["Service"]["ExecStart"][0] for path in UNITS}
    jobs = {f"{path.parent.name}/{path.name}": plist(path)["ProgramArguments"][2].split("exec ")[1] for path in PLISTS}
    return {name: shlex.split(line) for name, line in (units | jobs).items()}


def test_every_service_has_a_unit_and_a_job() -> None:
    """systemd and launchd run the same three things, each under the name of its file."""
    assert {path.stem for path in UNITS} == {path.stem for path in PLISTS} == NAMES
    assert {path.suffix for path in UNITS} == {".service"}
    assert [plist(path)["Label"] for path in PLISTS] == [path.stem for path in PLISTS]


def test_what_is_run_can_be_typed() -> None:
    """Every command of ours that a service runs is one of the command line's."""
    themes = [app, *(group.typer_instance for group in app.registered_groups if group.typer_instance)]
    commands = [command for theme in themes for command in theme.registered_commands]
    known = {command.name or getattr(command.callback, "__name__", "") for command in commands}
    ours = {name: words[1:] for name, words in programs().items() if Path(words[0]).name == "durable-claude"}

    assert len(ours) == 4
    assert {words[0] for words in [*ours.values(), SERVICES["signal"]["command"][1:]]} == {"up", "signal"}
    assert {words[0] for words in ours.values()} <= known
    assert all(len(words) == 1 for words in ours.values())


def test_the_daemon_gets_the_same_flags_everywhere() -> None:
    """By systemd, launchd and compose signal-cli keeps messages until we ask, prints none and fetches nothing else."""
    lines = [words for words in programs().values() if Path(words[0]).name == "signal-cli"]
    lines.append(shlex.split(SERVICES["signal-cli"]["entrypoint"][2]))
    guide = (ROOT / "docs/signal.md").read_text()

    assert len(lines) == 3
    assert all([word for word in words if word in FLAGS] == FLAGS for words in lines)
    assert all("daemon" in words and "--socket" in words and "-a" in words for words in lines)
    assert not [word for words in lines for word in words if word.startswith(("--tcp", "--http"))]
    assert all(flag in guide for flag in FLAGS)


def test_shims_outlive_the_worker() -> None:
    """A restart of the worker's service ends the worker alone."""
    service = unit(ROOT / "deploy/systemd/durable-claude.service")["Service"]

    assert service["KillMode"] == ["process"]
    assert plist(ROOT / "deploy/launchd/durable-claude.plist")["AbandonProcessGroup"] is True


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_come_back_by_themselves(path: Path) -> None:
    """Every unit is started with the user's manager and again after it ended."""
    sections = unit(path)

    assert set(sections) == {"Unit", "Service", "Install"}
    assert sections["Service"]["Restart"] == ["always"]
    assert sections["Install"]["WantedBy"] == ["default.target"]


@pytest.mark.parametrize("name", ["durable-claude-signal", "signal-cli"])
def test_what_faces_the_network_is_held_tightly(name: str) -> None:
    """The handler and its daemon gain no privileges and write files for nobody else; claude's own unit is not confined."""
    service = unit(ROOT / f"deploy/systemd/{name}.service")["Service"]

    assert (service["NoNewPrivileges"], service["UMask"]) == (["yes"], ["0077"])
    assert plist(ROOT / f"deploy/launchd/{name}.plist")["Umask"] == 0o077
    assert "NoNewPrivileges" not in unit(ROOT / "deploy/systemd/durable-claude.service")["Service"]


def test_handler_and_daemon_meet_at_one_socket() -> None:
    """Where the daemon listens is where the handler asks, in a directory that is one user's alone."""
    daemon = unit(ROOT / "deploy/systemd/signal-cli.service")["Service"]
    handler = unit(ROOT / "deploy/systemd/durable-claude-signal.service")["Service"]
    (setting,) = handler["Environment"]
    socket = setting.removeprefix("DURABLE_CLAUDE_SIGNAL_DAEMON=")
    composed = SERVICES["signal"]["environment"]["DURABLE_CLAUDE_SIGNAL_DAEMON"]

    assert f"--socket {socket} " in daemon["ExecStart"][0]
    assert (daemon["RuntimeDirectory"], daemon["RuntimeDirectoryMode"]) == (["signal-cli"], ["0700"])
    assert f"--socket {composed} " in SERVICES["signal-cli"]["entrypoint"][2]


def test_every_setting_is_one() -> None:
    """No file names a setting of ours that would be refused as unknown."""
    files = [*UNITS, *PLISTS, ROOT / "docker-compose.yml", ROOT / "deploy/env.example", ROOT / "docs/signal.md"]
    named = {name for file in files for name in re.findall(r"\bDURABLE_CLAUDE_[A-Z_]*[A-Z]\b", file.read_text())}
    known = set(Settings.from_env({"HOME": "/home/ada"}).describe())

    assert SETTINGS <= named <= known
