"""What is run, with which arguments, in which environment and directory: decided here, before anything starts."""

import importlib.util
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

# `claude-code` is what some distributions call the same program.
_NAMES = ("claude", "claude-code")

_PASSED = frozenset({"PATH", "HOME", "LANG", "TERM", "TMPDIR", "USER", "SHELL", "TZ"})
_PASSED_PREFIXES = ("LC_", "SSL_CERT_", "ANTHROPIC_", "CLAUDE_")
# Not even when named: whoever holds these can speak to Temporal or Signal in the operator's name.
_NEVER_PREFIXES = ("TEMPORAL_", "SIGNAL_")
# A claude that finds it believes itself started from inside another one and refuses some work.
_NEVER = frozenset({"CLAUDECODE"})


class ExecutableMissing(Exception):
    """There is no claude to run; the operator must install or name one."""


class ProjectRefused(Exception):
    """The project directory cannot be used; only another path or other permissions help."""


def find_executable(configured: Path | None, path: str) -> Path:
    """The claude to run: the configured one, else the first on `path`, else the one that came with the SDK package."""
    if configured is not None:
        return _usable(configured)
    for name in _NAMES:
        if found := shutil.which(name, path=path):
            return Path(found).absolute()
    if bundled := _bundled():
        return bundled
    raise ExecutableMissing(
        f"neither {' nor '.join(repr(name) for name in _NAMES)} is on PATH ({path!r}): "
        "install Claude Code, or set DURABLE_CLAUDE_EXECUTABLE to it"
    )


def arguments(
    executable: Path | str,
    *,
    conversation_id: str,
    resume: Literal["new", "resume"],
    permission_mode: str,
    forked_from: str | None = None,
    extra: Sequence[str] = (),
) -> list[str]:
    """The command line of a claude that is driven through its pipes; nothing a person typed is in it.

    A new conversation may begin as a copy of the one it is `forked_from`, which stays as it is.
    """
    return [
        str(executable),
        "-p",
        *("--input-format", "stream-json"),
        *("--output-format", "stream-json"),
        "--verbose",
        *("--permission-prompt-tool", "stdio"),
        "--replay-user-messages",
        *("--permission-mode", permission_mode),
        *("--resume" if resume == "resume" else "--session-id", conversation_id),
        *(("--resume", forked_from, "--fork-session") if forked_from else ()),
        *extra,
    ]


def environment(environ: Mapping[str, str], pass_names: Iterable[str] = ()) -> dict[str, str]:
    """The part of `environ` that claude gets: an allow-list, and the names the operator adds to it."""
    named = set(pass_names)
    return {
        name: value
        for name, value in environ.items()
        if (name in _PASSED or name in named or name.startswith(_PASSED_PREFIXES))
        and name not in _NEVER
        and not name.startswith(_NEVER_PREFIXES)
    }


def has_transcript(environment: Mapping[str, str], conversation_id: str) -> bool:
    """Whether claude knows the conversation, so that it takes `--resume` and not `--session-id`.

    The file's existence is claude's own rule: it resumes an empty or torn one, and refuses a second
    `--session-id` beside it. It is found under any project, as `--resume` finds it.
    """
    home = Path(environment.get("HOME", "~")).expanduser()
    projects = Path(environment.get("CLAUDE_CONFIG_DIR") or home / ".claude") / "projects"
    return any(projects.glob(f"*/{conversation_id}.jsonl"))


def project_directory(path: str, roots: Sequence[Path]) -> Path:
    """The directory, with symlinks resolved, if a session may run there; else ProjectRefused with a sentence."""
    if not path or "\0" in path:
        raise ProjectRefused(f"project path {path!r} is not a path")
    try:
        directory = Path(path).expanduser().resolve(strict=True)
    except FileNotFoundError:
        raise ProjectRefused(f"project directory {path!r} does not exist") from None
    except (OSError, RuntimeError) as error:
        raise ProjectRefused(f"project directory {path!r} cannot be reached: {error}") from error
    if not directory.is_dir():
        raise ProjectRefused(f"project path {path!r} is not a directory")
    if not any(directory.is_relative_to(root.resolve()) for root in roots):
        allowed = ", ".join(str(root) for root in roots) or "none"
        raise ProjectRefused(
            f"project directory {path!r} is outside the allowed roots ({allowed}): DURABLE_CLAUDE_ROOTS lists them"
        )
    if not os.access(directory, os.R_OK | os.X_OK):
        raise ProjectRefused(f"project directory {path!r} may not be read by this user")
    return directory


def _usable(configured: Path) -> Path:
    if not configured.is_file():
        raise ExecutableMissing(f"executable {str(configured)!r} does not exist: correct DURABLE_CLAUDE_EXECUTABLE")
    if not os.access(configured, os.X_OK):
        raise ExecutableMissing(f"executable {str(configured)!r} may not be run by this user: check its permissions")
    return configured.absolute()


def _bundled() -> Path | None:
    package = importlib.util.find_spec("claude_agent_sdk")
    for location in (package.submodule_search_locations or ()) if package else ():
        candidate = Path(location) / "_bundled" / "claude"
        if os.access(candidate, os.X_OK):
            return candidate
    return None
