"""What docker-compose.yml and the Dockerfile promise, read from the files themselves: no engine runs here."""

import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SCRIPTS = sorted((ROOT / "deploy").rglob("*.sh"))


def instructions(keyword: str) -> list[str]:
    """Return the arguments of every such instruction of the Dockerfile."""
    text = (ROOT / "deploy/Dockerfile").read_text().replace("\\\n", " ")
    return re.findall(rf"^{keyword} (.+)$", text, flags=re.MULTILINE)


def volumes(service: dict[str, Any]) -> list[str]:
    return [volume.rpartition(":/")[0] for volume in service.get("volumes", [])]


def test_the_versions_belong_together() -> None:
    """Server, tools and Web UI are the releases that were made for each other, and PostgreSQL is one they know."""
    images = {name: service["image"] for name, service in SERVICES.items() if "image" in service}

    assert images == {
        "postgresql": "postgres:16",
        "temporal-schema": "temporalio/admin-tools:1.32.0",
        "temporal": "temporalio/server:1.32.0",
        "temporal-namespace": "temporalio/admin-tools:1.32.0",
        "temporal-ui": "temporalio/ui:2.54.1",
        "signal-cli": "ghcr.io/asamk/signal-cli:0.14.7-native",
        "prometheus": "prom/prometheus:v3.1.0",
        "grafana": "grafana/grafana:11.4.0",
    }


def test_everything_starts_in_order() -> None:
    """Each service waits for what it needs to be healthy or done, down from the worker to the database."""
    waits = {
        (name, needed, how["condition"])
        for name, service in SERVICES.items()
        for needed, how in service.get("depends_on", {}).items()
    }

    assert waits == {
        ("temporal-schema", "postgresql", "service_healthy"),
        ("temporal", "temporal-schema", "service_completed_successfully"),
        ("temporal-namespace", "temporal", "service_healthy"),
        ("temporal-ui", "temporal", "service_healthy"),
        ("worker", "temporal-namespace", "service_completed_successfully"),
        ("signal-cli", "signal-directories", "service_completed_successfully"),
        ("signal", "temporal-namespace", "service_completed_successfully"),
        ("signal", "signal-cli", "service_started"),
    }
    assert all("healthcheck" in SERVICES[needed] for _, needed, how in waits if how == "service_healthy")


def test_ports_are_open_on_loopback_only() -> None:
    """Nothing that asks for no password can be reached from outside the machine."""
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert ports == {
        "temporal": ["127.0.0.1:7233:7233"],
        "temporal-ui": ["127.0.0.1:8080:8080"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3000:3000"],
    }


def test_metrics_are_scraped_where_the_worker_serves_them() -> None:
    """Prometheus asks the worker's own address, Grafana asks Prometheus, and both start only when asked for."""
    scraped = yaml.safe_load((ROOT / "deploy/grafana/prometheus.yml").read_text())["scrape_configs"]
    sources = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())

    _, _, port = SERVICES["worker"]["environment"]["DURABLE_CLAUDE_METRICS_ADDRESS"].rpartition(":")
    assert [each["static_configs"][0]["targets"] for each in scraped] == [[f"worker:{port}"]]
    assert [source["url"] for source in sources["datasources"]] == ["http://prometheus:9090"]
    assert [SERVICES[name]["profiles"] for name in ("prometheus", "grafana")] == [["observability"]] * 2


def test_the_worker_s_health_is_asked_where_it_is_answered() -> None:
    """The check's program is Python that can be run, and asks the address that the worker is given."""
    worker = SERVICES["worker"]
    kind, interpreter, flag, program = worker["healthcheck"]["test"]

    assert (kind, interpreter, flag) == ("CMD", "python", "-c")
    assert isinstance(compile(program, "healthcheck", "exec"), CodeType)
    assert f"http://{worker['environment']['DURABLE_CLAUDE_HEALTH_ADDRESS']}/ready" in program


def test_the_worker_has_an_init_and_time_to_hand_over() -> None:
    """Orphans are reaped, and the worker gets longer than it takes to drain before the container is killed."""
    worker = SERVICES["worker"]

    assert worker["init"] is True
    assert int(worker["stop_grace_period"].removesuffix("s")) > 10


def test_no_secret_is_written_down() -> None:
    """Every secret comes from outside, and starting without it fails with a sentence."""
    secrets = [
        value
        for service in SERVICES.values()
        for name, value in service.get("environment", {}).items()
        if re.search(r"PASSWORD|PWD|KEY|TOKEN|SECRET", name)
    ]

    assert len(secrets) == 4
    assert all(re.fullmatch(r"\$\{\w+:\?set \w+ in \.env\}", secret) for secret in secrets)


