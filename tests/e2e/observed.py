"""One session from start to stop under a worker that logs, counts and traces: what it told of it."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.messages_api import Text, Tool
from demo.stage import free_ports
from tests.e2e.collector import Collector, collecting
from tests.e2e.command_line import CommandLine, Ran, finish
from tests.e2e.exposition import samples
from tests.e2e.scene import Scene, playing, until
from workflows.messages import SessionReport

SESSION = "seen"
TURN = "first-turn"
PROMPT = "a prompt nobody may read"
ANSWER = "an answer nobody may read"
OUTPUT = "what the tool printed"
COMMAND = "cat notes.txt && touch made-by-claude"
KEY = "the-key-of-the-account"


@dataclass(frozen=True, kw_only=True)
class Told:
    """Everything that came out of the worker and the commands."""

    log: list[dict[str, Any]]
    metrics: str
    traces: Collector
    restarted: SessionReport

    @property
    def log_text(self) -> str:
        return json.dumps(self.log)


async def tell() -> Told:
    """Start, ask and approve by commands, kill claude, stop; then drain the worker."""
    port, _ = free_ports()
    with collecting() as traces:
        otel = {"OTEL_EXPORTER_OTLP_ENDPOINT": traces.url}
        async with playing(
            **otel,
            DURABLE_CLAUDE_LOG_FORMAT="json",
            # The most that anybody can ask for: libraries would print whole messages.
            DURABLE_CLAUDE_LOG_LEVEL="debug",
            DURABLE_CLAUDE_METRICS_ADDRESS=f"localhost:{port}",
            ANTHROPIC_API_KEY=KEY,
        ) as scene:
            run = CommandLine(scene.stage, otel)
            restarted = await live(scene, run)
            metrics = await until(lambda: scrape(port))
            done(await run("stop", SESSION))
            await scene.workers.end()
            return Told(log=lines(scene.workers.log(1)), metrics=metrics, traces=traces, restarted=restarted)


async def live(scene: Scene, run: CommandLine) -> SessionReport:
    """A turn with a question, and a death of claude; returns the session after it."""
    (scene.stage.project / "notes.txt").write_text(OUTPUT)
    scene.api.script[PROMPT] = [Tool("Bash", {"command": COMMAND}), Text(ANSWER)]
    await scene.new_worker()
    done(await run("start", ".", "--name", SESSION))
    report = await scene.sessions.status(SESSION)
    sending = await run.begin("send", SESSION, PROMPT, "--turn-id", TURN)
    await scene.asked(report)
    done(await run("approve", SESSION))
    assert ANSWER in done(await finish(sending)).stdout
    await scene.kill_claude(report)
    return await scene.sessions.status(SESSION)


def done(ran: Ran) -> Ran:
    """A command that has done what it should."""
    assert ran.code == 0, ran
    return ran


def lines(log: Path) -> list[dict[str, Any]]:
    """A log of which every line is one event."""
    return [json.loads(line) for line in log.read_text().splitlines()]


async def scrape(port: int) -> str:
    """The metrics, once the worker has looked at its session and counted it; empty until then."""
    url = f"http://127.0.0.1:{port}/metrics"
    text: str = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
    found = {(sample.name, sample.labels.get("status", "")): sample.value for sample in samples(text)}
    has_looked = found.get(("durable_claude_processes_resident_memory_bytes", ""), 0) > 0
    return text if has_looked and found.get(("durable_claude_sessions", "ready")) == 1 else ""
