"""The command, its environment and its directory."""

import os
from pathlib import Path
from typing import Literal

import pytest

from claude.command import (
    ExecutableMissing,
    ProjectRefused,
    arguments,
    environment,
    find_executable,
    has_transcript,
    project_directory,
)


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_configured_executable_comes_first(tmp_path: Path) -> None:
    """What the operator names is run, whatever is on PATH."""
    configured = program(tmp_path / "own" / "my-claude")
    program(tmp_path / "bin" / "claude")

    assert find_executable(configured, str(tmp_path / "bin")) == configured


def test_claude_comes_before_claude_code_on_path(tmp_path: Path) -> None:
    """Both names are known; `claude` wins even when `claude-code` stands earlier on PATH."""
    second = program(tmp_path / "first" / "claude-code")
    claude = program(tmp_path / "second" / "claude")

    assert find_executable(None, f"{tmp_path}/first:{tmp_path}/second") == claude
    assert find_executable(None, f"{tmp_path}/first") == second


def test_the_bundled_executable_is_the_last_resort(tmp_path: Path) -> None:
    """With nothing on PATH the claude of the SDK package is taken."""
    found = find_executable(None, str(tmp_path))

    assert found.name == "claude"
    assert found.parent.name == "_bundled"
    assert os.access(found, os.X_OK)


def test_a_configured_executable_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The operator's mistake is not covered up by another claude on PATH."""
    program(tmp_path / "bin" / "claude")

    with pytest.raises(ExecutableMissing, match="does not exist: correct DURABLE_CLAUDE_EXECUTABLE"):
        find_executable(tmp_path / "gone", str(tmp_path / "bin"))


def test_a_configured_executable_without_leave_to_run_is_named(tmp_path: Path) -> None:
    """A file that is not executable is told apart from one that is missing."""
    plain = tmp_path / "claude"
    plain.write_text("")

    with pytest.raises(ExecutableMissing, match="may not be run"):
        find_executable(plain, "")


@pytest.mark.parametrize(("resume", "flag"), [("new", "--session-id"), ("resume", "--resume")])
def test_a_conversation_is_begun_or_resumed(resume: Literal["new", "resume"], flag: str) -> None:
    """The one flag that differs is followed by the conversation's id."""
    line = arguments("/bin/claude", conversation_id="c-1", resume=resume, permission_mode="plan")

    assert line[0] == "/bin/claude"
    assert line[line.index(flag) + 1] == "c-1"
    assert ("--session-id" in line) != ("--resume" in line)
    assert line[line.index("--permission-mode") + 1] == "plan"


def test_a_fork_is_a_new_conversation_that_begins_as_a_copy() -> None:
    """The copy's id and the original's are told apart by their flags."""
    line = arguments("claude", conversation_id="copy", resume="new", permission_mode="default", forked_from="original")

    assert line[line.index("--session-id") + 1] == "copy"
    assert line[line.index("--resume") + 1] == "original"
    assert "--fork-session" in line


def test_extra_arguments_come_last() -> None:
    """What the operator adds can override what is there."""
    line = arguments("claude", conversation_id="c", resume="new", permission_mode="default", extra=["--model", "opus"])

    assert line[-2:] == ["--model", "opus"]


def test_only_listed_variables_reach_claude() -> None:
    """An allow-list: what nobody thought of stays with the worker."""
    environ = {
        "PATH": "/bin",
        "HOME": "/home/me",
        "LC_ALL": "C",
        "SSL_CERT_FILE": "/ca",
        "ANTHROPIC_API_KEY": "k",
        "CLAUDE_CONFIG_DIR": "/c",
        "AWS_SECRET_ACCESS_KEY": "s",
        "DURABLE_CLAUDE_ROOTS": "/r",
        "GIT_AUTHOR_NAME": "me",
    }

    passed = environment(environ, ["GIT_AUTHOR_NAME", "NOT_SET"])

    assert set(passed) == set(environ) - {"AWS_SECRET_ACCESS_KEY", "DURABLE_CLAUDE_ROOTS"}


def test_some_variables_never_reach_claude_even_when_named() -> None:
    """Temporal's and Signal's secrets, and the mark of an enclosing claude, are not for claude."""
    environ = {"TEMPORAL_API_KEY": "t", "SIGNAL_ACCOUNT": "s", "CLAUDECODE": "1"}

    assert environment(environ, list(environ)) == {}


def test_a_transcript_is_found_under_any_project(tmp_path: Path) -> None:
    """Claude finds a conversation by its id alone, and so do we; an empty file counts, as it does for claude."""
    home = tmp_path / "home"
    (home / ".claude/projects/-some-where").mkdir(parents=True)
    assert not has_transcript({"HOME": str(home)}, "c-1")

    (home / ".claude/projects/-some-where/c-1.jsonl").touch()

    assert has_transcript({"HOME": str(home)}, "c-1")
    assert not has_transcript({"HOME": str(home), "CLAUDE_CONFIG_DIR": str(tmp_path)}, "c-1")
    assert has_transcript({"CLAUDE_CONFIG_DIR": str(home / ".claude")}, "c-1")


def test_a_project_below_a_root_is_accepted(tmp_path: Path) -> None:
    """The directory comes back with its symlinks resolved; a root itself is a project too."""
    project = tmp_path / "work" / "app"
    project.mkdir(parents=True)
    (tmp_path / "link").symlink_to(project)

    assert project_directory(str(tmp_path / "link"), [tmp_path / "work"]) == project.resolve()
    assert project_directory(str(project), [tmp_path / "other", project]) == project.resolve()


def test_a_root_may_be_a_symlink(tmp_path: Path) -> None:
    """Both sides are resolved before they are compared."""
    (tmp_path / "real" / "app").mkdir(parents=True)
    (tmp_path / "root").symlink_to(tmp_path / "real")

    assert project_directory(str(tmp_path / "root" / "app"), [tmp_path / "root"]) == (tmp_path / "real/app").resolve()


def refused_paths(tmp_path: Path) -> dict[str, tuple[str, str]]:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "root-sibling").mkdir()
    (root / "file").touch()
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "loop").symlink_to(root / "loop")
    return {
        "missing": (str(root / "gone"), "does not exist"),
        "file": (str(root / "file"), "is not a directory"),
        "below a file": (str(root / "file" / "x"), "cannot be reached"),
        "outside": (str(tmp_path / "outside"), "outside the allowed roots"),
        "sibling with the root's name": (str(tmp_path / "root-sibling"), "outside the allowed roots"),
        "symlink out": (str(root / "out"), "outside the allowed roots"),
        "dots out": (str(root / ".." / "outside"), "outside the allowed roots"),
        "symlink loop": (str(root / "loop"), "cannot be reached"),
        "empty": ("", "is not a path"),
        "nul": ("a\0b", "is not a path"),
        "too long": (str(root / ("x" * 5000)), "cannot be reached"),
    }


def test_unusable_projects_are_refused_each_with_its_own_sentence(tmp_path: Path) -> None:
    """Missing, not a directory, or outside the roots however it is written: refused with the reason."""
    for name, (path, reason) in refused_paths(tmp_path).items():
        with pytest.raises(ProjectRefused) as refusal:
            project_directory(path, [tmp_path / "root"])
        assert reason in str(refusal.value), name


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_project_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    """A directory without leave to enter it is refused before anything is started in it."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)

    with pytest.raises(ProjectRefused, match="may not be read"):
        project_directory(str(locked), [tmp_path])
