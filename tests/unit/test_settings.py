"""Settings: read once, refused with every problem at once, printed without secrets."""

import os
from pathlib import Path

import pytest

from runtime.settings import Settings, SettingsError

HOME = {"HOME": "/home/ada"}


def problems(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as raised:
        Settings.from_env(HOME | environ)
    return raised.value.problems


def test_an_empty_environment_is_enough() -> None:
    """Every setting has a default, and the directories follow the home directory."""
    settings = Settings.from_env(HOME)

    assert settings.state_directory == Path("/home/ada/.local/state/durable-claude")
    assert settings.run_directory == Path(f"/tmp/durable-claude-{os.getuid()}")
    assert settings.roots == (Path("/home/ada"),)
    assert settings.executable is None
    assert (settings.lease_ttl_seconds, settings.max_sessions, settings.permission_mode) == (600, 50, "default")
    assert (settings.log_format, settings.log_level) == ("auto", "info")


def test_the_real_environment_is_the_default() -> None:
    """Without an argument the environment of the process is read."""
    assert Settings.from_env().environ["PATH"] == os.environ["PATH"]


def test_a_home_that_is_not_set_comes_from_the_user_database() -> None:
    """A service without HOME still gets an absolute state directory."""
    assert Settings.from_env({}).state_directory.is_absolute()


def test_xdg_directories_are_used_when_they_are_absolute() -> None:
    """The XDG base directories win over the home directory; a relative one does not count."""
    settings = Settings.from_env(HOME | {"XDG_STATE_HOME": "/var/s", "XDG_RUNTIME_DIR": "run"})

    assert settings.state_directory == Path("/var/s/durable-claude")
    assert settings.run_directory == Path(f"/tmp/durable-claude-{os.getuid()}")


def test_every_setting_can_be_set() -> None:
    """What describe() names can be set by that name, and is then what describe() says."""
    wanted = {
        "DURABLE_CLAUDE_STATE_DIRECTORY": "/srv/state",
        "DURABLE_CLAUDE_RUN_DIRECTORY": "/run/dc",
        "DURABLE_CLAUDE_EXECUTABLE": "/opt/claude",
        "DURABLE_CLAUDE_ROOTS": "/srv/a:/srv/b",
        "DURABLE_CLAUDE_PASS_ENVIRONMENT": "GIT_AUTHOR_NAME,NODE_OPTIONS",
        "DURABLE_CLAUDE_PERMISSION_MODE": "acceptEdits",
        "DURABLE_CLAUDE_LEASE_TTL_SECONDS": "12.5",
        "DURABLE_CLAUDE_MAX_SESSIONS": "7",
        "DURABLE_CLAUDE_HEARTBEAT_TIMEOUT_SECONDS": "9",
        "DURABLE_CLAUDE_HOST_AWAY_SECONDS": "30",
        "DURABLE_CLAUDE_IDLE_SECONDS": "0",
        "DURABLE_CLAUDE_KEEP_DAYS": "0.5",
        "DURABLE_CLAUDE_HEALTH_ADDRESS": "127.0.0.1:8240",
        "DURABLE_CLAUDE_LOG_FORMAT": "json",
        "DURABLE_CLAUDE_LOG_LEVEL": "debug",
        "DURABLE_CLAUDE_LOG_CONTENT": "1",
        "DURABLE_CLAUDE_METRICS_ADDRESS": "127.0.0.1:9464",
        "DURABLE_CLAUDE_DEPLOYMENT_NAME": "claude",
        "DURABLE_CLAUDE_BUILD_ID": "1.4.0+7",
        "DURABLE_CLAUDE_PROJECTS": "app=/srv/a/app,web=/srv/b/web",
        "DURABLE_CLAUDE_SIGNAL_DAEMON": "/run/signal-cli/socket",
        "DURABLE_CLAUDE_SIGNAL_NOTE_TO_SELF": "1",
    }
    # Keys are described by name only: tests/unit/test_keys.py. People are counted: tests/unit/test_signal_settings.py.
    keys = {"DURABLE_CLAUDE_ENCRYPTION_KEY_FILE", "DURABLE_CLAUDE_ENCRYPTION_KEYS"}
    keys |= {f"DURABLE_CLAUDE_SIGNAL_{name}" for name in ("ACCOUNT", "OWNERS", "APPROVERS", "WATCHERS")}
    described = Settings.from_env(HOME | wanted).describe()

    assert {name: value for name, value in described.items() if name not in keys} == wanted
    assert set(Settings.from_env(HOME).describe()) == set(wanted) | keys


def test_a_tilde_is_the_home_directory() -> None:
    """Paths in a service file may start with a tilde, which no shell has replaced there."""
    settings = Settings.from_env(HOME | {"DURABLE_CLAUDE_ROOTS": "~/code:/srv", "DURABLE_CLAUDE_EXECUTABLE": "~/c"})

    assert settings.roots == (Path("/home/ada/code"), Path("/srv"))
    assert settings.executable == Path("/home/ada/c")


def test_empty_means_not_set() -> None:
    """A variable that is there but empty leaves the default in force."""
    assert Settings.from_env(HOME | {"DURABLE_CLAUDE_MAX_SESSIONS": " "}).max_sessions == 50


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("STATE_DIRECTORY", "state", "must be an absolute path"),
        ("RUN_DIRECTORY", "/" + "r" * 80, "has more than 80 bytes"),
        ("EXECUTABLE", "claude", "must be an absolute path"),
        ("ROOTS", ":", "names no directory"),
        ("ROOTS", "/srv:code", "must be an absolute path"),
        ("PASS_ENVIRONMENT", "GOOD,not good", "'not good'"),
        ("PASS_ENVIRONMENT", "TEMPORAL_API_KEY", "never handed to claude"),
        ("PASS_ENVIRONMENT", "SIGNAL_ACCOUNT", "never handed to claude"),
        ("PASS_ENVIRONMENT", "DURABLE_CLAUDE_ENCRYPTION_KEYS", "never handed to claude"),
        ("DEPLOYMENT_NAME", "a.b", "letters, digits"),
        ("BUILD_ID", "new one", "letters, digits"),
        ("PERMISSION_MODE", "yolo", "must be one of acceptEdits"),
        ("LEASE_TTL_SECONDS", "nan", "above 0"),
        ("LEASE_TTL_SECONDS", "inf", "above 0"),
        ("LEASE_TTL_SECONDS", "0", "above 0"),
        ("HOST_AWAY_SECONDS", "-1", "above 0"),
        ("IDLE_SECONDS", "-1", "or 0"),
        ("KEEP_DAYS", "nan", "number of days, or 0"),
        ("HEARTBEAT_TIMEOUT_SECONDS", "5s", "above 0"),
        ("MAX_SESSIONS", "2.5", "must be a whole number"),
        ("MAX_SESSIONS", "²", "must be a whole number"),
        ("HEALTH_ADDRESS", "8240", "must be host:port"),
        ("LOG_FORMAT", "xml", "must be one of auto, json, console"),
        ("LOG_LEVEL", "loud", "must be one of debug"),
        ("LOG_CONTENT", "maybe", "must be 1 or 0"),
        ("METRICS_ADDRESS", "9464", "must be host:port"),
        ("METRICS_ADDRESS", "example.org:9464", "an IP address or localhost"),
        ("METRICS_ADDRESS", "127.0.0.1:0", "a port above 0"),
        ("METRICS_ADDRESS", "[::1]:99999", "must be host:port"),
    ],
    ids=lambda value: value[:20],
)
def test_a_value_that_cannot_be_meant_is_refused(name: str, value: str, sentence: str) -> None:
    """The refusal names the variable, quotes the value and says what is wrong with it."""
    problem = problems({f"DURABLE_CLAUDE_{name}": value})[0]

    assert problem.startswith(f"DURABLE_CLAUDE_{name}={value!r}")
    assert sentence in problem


