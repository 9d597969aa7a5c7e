"""The commands of the compose file, run natively where they can be."""

import asyncio
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime import dev_server
from runtime.search_attributes import Registered, register
from runtime.temporal import connect_once, temporal_binary
from tests.runtime.test_dev_server import free_port
from tests.unit.test_compose import ROOT, SERVICES, instructions
from tests.unit.test_services import FLAGS, PLISTS, UNITS, plist
from workflows.attributes import KINDS

SCRIPTS = ROOT / "deploy/temporal"


@pytest.fixture
async def plan(tmp_path: Path) -> AsyncIterator[dev_server.DevServerPlan]:
    """A running server."""
    plan = dev_server.DevServerPlan(state_directory=tmp_path / "state", port=free_port(), ui_port=free_port())
    server = await dev_server.start(plan)
    yield plan
    await server.stop()


def run_script(name: str, path: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(SCRIPTS / name)]
    return subprocess.run(
        command, env={"PATH": path, **environment}, capture_output=True, text=True, timeout=120, check=False
    )


async def test_the_namespace_is_created_once(plan: dev_server.DevServerPlan) -> None:
    """create-namespace.sh makes the namespace with all search attributes on a real server; run again, it finds them."""
    binary = temporal_binary()
    assert binary is not None
    path = f"{binary.parent}:{os.defpath}"
    environment = SERVICES["temporal-namespace"]["environment"] | plan.connection | {"TEMPORAL_NAMESPACE": "lab"}

    first = await asyncio.to_thread(run_script, "create-namespace.sh", path, environment)
    again = await asyncio.to_thread(run_script, "create-namespace.sh", path, environment)

    assert first.returncode == 0, first.stderr
    assert again.returncode == 0, again.stderr
    assert "namespace lab is there" not in first.stdout
    assert "namespace lab is there" in again.stdout
    async with asyncio.timeout(60):
        client = await connect_once(environ=plan.connection | {"TEMPORAL_NAMESPACE": "lab"})
    assert client.namespace == "lab"
    assert await register(client, KINDS) == Registered(added=[], present=list(KINDS))


def test_both_databases_get_their_schema(tmp_path: Path) -> None:
    """setup-postgres.sh asks for create, setup and update of each database in turn, the password never among the arguments."""
    tool = tmp_path / "temporal-sql-tool"
    tool.write_text('#!/bin/sh\necho "$@" "as $SQL_USER@$SQL_HOST:$SQL_PORT"\n')
    tool.chmod(0o755)
    environment = SERVICES["temporal-schema"]["environment"] | {"SQL_PASSWORD": "s3cret"}

    result = run_script("setup-postgres.sh", f"{tmp_path}:{os.defpath}", environment)

    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        f"--db {database} {step} as temporal@postgresql:5432"
        for database, schema in (("temporal", "temporal"), ("temporal_visibility", "visibility"))
        for step in (
            "create",
            "setup-schema -v 0.0",
            f"update-schema -d /etc/temporal/schema/postgresql/v12/{schema}/versioned",
        )
    ]


def test_a_step_that_fails_ends_the_schema_job(tmp_path: Path) -> None:
    """A failed step is not passed over: the job fails, and compose starts it again."""
    tool = tmp_path / "temporal-sql-tool"
    tool.write_text("#!/bin/sh\necho called\nexit 1\n")
    tool.chmod(0o755)
    environment = SERVICES["temporal-schema"]["environment"]

    result = run_script("setup-postgres.sh", f"{tmp_path}:{os.defpath}", environment)

    assert (result.returncode, result.stdout) == (1, "called\n")


async def test_the_image_command_waits_for_temporal_and_ends_on_sigterm(short_path: Path) -> None:
    """The Dockerfile's command with its settings logs JSON, waits for a server that is away, and drains on SIGTERM."""
    settings = dict(pair.split("=", 1) for line in instructions("ENV") for pair in shlex.split(line))
    environment = settings | {
        "HOME": str(short_path),
        "PATH": os.defpath,
        "TEMPORAL_ADDRESS": f"127.0.0.1:{free_port()}",
        "DURABLE_CLAUDE_STATE_DIRECTORY": str(short_path / "state"),
        "DURABLE_CLAUDE_RUN_DIRECTORY": str(short_path / "run"),
        "DURABLE_CLAUDE_ROOTS": str(short_path),
    }
    python, *arguments = json.loads(instructions("CMD")[0])
    assert python == "python"

    worker = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert worker.stderr is not None
    events: list[str] = []
    async with asyncio.timeout(60):
        while "waiting for Temporal" not in events:
            events.append(json.loads(await worker.stderr.readline())["event"])
    worker.send_signal(signal.SIGTERM)
    await worker.communicate()

    assert worker.returncode == 0


def stand_ins(home: Path) -> None:
    """A home with everything that services run, each printing its settings and arguments instead of doing anything."""
    for program in ("durable-claude/.venv/bin/durable-claude", ".local/bin/signal-cli"):
        path = home / program
        path.parent.mkdir(parents=True)
        path.write_text('#!/bin/sh\necho "${0##*/}|$DURABLE_CLAUDE_SIGNAL_DAEMON|$DURABLE_CLAUDE_SIGNAL_ACCOUNT|$*"\n')
        path.chmod(0o755)


@pytest.mark.parametrize("path", PLISTS, ids=lambda path: path.name)
def test_launchd_s_commands_run(path: Path, tmp_path: Path) -> None:
    """Each job's shell reads the settings, clears the way and becomes the program, in a home with a space in its name."""
    home = tmp_path / "Ada L"
    stand_ins(home)
    (home / ".config").mkdir()
    (home / ".config/durable-claude.env").write_text("DURABLE_CLAUDE_SIGNAL_ACCOUNT=+15550100000\n")
    run = home / ".local/run/signal-cli"
    run.mkdir(parents=True)
    (run / "socket").touch()

    done = subprocess.run(
        plist(path)["ProgramArguments"],
        env={"HOME": str(home), "PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    daemon = f"-a +15550100000 daemon --socket {run}/socket {' '.join(FLAGS)}"
    wanted = {
        "durable-claude": "durable-claude||+15550100000|up\n",
        "durable-claude-signal": f"durable-claude|{run}/socket|+15550100000|signal\n",
        "signal-cli": f"signal-cli||+15550100000|{daemon}\n",
    }
    assert (done.returncode, done.stdout, done.stderr) == (0, wanted[path.stem], "")
    assert (run / "socket").exists() is (path.stem != "signal-cli")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """systemd's own check has nothing to say about any of them."""
    stand_ins(tmp_path)
    environment = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PATH": os.environ["PATH"]}

    checked = subprocess.run(
        ["systemd-analyze", "verify", "--user", *map(str, UNITS)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
