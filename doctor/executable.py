"""The claude that the worker would run: which one, which version, and whether it is logged in."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from claude.command import ExecutableMissing, environment, find_executable
from doctor.finding import Finding, green, red, yellow
from runtime.settings import Settings
from shim.ask import Answer, Unanswered, ask

# docs/claude-cli.md was measured with these.
MEASURED: Final = ("2.1.197", "2.1.330")
# It answers in half a second; a cold one on a busy machine takes several.
_ANSWER_SECONDS: Final = 8.0
# Short commands must neither update claude nor report to anybody.
_QUIET: Final = {"DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
# What stands for a login, in words; claude's own words for it stand in for those that are new.
_METHODS: Final = {"oauth_token": "a token", "api_key": "an API key", "claude.ai": "a claude.ai account"}


async def examine(settings: Settings) -> list[Finding]:
    """Find it and ask it two questions, neither of which asks a model."""
    environ = environment(settings.environ, settings.pass_environment)
    try:
        program = find_executable(settings.executable, environ.get("PATH", ""))
    except ExecutableMissing as error:
        missing = red("claude", str(error), "install Claude Code, or set DURABLE_CLAUDE_EXECUTABLE to it")
        return [missing, *_unasked("claude-version", "login")]
    with tempfile.TemporaryDirectory(prefix="durable-claude-doctor-") as private:
        version = await _asked(program, "--version", environ={**environ, "HOME": private, "CLAUDE_CONFIG_DIR": private})
        if version is None or version.code != 0:
            said = "does not answer" if version is None else f"ends with {version.code}: {version.first_line}"
            broken = red("claude", f"{program} --version {said}", "reinstall Claude Code, or name another one")
            return [broken, *_unasked("claude-version", "login")]
        # Its first run ever writes its own files into its directory: looked at from a private one, nothing stays.
        home = environ if _has_run(environ) else {**environ, "CLAUDE_CONFIG_DIR": private}
        status = await _asked(program, "auth", "status", environ=home)
    return [green("claude", str(program)), judged_version(version.stdout), judged_login(status, environ)]


def judged_version(said: str) -> Finding:
    """Whether the version that it says is one that we know."""
    name, measured = "claude-version", f"measured are {MEASURED[0]} to {MEASURED[-1]}"
    found = re.match(r"\s*(\d+\.\d+\.\d+)", said)
    if found is None:
        return yellow(name, f"it says {said.strip()[:60]!r}, which is no version; {measured}", "is it Claude Code?")
    version = found[1]
    if _ordered(version) < _ordered(MEASURED[0]):
        return yellow(name, f"{version} is older than what was measured; {measured}", "update Claude Code")
    if _ordered(version) > _ordered(MEASURED[-1]):
        remedy = "try a session before you rely on it, or install a measured version"
        return yellow(name, f"{version} is newer than what was measured; {measured}", remedy)
    return green(name, f"{version}; {measured}")


def judged_login(answer: Answer | None, environ: Mapping[str, str]) -> Finding:
    """Whether claude has something to pay with, as it says itself."""
    told = _document(answer)
    endpoint = f" at {environ['ANTHROPIC_BASE_URL']}" if environ.get("ANTHROPIC_BASE_URL") else ""
    if "loggedIn" not in told:
        return yellow("login", "this claude does not say whether it is logged in", "run `claude` once and see")
    if told["loggedIn"] is True:
        method = str(told.get("authMethod", "a way it does not tell"))
        source = told.get("apiKeySource") or told.get("email") or ""
        by = _METHODS.get(method, method) + (f" ({source})" if source else "")
        provider = f" of {told['apiProvider']}" if told.get("apiProvider") not in (None, "firstParty") else ""
        return green("login", f"logged in with {by}{provider}{endpoint}")
    if endpoint:
        return yellow(
            "login", f"no login and no key; requests go{endpoint}", "give it a key if that endpoint needs one"
        )
    remedy = "run `claude` as this user and type /login, or set ANTHROPIC_API_KEY for the worker"
    return red("login", "not logged in: every turn will fail", remedy)


def _unasked(*names: str) -> list[Finding]:
    return [yellow(name, "not checked: there is no claude that answers", "mend `claude` first") for name in names]


async def _asked(program: Path, *arguments: str, environ: Mapping[str, str]) -> Answer | None:
    try:
        return await ask([str(program), *arguments], {**environ, **_QUIET}, _ANSWER_SECONDS / 2)
    except Unanswered:
        return None
    except OSError as error:
        return Answer(code=127, stdout="", stderr=f"cannot be executed: {error.strerror}")


def _has_run(environ: Mapping[str, str]) -> bool:
    home = Path(environ.get("HOME", "~")).expanduser()
    configured = environ.get("CLAUDE_CONFIG_DIR")
    return (Path(configured) / ".claude.json" if configured else home / ".claude.json").exists()


def _document(answer: Answer | None) -> dict[str, Any]:
    try:
        told = json.loads(answer.stdout) if answer else {}
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _ordered(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