def test_all_problems_are_told_at_once() -> None:
    """Nobody has to start three times to learn of three mistakes."""
    found = problems(
        {"DURABLE_CLAUDE_MAX_SESSIONS": "x", "DURABLE_CLAUDE_LOG_LEVEL": "y", "DURABLE_CLAUDE_SHOE_SIZE": "44"}
    )

    assert len(found) == 3


def test_a_misspelt_name_is_refused_with_the_one_that_was_meant() -> None:
    """A typo in a name does not quietly leave the default in force."""
    (problem,) = problems({"DURABLE_CLAUDE_MAX_SESSION": "5"})

    assert problem == "DURABLE_CLAUDE_MAX_SESSION is not a setting; did you mean DURABLE_CLAUDE_MAX_SESSIONS?"


def test_a_command_inside_a_session_is_not_refused() -> None:
    """The marks that claude's own processes carry are no settings, and no mistake either."""
    settings = Settings.from_env(HOME | {"DURABLE_CLAUDE_SESSION": "a", "DURABLE_CLAUDE_NONCE": "b"})

    assert settings == Settings.from_env(settings.environ)


def test_secrets_stay_out_of_what_is_printed() -> None:
    """Neither describe() nor repr() shows anything of the environment that is not a setting."""
    settings = Settings.from_env(HOME | {"TEMPORAL_API_KEY": "s3cret", "ANTHROPIC_API_KEY": "s3cret"})

    assert "s3cret" not in repr(settings) + repr(settings.describe())


@pytest.mark.parametrize(
    ("value", "meant"),
    [("localhost:9464", "127.0.0.1:9464"), ("[::1]:9464", "[::1]:9464"), ("0.0.0.0:80", "0.0.0.0:80")],
)
def test_an_address_is_an_ip_and_a_port(value: str, meant: str) -> None:
    """What serves metrics takes no names, so localhost is spelt out for it."""
    assert Settings.from_env(HOME | {"DURABLE_CLAUDE_METRICS_ADDRESS": value}).metrics_address == meant


@pytest.mark.parametrize(
    ("environ", "sends"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "True"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:4318"}, False),
    ],
)
def test_traces_are_sent_when_opentelemetry_s_variables_say_so(environ: dict[str, str], *, sends: bool) -> None:
    """The standard switches are obeyed; without an endpoint nothing is guessed."""
    assert Settings.from_env(HOME | environ).sends_traces is sends
