"""The operator's settings: one frozen value, read from the environment once and refused with every problem at once."""

import contextlib
import difflib
import math
import os
import pwd
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeVar, cast, get_args

from runtime.keys import Key, names, parse_keys, read_keys

PREFIX: Final = "DURABLE_CLAUDE_"

LogFormat = Literal["auto", "json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]
# What `claude --permission-mode` takes.
PermissionMode = Literal["acceptEdits", "auto", "bypassPermissions", "default", "dontAsk", "manual", "plan"]

# A socket's path has at most 103 bytes on macOS, 107 on Linux, and the socket's own name needs 22 of them.
_RUN_DIRECTORY_BYTES = 80

# What an operator must not hand to claude, however it is asked for: it could talk to Temporal or Signal in our
# name, or read what others said.
_NEVER_PASSED = ("TEMPORAL_", "SIGNAL_", PREFIX + "ENCRYPTION_")

# What Temporal takes as the name of a deployment or a build; it joins the two with a dot.
_DEPLOYMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_BUILD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")

# What the shim marks claude's processes with: a command typed inside a session inherits these, and they set nothing.
_MARKS = {PREFIX + "SESSION", PREFIX + "NONCE"}

_T = TypeVar("_T")


class SettingsError(ValueError):
    """The environment holds settings that cannot be meant; the message lists all of them."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("These settings cannot be used:\n" + "\n".join(f"  - {problem}" for problem in problems))
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting of ours. Temporal's own are not here: the SDK reads them (see runtime/temporal.py)."""

    state_directory: Path
    """What must survive a reboot: journals, the embedded server's database, the host id."""
    run_directory: Path
    """Sockets; short, because the path of a socket is limited."""
    executable: Path | None
    """The claude to run; None means the first one found."""
    roots: tuple[Path, ...]
    """Project directories lie under one of these."""
    environ: Mapping[str, str] = field(repr=False)
    """The whole environment, secrets included: never printed, never handed on as it is."""
    pass_environment: tuple[str, ...]
    """Names that claude gets on top of the allow-list."""
    permission_mode: PermissionMode
    lease_ttl_seconds: float
    """How long a host keeps processes alive without reaching Temporal."""
    max_sessions: int
    heartbeat_timeout_seconds: float
    """How soon the death of a worker is noticed."""
    host_away_seconds: float
    """How long a host may be without a worker before the session says so."""
    idle_seconds: float
    """After how long without work a new session hibernates; 0 for never."""
    log_format: LogFormat
    log_level: LogLevel
    encryption_key_file: Path | None
    encryption_keys: tuple[Key, ...] = field(repr=False)
    """The newest first; none means that nothing is encrypted."""
    deployment_name: str
    """With a build id it makes the worker of workflows a versioned one; empty means unversioned."""
    build_id: str

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings, raising SettingsError with every problem found."""
        environ = dict(os.environ if environ is None else environ)
        reader = _Reader(environ)
        key_file = reader.key_file()
        settings = cls(
            state_directory=reader.state_directory(),
            run_directory=reader.run_directory(),
            executable=reader.value("EXECUTABLE", None, reader.absolute),
            roots=reader.value("ROOTS", (reader.home,), reader.paths),
            environ=environ,
            pass_environment=reader.value("PASS_ENVIRONMENT", (), _passable),
            permission_mode=cast(PermissionMode, reader.choice("PERMISSION_MODE", "default", PermissionMode)),
            # Long enough that a deploy or a restart of the server costs no process.
            lease_ttl_seconds=reader.value("LEASE_TTL_SECONDS", 600.0, _positive),
            # 50 idle claudes need about 8 GB.
            max_sessions=reader.value("MAX_SESSIONS", 50, _count),
            # Activities beat every second or so; below this a busy machine looks like a dead worker.
            heartbeat_timeout_seconds=reader.value("HEARTBEAT_TIMEOUT_SECONDS", 5.0, _positive),
            # A host that reboots is back by then.
            host_away_seconds=reader.value("HOST_AWAY_SECONDS", 600.0, _positive),
            # An idle process holds 160 MB and more, and a resumed one answers half a second later.
            idle_seconds=reader.value("IDLE_SECONDS", 1800.0, _seconds),
            log_format=cast(LogFormat, reader.choice("LOG_FORMAT", "auto", LogFormat)),
            log_level=cast(LogLevel, reader.choice("LOG_LEVEL", "info", LogLevel)),
            encryption_key_file=key_file,
            encryption_keys=reader.encryption_keys(key_file),
            deployment_name=reader.value("DEPLOYMENT_NAME", "", _named(_DEPLOYMENT)),
            build_id=reader.value("BUILD_ID", "", _named(_BUILD)),
        )
        if bool(settings.deployment_name) != bool(settings.build_id):
            reader.problems.append(
                f"{PREFIX}DEPLOYMENT_NAME and {PREFIX}BUILD_ID mean something only together: set both"
            )
        if problems := (*reader.problems, *reader.unknown()):
            raise SettingsError(problems)
        return settings

    def describe(self) -> dict[str, str]:
        """Every setting as text for a person, by the name it is set by; nothing that is a credential."""
        return {
            PREFIX + "STATE_DIRECTORY": str(self.state_directory),
            PREFIX + "RUN_DIRECTORY": str(self.run_directory),
            PREFIX + "EXECUTABLE": str(self.executable or "(the first one found)"),
            PREFIX + "ROOTS": os.pathsep.join(map(str, self.roots)),
            PREFIX + "PASS_ENVIRONMENT": ",".join(self.pass_environment) or "(none)",
            PREFIX + "PERMISSION_MODE": self.permission_mode,
            PREFIX + "LEASE_TTL_SECONDS": f"{self.lease_ttl_seconds:g}",
            PREFIX + "MAX_SESSIONS": str(self.max_sessions),
            PREFIX + "HEARTBEAT_TIMEOUT_SECONDS": f"{self.heartbeat_timeout_seconds:g}",
            PREFIX + "HOST_AWAY_SECONDS": f"{self.host_away_seconds:g}",
            PREFIX + "IDLE_SECONDS": f"{self.idle_seconds:g}",
            PREFIX + "LOG_FORMAT": self.log_format,
            PREFIX + "LOG_LEVEL": self.log_level,
            PREFIX + "ENCRYPTION_KEY_FILE": str(self.encryption_key_file or "(none)"),
            PREFIX + "ENCRYPTION_KEYS": f"(keys {names(self.encryption_keys)})" if self.encryption_keys else "(none)",
            PREFIX + "DEPLOYMENT_NAME": self.deployment_name or "(none)",
            PREFIX + "BUILD_ID": self.build_id or "(none)",
        }


class _Reader:
    """Reads one setting after the other, keeping the problems for the end."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.problems: list[str] = []
        self.known: set[str] = set()
        self.home = Path(environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)

    def value(self, name: str, default: _T, parse: Callable[[str], _T]) -> _T:
        """Return the parsed value; unset and empty mean the default, as in a shell."""
        self.known.add(PREFIX + name)
        text = self.environ.get(PREFIX + name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.problems.append(f"{PREFIX}{name}={text!r} {error}")
            return default

    def choice(self, name: str, default: str, choices: object) -> str:
        def parse(text: str) -> str:
            if text not in get_args(choices):
                raise ValueError(f"must be one of {', '.join(get_args(choices))}")
            return text

        return self.value(name, default, parse)

    def absolute(self, text: str) -> Path:
        path = self.home / text[2:] if text == "~" or text.startswith("~/") else Path(text)
        if not path.is_absolute():
            raise ValueError("must be an absolute path")
        return path

    def paths(self, text: str) -> tuple[Path, ...]:
        paths = tuple(self.absolute(part) for part in text.split(os.pathsep) if part)
        if not paths:
            raise ValueError("names no directory")
        return paths

    def state_directory(self) -> Path:
        default = self.xdg("XDG_STATE_HOME") or self.home / ".local/state/durable-claude"
        return self.value("STATE_DIRECTORY", default, self.absolute)

    def run_directory(self) -> Path:
        default = self.xdg("XDG_RUNTIME_DIR") or Path(f"/tmp/durable-claude-{os.getuid()}")
        path = self.value("RUN_DIRECTORY", default, self.absolute)
        if len(os.fsencode(path)) > _RUN_DIRECTORY_BYTES:
            self.problems.append(
                f"{PREFIX}RUN_DIRECTORY={str(path)!r} has more than {_RUN_DIRECTORY_BYTES} bytes, too many for a socket in it"
            )
        return path

    def key_file(self) -> Path | None:
        self.known.add(PREFIX + "ENCRYPTION_KEY_FILE")
        text = self.environ.get(PREFIX + "ENCRYPTION_KEY_FILE", "").strip()
        if not text:
            return None
        with contextlib.suppress(ValueError):
            # A key in the wrong variable; whatever is said of it must not show it.
            parse_keys(text)
            self.problems.append(f"{PREFIX}ENCRYPTION_KEY_FILE holds a key: put it into a file and name the file")
            return None
        return self.value("ENCRYPTION_KEY_FILE", None, self.absolute)

    def encryption_keys(self, file: Path | None) -> tuple[Key, ...]:
        """Return the keys of the file or of the variable; what is wrong with a key is said without showing it."""
        self.known.add(PREFIX + "ENCRYPTION_KEYS")
        text = self.environ.get(PREFIX + "ENCRYPTION_KEYS", "").strip()
        if text and file:
            self.problems.append(f"{PREFIX}ENCRYPTION_KEYS and {PREFIX}ENCRYPTION_KEY_FILE are both set: keep one")
            return ()
        named = f"{PREFIX}ENCRYPTION_KEY_FILE={str(file)!r}" if file else f"{PREFIX}ENCRYPTION_KEYS"
        try:
            return read_keys(file) if file else parse_keys(text) if text else ()
        except ValueError as error:
            self.problems.append(f"{named} {error}")
            return ()

    def xdg(self, name: str) -> Path | None:
        """Return our directory in an XDG base directory; their standard says that a relative one does not count."""
        base = Path(self.environ.get(name, ""))
        return base / "durable-claude" if base.is_absolute() else None

    def unknown(self) -> list[str]:
        """Return a sentence per name of ours that means nothing: a typo must not quietly leave a default in force."""
        return [
            f"{name} is not a setting" + "".join(f"; did you mean {close}?" for close in self._closest(name))
            for name in sorted(self.environ)
            if name.startswith(PREFIX) and name not in self.known | _MARKS
        ]

    def _closest(self, name: str) -> list[str]:
        return difflib.get_close_matches(name, sorted(self.known), n=1, cutoff=0.8)


def _passable(text: str) -> tuple[str, ...]:
    names = tuple(name for name in (part.strip() for part in text.split(",")) if name)
    for name in names:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(f"must be names with commas between them, and {name!r} is none")
        if name.startswith(_NEVER_PASSED):
            raise ValueError(f"names {name!r}, which is never handed to claude")
    return names


def _named(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError("may have letters, digits and a few signs, no spaces, and at most 100 of them")
        return text

    return parse


def _seconds(text: str) -> float:
    number = _number(text)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError("must be a number of seconds, or 0")
    return number


def _positive(text: str) -> float:
    number = _number(text)
    if not (math.isfinite(number) and number > 0):
        raise ValueError("must be a number of seconds above 0")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ValueError("must be a whole number above 0")
    return int(text)
