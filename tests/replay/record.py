"""Record histories to be kept: `python -m tests.replay.record [kind …]`. What is kept is never written again.

A history that fails to replay is a change that would break sessions which live: mend the change, not the history.
A new kind of life gets a function in lives.py, and is recorded once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from temporalio.client import Client
from temporalio.testing import TimeSkippingConfig, WorkflowEnvironment

from runtime.codec import converter
from runtime.temporal import temporal_binary
from tests.replay.lives import KEY, LIVES, OPTIONS, OWN_HOSTS, Life
from tests.workflow.conftest import SKIPPING, Desk, ScriptedHost, host_working, workflows_working
from workflows.attributes import KEYS
from workflows.client import Sessions
from workflows.messages import SessionOptions
from workflows.session import SessionWorkflow

HISTORIES: Final = Path(__file__).parent / "histories"


class AlreadyKept(Exception):
    """There is a history of that kind: it stays as it is."""


def path_of(kind: str, run: int = 0) -> Path:
    """Where the history of a run is kept; all but the first run of a life have their number."""
    return HISTORIES / (f"{kind}.json" if run == 0 else f"{kind}.{run + 1}.json")


def keep(path: Path, history: str) -> None:
    """Write a history that is not there yet; raises AlreadyKept otherwise."""
    for private in (str(Path.cwd()), sys.prefix, str(Path.home()), socket.gethostname()):
        if re.search(rf"(?<!\w){re.escape(private)}(?!\w)", history):
            raise ValueError(f"the history names {private!r}: nothing of the recording machine is kept")
    try:
        with path.open("x") as file:
            file.write(history)
    except FileExistsError:
        raise AlreadyKept(f"{path.name} is kept already, and is not written again") from None


async def record(environment: WorkflowEnvironment, kind: str) -> None:
    """Live one life and keep its history, run by run."""
    if path_of(kind).exists():
        raise AlreadyKept(f"{path_of(kind).name} is kept already, and is not written again")
    client, host = client_of(environment, kind), ScriptedHost()
    desk = desk_of(environment, kind, client)
    async with workflows_working(client, host), _hosted(kind, client, host):
        await LIVES[kind](Life(client=client, desk=desk, host=host))
    for run, history in enumerate(await _runs(client, desk.handle.id)):
        keep(path_of(kind, run), history)


def client_of(environment: WorkflowEnvironment, kind: str) -> Client:
    """The server's client; one kind of life is lived encrypted."""
    config: dict[str, Any] = {**environment.client.config()}
    return Client(**config | ({"data_converter": converter([KEY])} if kind == "encrypted" else {}))


def desk_of(environment: WorkflowEnvironment, kind: str, client: Client) -> Desk:
    """A desk whose session has the name of its kind."""
    options = OPTIONS.get(kind, SessionOptions())
    desk = Desk(environment, options)
    desk.session_id = kind
    desk.sessions = Sessions(client, options)
    desk.handle = client.get_workflow_handle_for(SessionWorkflow.run, f"session-{kind}")
    return desk


@contextlib.asynccontextmanager
async def server() -> AsyncIterator[WorkflowEnvironment]:
    """A server whose clocks can be moved."""
    flags = [part for flag in SKIPPING for part in ("--dynamic-config-value", flag)]
    async with await WorkflowEnvironment.start_time_skipping_v2(
        ts_config=TimeSkippingConfig(enabled=False),
        dev_server_existing_path=str(temporal_binary()),
        dev_server_extra_args=flags,
        search_attributes=KEYS,
        dev_server_log_level="error",
        identity="recorder",
    ) as started:
        yield started


def _hosted(kind: str, client: Client, host: ScriptedHost) -> contextlib.AbstractAsyncContextManager[None]:
    """The host works all the time, except where the life is about its host."""
    return contextlib.nullcontext() if kind in OWN_HOSTS else host_working(client, host)


async def _runs(client: Client, workflow_id: str) -> list[str]:
    """The histories of all runs, the first one first."""
    latest = await client.get_workflow_handle(workflow_id).fetch_history()
    run_id = latest.events[0].workflow_execution_started_event_attributes.first_execution_run_id
    runs = []
    while run_id:
        history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
        runs.append(json.dumps(_untraced(history.to_json_dict()), indent=1) + "\n")
        run_id = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return runs


def _untraced(value: Any) -> Any:
    """Without stack traces: they name the files of the recording machine, and no replay reads them."""
    if isinstance(value, dict):
        return {name: _untraced(part) for name, part in value.items() if name != "stackTrace"}
    return [_untraced(part) for part in value] if isinstance(value, list) else value


async def main(kinds: list[str]) -> int:
    """Record the kinds that are named, or all that are not kept yet."""
    # Deaths and questions are played as failures; what the SDK says of each hides what was recorded.
    logging.disable(logging.CRITICAL)
    HISTORIES.mkdir(exist_ok=True)
    wanted = kinds or [kind for kind in LIVES if not path_of(kind).exists()]
    async with server() as environment:
        for kind in wanted:
            try:
                await record(environment, kind)
            except AlreadyKept as error:
                print(error, file=sys.stderr)
                return 1
            print(f"{kind} is kept")
    return 0


if __name__ == "__main__":
    code = asyncio.run(main(sys.argv[1:]))
    sys.stdout.flush()
    # The SDK's threads can abort an interpreter that is taken down in the usual way.
    os._exit(code)
