"""The operator's settings: one frozen value, read from the environment once and refused with every problem at once."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from runtime.address import Address, parse_address
from runtime.keys import Key, names
from runtime.reader import PREFIX, Reader, address, count, flag, named, or_zero, passable, positive
from runtime.signal_settings import SignalSettings, read_signal

LogFormat = Literal["auto", "json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]
# What `claude --permission-mode` takes.
PermissionMode = Literal["acceptEdits", "auto", "bypassPermissions", "default", "dontAsk", "manual", "plan"]

# What Temporal takes as the name of a deployment or a build; it joins the two with a dot.
_DEPLOYMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_BUILD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class SettingsError(ValueError):
    """The environment holds settings that cannot be meant; the message lists all of them."""

    def __init__(self, problems: tuple[str, ...], environ: Mapping[str, str] | None = None) -> None:
        super().__init__("These settings cannot be used:\n" + "\n".join(f"  - {problem}" for problem in problems))
        self.problems = problems
        self.environ = dict(environ or {})


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
    keep_days: float
    """For how long the files of an ended session stay; 0 for ever."""
    health_address: Address | None
    """Where /live and /ready are answered; None means nowhere."""
    log_format: LogFormat
    log_level: LogLevel
    log_content: bool
    """Whether the log holds what people and claude say to each other."""
    metrics_address: str
    """Where the worker serves its metrics, as IP:port; empty for nowhere."""
    encryption_key_file: Path | None
    encryption_keys: tuple[Key, ...] = field(repr=False)
    """The newest first; none means that nothing is encrypted."""
    deployment_name: str
    """With a build id it makes the worker of workflows a versioned one; empty means unversioned."""
    build_id: str
    signal: SignalSettings = field(default_factory=SignalSettings)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings, raising SettingsError with every problem found."""
        environ = dict(os.environ if environ is None else environ)
        reader = Reader(environ)
        key_file = reader.key_file()
        settings = cls(
            state_directory=reader.state_directory(),
            run_directory=reader.run_directory(),
            executable=reader.value("EXECUTABLE", None, reader.absolute),
            roots=reader.value("ROOTS", (reader.home,), reader.paths),
            environ=environ,
            pass_environment=reader.value("PASS_ENVIRONMENT", (), passable),
            permission_mode=cast(PermissionMode, reader.choice("PERMISSION_MODE", "default", PermissionMode)),
            # Long enough that a deploy or a restart of the server costs no process.
            lease_ttl_seconds=reader.value("LEASE_TTL_SECONDS", 600.0, positive),
            # 50 idle claudes need about 8 GB.
            max_sessions=reader.value("MAX_SESSIONS", 50, count),
            # Activities beat every second or so; below this a busy machine looks like a dead worker.
            heartbeat_timeout_seconds=reader.value("HEARTBEAT_TIMEOUT_SECONDS", 5.0, positive),
            # A host that reboots is back by then.
            host_away_seconds=reader.value("HOST_AWAY_SECONDS", 600.0, positive),
            # An idle process holds 160 MB and more, and a resumed one answers half a second later.
            idle_seconds=reader.value("IDLE_SECONDS", 1800.0, or_zero("seconds")),
            # Long enough to look into what went wrong after a holiday.
            keep_days=reader.value("KEEP_DAYS", 30.0, or_zero("days")),
            health_address=reader.value("HEALTH_ADDRESS", None, parse_address),
            log_format=cast(LogFormat, reader.choice("LOG_FORMAT", "auto", LogFormat)),
            log_level=cast(LogLevel, reader.choice("LOG_LEVEL", "info", LogLevel)),
            log_content=reader.value("LOG_CONTENT", False, flag),
            metrics_address=reader.value("METRICS_ADDRESS", "", address),
            encryption_key_file=key_file,
            encryption_keys=reader.encryption_keys(key_file),
            deployment_name=reader.value("DEPLOYMENT_NAME", "", named(_DEPLOYMENT)),
            build_id=reader.value("BUILD_ID", "", named(_BUILD)),
            signal=read_signal(reader),
        )
        if bool(settings.deployment_name) != bool(settings.build_id):
            reader.problems.append(
                f"{PREFIX}DEPLOYMENT_NAME and {PREFIX}BUILD_ID mean something only together: set both"
            )
        if problems := (*reader.problems, *reader.unknown()):
            raise SettingsError(problems, environ)
        return settings

    @property
    def sends_traces(self) -> bool:
        """Whether OpenTelemetry's own variables ask for traces; the exporter reads the rest of them by itself."""
        off = self.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        exporters = {name.strip() for name in self.environ.get("OTEL_TRACES_EXPORTER", "otlp").split(",")}
        return not off and "otlp" in exporters and any(self.environ.get(name, "").strip() for name in _ENDPOINTS)

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
            PREFIX + "KEEP_DAYS": f"{self.keep_days:g}",
            PREFIX + "HEALTH_ADDRESS": str(self.health_address or "(none)"),
            PREFIX + "LOG_FORMAT": self.log_format,
            PREFIX + "LOG_LEVEL": self.log_level,
            PREFIX + "LOG_CONTENT": str(int(self.log_content)),
            PREFIX + "METRICS_ADDRESS": self.metrics_address or "(none)",
            PREFIX + "ENCRYPTION_KEY_FILE": str(self.encryption_key_file or "(none)"),
            PREFIX + "ENCRYPTION_KEYS": f"(keys {names(self.encryption_keys)})" if self.encryption_keys else "(none)",
            PREFIX + "DEPLOYMENT_NAME": self.deployment_name or "(none)",
            PREFIX + "BUILD_ID": self.build_id or "(none)",
            **self.signal.describe(),
        }
