"""The log of a worker: whose line it is, and nothing of what is said."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process

from demo.messages_api import Text
from demo.stage import directories, server
from runtime.dev_server import DevServer
from tests.e2e.command_line import ROOT, line_with
from tests.e2e.observed import ANSWER, COMMAND, KEY, OUTPUT, PROMPT, SESSION, TURN, Told, lines
from tests.e2e.scene import playing

# A client that has lost its server and tries for a while; with an argument as commands do it.
LOST = """
import asyncio, contextlib, os, sys
from datetime import timedelta
from runtime.quiet import prepare_quiet_runtime
from runtime.temporal import connect_once

async def main():
    client = await connect_once()
    print("connected", flush=True)
    sys.stdin.read()
    with contextlib.suppress(Exception):
        await client.get_workflow_handle("nobody").describe(rpc_timeout=timedelta(seconds=6))

if len(sys.argv) > 1:
    prepare_quiet_runtime()
asyncio.run(main())
sys.stdout.flush()
os._exit(0)
"""
# What says that a line is about the session.
MARKS = ("workflow_id", "session", "activity_id", "turn")
# What a turn's activity is logged with.
IDS = {"session", "generation", "host", "workflow_id", "run_id", "activity", "activity_id", "attempt"}
OF_TURNS = {"turn is followed", "claude asks", "claude has its answer", "turn has ended"}


def test_every_line_of_a_session_says_whose_it_is(observed: Told) -> None:
    """Session, generation, host and Temporal's ids are on each line of an activity, and the turn where there is one."""
    about = [line for line in observed.log if any(mark in line for mark in MARKS)]
    told = {line["event"] for line in about}

    assert told >= OF_TURNS | {"claude is ready", "claude has ended"}
    assert [line for line in about if not line.keys() >= IDS] == []
    assert {line["session"] for line in about} == {SESSION}
    assert {line["generation"] for line in about} == {1, 2}
    assert [line for line in about if line["event"] in OF_TURNS and line.get("turn") != TURN] == []
    assert len({line["host"] for line in observed.log}) == 1


def test_lines_of_a_turn_name_its_trace(observed: Told) -> None:
    """Where traces are sent, a line leads to its trace."""
    known = {span.trace_id.hex() for span in observed.traces.spans}
    turns = [line for line in observed.log if line["event"] == "turn has ended"]

    assert turns
    assert {line["trace_id"] for line in turns} <= known


def test_the_log_holds_nothing_of_what_is_said(observed: Told) -> None:
    """Prompt, answer, tool, its output and the key are nowhere in it, at the level that says most."""
    secrets = (PROMPT, ANSWER, COMMAND, OUTPUT, KEY)

    assert [secret for secret in secrets if secret in observed.log_text] == []


def test_an_orderly_life_logs_no_error(observed: Told) -> None:
    """Handing over to the next worker is no failure, nor is a turn that ends with its process."""
    assert [line for line in observed.log if line["level"] not in ("debug", "info")] == []


async def test_message_and_answer_are_logged_when_asked_for() -> None:
    """DURABLE_CLAUDE_LOG_CONTENT puts them on the lines where a turn begins and ends."""
    async with playing(DURABLE_CLAUDE_LOG_CONTENT="1", DURABLE_CLAUDE_LOG_FORMAT="json") as scene:
        scene.api.script[PROMPT] = [Text(ANSWER)]
        await scene.new_worker()
        session = await scene.open()
        await scene.begin(session, PROMPT)
        await scene.end(session, PROMPT)
        await scene.stop(session)
        await scene.workers.end()
        log = {line["event"]: line for line in lines(scene.workers.log(1))}

    assert log["turn is followed"]["message"] == PROMPT
    assert log["turn has ended"]["answer"] == ANSWER


async def test_the_output_of_a_command_is_its_own() -> None:
    """While the server is away the SDK tries again and says so on stdout; not in a command, where a script reads on."""
    with directories() as stage:
        async with server(stage) as running:
            clients = [await lost(running, *how) for how in ([], ["as a command"])]
            await running.stop()
            told = [out.decode() for out, _ in await asyncio.gather(*(client.communicate(b"") for client in clients))]

    assert "retried" in told[0]
    assert told[1] == ""


async def lost(running: DevServer, *how: str) -> Process:
    """The client above, once it is connected."""
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LOST, *how),
        env={"PYTHONPATH": str(ROOT), **running.plan.connection},
        stdin=PIPE,
        stdout=PIPE,
    )
    assert client.stdout is not None
    await line_with(client.stdout, "connected")
    return client
