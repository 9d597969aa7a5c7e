"""Whether what runs the worker leaves its shims alone when it restarts the worker."""

from __future__ import annotations

import os
import pwd
import re
import shutil
from pathlib import Path
from typing import Final

from doctor.finding import Finding, green, red, yellow
from doctor.living import living_workers
from runtime.settings import Settings
from shim.ask import Unanswered, ask

_ANSWER_SECONDS: Final = 5.0
_LINGER: Final = Path("/var/lib/systemd/linger")
_KILL_MODE: Final = "set `KillMode=process` in the unit, then `systemctl {scope}daemon-reload`"


async def examine(settings: Settings) -> list[Finding]:
    """Look at the worker that runs, or at this shell when none does."""
    workers = living_workers(settings.state_directory)
    pid = workers[0] if workers else os.getpid()
    whose = f"the worker (pid {pid})" if workers else "this shell (no worker runs here)"
    unit, is_users = unit_of(_cgroups(pid))
    is_service = unit.endswith(".service")
    lingering = [linger(pwd.getpwuid(os.geteuid()).pw_name, _LINGER, is_service=is_service)] if is_users else []
    if not unit:
        return [green("service-manager", f"{whose} is in no systemd unit"), *lingering]
    if not is_service:
        return [green("service-manager", f"{whose} is in {unit}, which nothing restarts"), *lingering]
    mode = await _kill_mode(settings, unit, is_users=is_users)
    return [judged(whose, unit, mode, is_users=is_users), *lingering]


def unit_of(cgroups: str) -> tuple[str, bool]:
    """The innermost systemd unit of a /proc/<pid>/cgroup, or nothing; and whether it is one of a user's own manager."""
    paths = [line.split(":", 2) for line in cgroups.splitlines() if line.count(":") >= 2]
    # Where both versions are mounted, systemd may use the old one by name.
    for _, controllers, path in sorted(paths, key=lambda fields: fields[0] != "0"):
        if controllers in ("", "name=systemd"):
            units = re.findall(r"([^/]+\.(?:service|scope))(?=/|$)", path)
            managers = [unit for unit in units if re.fullmatch(r"user@\d+\.service", unit)]
            if units:
                # Below `init.scope` of a manager is the manager itself.
                return units[-1], bool(managers) and units[-1] != managers[-1]
    return "", False


def judged(whose: str, unit: str, mode: str | None, *, is_users: bool) -> Finding:
    """What a restart of the unit does to the shims."""
    scope = "--user " if is_users else ""
    remedy = _KILL_MODE.format(scope=scope)
    if mode is None:
        unseen = f"{whose} is in {unit}, and its KillMode could not be seen: systemctl is missing or does not answer"
        return yellow("service-manager", unseen, f"see that `systemctl {scope}show -p KillMode {unit}` says process")
    if mode == "process":
        return green("service-manager", f"{whose} is in {unit} with KillMode=process: a restart leaves the shims")
    if mode == "none":
        return yellow(
            "service-manager", f"{whose} is in {unit} with KillMode=none, which leaves the worker too", remedy
        )
    return red("service-manager", f"{whose} is in {unit} with KillMode={mode}: a restart kills every session", remedy)


def linger(user: str, directory: Path, *, is_service: bool) -> Finding:
    """Whether the user's own service manager, and all in it, outlives the last logout."""
    if (directory / user).exists():
        return green("linger", f"the user manager of {user} lives on after logout")
    remedy = f"`loginctl enable-linger {user}`"
    text = f"the user manager of {user} ends with the last logout, and every session in it"
    # A shell ends with its login anyway; who installs a service means it to stay.
    return red("linger", text, remedy) if is_service else yellow("linger", text, remedy)


def _cgroups(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return ""


async def _kill_mode(settings: Settings, unit: str, *, is_users: bool) -> str | None:
    program = shutil.which("systemctl", path=settings.environ.get("PATH", os.defpath))
    if program is None:
        return None
    environ = {name: settings.environ[name] for name in _REACHES_MANAGER if name in settings.environ}
    try:
        answer = await ask(
            [program, *(["--user"] if is_users else []), "show", "--property=KillMode", "--value", unit],
            {"PATH": os.defpath, **environ},
            _ANSWER_SECONDS,
        )
    except (Unanswered, OSError):
        return None
    return answer.stdout.strip() or None


# How `systemctl --user` finds its manager.
_REACHES_MANAGER: Final = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
