"""What the shim needs of the kernel, really tried in child processes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from doctor.directories import nearest
from doctor.finding import Finding, green, red, yellow
from shim.ask import Unanswered, ask, trial_argv

# Each trial takes milliseconds; an orphan that nobody reaps is watched for three seconds.
_TRIAL_SECONDS: Final = 8.0
_MACOS: Final = "expect stop to be best effort on this system"


async def examine(state: Path) -> list[Finding]:
    """Subreaper, death signal, pidfd, locks where the state is, a cgroup of a session's own."""
    tried = await _tried("kernel", str(nearest(state)))
    return judged(tried)


def judged(tried: dict[str, Any]) -> list[Finding]:
    """What the trials mean for sessions."""
    return [
        _needed(tried, "subreaper", "the shim adopts its session's orphans, so a stop leaves nobody"),
        _needed(tried, "death-signal", "claude dies with its shim"),
        _needed(tried, "pidfd", "no process is signalled in place of another"),
        _locks(tried),
        _cgroup(tried),
    ]


async def examine_reaper() -> list[Finding]:
    """Make an orphan that ends, and look whether whoever inherits it buries it."""
    return [judged_reaper(await _tried("orphan"))]


def judged_reaper(tried: dict[str, Any]) -> Finding:
    """Whether shims that outlive their worker will leave zombies."""
    if "reaped" not in tried:
        return yellow("pid-1", f"could not be tried: {tried.get('failure', 'no answer')}", "let children be started")
    heir = f"{tried['heir_name']} (pid {tried['heir']})"
    if tried["reaped"]:
        return green("pid-1", f"{heir} reaps what is left to it")
    remedy = "give the container an init: `docker run --init`, or `init: true` in a compose file"
    return red(
        "pid-1", f"{heir} reaps nothing: every shim that ends stays a zombie (one is left of this trial)", remedy
    )


def _needed(tried: dict[str, Any], name: str, meaning: str) -> Finding:
    if tried.get(name) is True:
        return green(name, meaning)
    reason = tried.get("failure") or "tried, and it did not work"
    if sys.platform != "linux":
        return yellow(name, f"{reason}; without it this is not so: {meaning}", _MACOS)
    return red(
        name, f"{reason}; without it this is not so: {meaning}", "look for a sandbox or an old kernel, and lift it"
    )


def _locks(tried: dict[str, Any]) -> Finding:
    if tried.get("locks") is True:
        return green("locks", "flock keeps two processes apart where the state is")
    reason = tried.get("failure") or "one process got a lock that another one holds"
    remedy = "put DURABLE_CLAUDE_STATE_DIRECTORY on a local disk"
    return red("locks", f"{reason}: two claudes could run for one session", remedy)


def _cgroup(tried: dict[str, Any]) -> Finding:
    weaker = "of a killed shim, an heir that cleared its environment and closed all files is not found"
    if tried.get("cgroup") is not True:
        remedy = "delegate a cgroup v2 to the worker (systemd: `Delegate=yes`), or live with it"
        return yellow("cgroup", f"none with cgroup.kill can be made here: {weaker}", remedy)
    if tried.get("cgroup-clone") is not True:
        remedy = "allow clone3 in the sandbox, or live with it"
        return yellow("cgroup", "claude must be moved into its cgroup, which costs 20 ms at each start", remedy)
    return green("cgroup", "each session is born into a cgroup of its own")


async def _tried(*arguments: str) -> dict[str, Any]:
    try:
        answer = await ask(trial_argv(Path(__file__).parents[1], *arguments), {"PATH": os.defpath}, _TRIAL_SECONDS)
    except (Unanswered, OSError) as error:
        return {"failure": f"no child answered ({error})"}
    try:
        tried: dict[str, Any] = json.loads(answer.stdout)
    except ValueError:
        return {"failure": f"the child ended with {answer.code}: {answer.first_line}"}
    return tried