def test_every_variable_is_explained() -> None:
    """What the compose file takes from outside is in env.example, where a person fills it in, and only that."""
    wanted = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    explained = set(re.findall(r"^(\w+)=", (ROOT / "deploy/env.example").read_text(), flags=re.MULTILINE))

    assert wanted == explained


def test_every_file_that_is_mounted_exists() -> None:
    """A missing file would be mounted as an empty directory, silently."""
    sources = [source for service in SERVICES.values() for source in volumes(service) if source.startswith(".")]

    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_what_must_last_is_in_named_volumes() -> None:
    """The database, the state directory, transcripts, the Signal account and the metrics survive `docker compose down`."""
    used = {source for service in SERVICES.values() for source in volumes(service) if re.fullmatch(r"[a-z-]+", source)}

    lasting = {"postgresql", "state", "claude-home", "signal-account", "prometheus"}
    assert used == set(COMPOSE["volumes"]) == {*lasting, "signal-run"}


def test_signal_starts_only_when_asked_for() -> None:
    """Whoever does not use it needs to set nothing for it, and starts neither daemon nor handler."""
    names = ["signal-directories", "signal-cli", "signal"]
    optional = re.findall(r"\$\{SIGNAL_\w+(:.)", (ROOT / "docker-compose.yml").read_text())

    assert [SERVICES[name]["profiles"] for name in names] == [["signal"]] * 3
    assert optional
    assert set(optional) == {":-"}


def test_the_daemon_s_socket_is_shared_by_a_volume_only() -> None:
    """Daemon and handler run as one user, meet in a volume that only they mount, and open no port."""
    prepared = SERVICES["signal-directories"]
    mounting = {name for name, service in SERVICES.items() if "signal-run" in volumes(service)}

    assert mounting == {"signal-directories", "signal-cli", "signal"}
    assert not any("ports" in SERVICES[name] for name in mounting)
    assert {SERVICES["signal-cli"]["user"], SERVICES["worker"]["build"]["args"]["UID"]} == {"${WORKER_UID:-1000}"}
    assert "--mode=0700" in prepared["command"]
    assert {f"/{volume.rpartition(':/')[2]}" for volume in prepared["volumes"]} <= set(prepared["command"])
    assert any(volume.endswith(":/projects:ro") for volume in SERVICES["signal"]["volumes"])


def test_one_image_is_built_for_all_of_ours() -> None:
    """Worker and handler are the same build, so that they speak of the same thing."""
    builds = [service["build"] for service in SERVICES.values() if "build" in service]

    assert builds == [SERVICES["worker"]["build"]] * 3


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_plain_sh(script: Path) -> None:
    """Each script parses as POSIX sh, stops at the first error, and is the one that a service runs."""
    checked = subprocess.run(["sh", "-n", script], capture_output=True, text=True, check=False)

    run = [service["entrypoint"][-1] for service in SERVICES.values() if "entrypoint" in service]
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "set -eu" in script.read_text()
    assert f"/scripts/{script.name}" in run


def test_the_dynamic_configuration_is_what_the_server_is_told_to_read() -> None:
    """The mounted file is the one in the server's settings, and every key in it is a list of values."""
    server = SERVICES["temporal"]
    keys = yaml.safe_load((ROOT / "deploy/temporal/dynamicconfig.yaml").read_text())

    (mount,) = server["volumes"]
    assert f"/etc/temporal/{server['environment']['DYNAMIC_CONFIG_FILE_PATH']}:ro" in mount
    assert all("value" in entry for entries in keys.values() for entry in entries)


def test_the_image_is_built_from_what_is_there() -> None:
    """Everything the Dockerfile copies exists, and that is all that the distribution is made of."""
    sources = [source for copy in instructions("COPY") for source in shlex.split(copy)[:-1]]
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    packages = set(build["targets"]["wheel"]["only-include"])

    assert packages <= set(sources)
    assert [source for source in set(sources) - packages if not (ROOT / source).exists()] == []
    assert SERVICES["worker"]["build"]["dockerfile"] == "deploy/Dockerfile"


def test_the_image_installs_what_is_locked_and_runs_as_nobody_special() -> None:
    """Nothing is installed by pip without a hash or from outside the lock, and the worker is not root."""
    installs = [run for run in instructions("RUN") if "pip install" in run]

    assert all("--require-hashes" in install or "--no-deps --no-index" in install for install in installs)
    assert instructions("USER") == ["claude"]
    assert json.loads(instructions("CMD")[0]) == ["python", "worker.py"]
