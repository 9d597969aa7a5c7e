"""The whole promise in one run: a worker is killed in the middle of a turn, and the turn ends as if nothing had been."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from temporalio.client import Client

from demo.messages_api import MessagesApi, Script, Text, Tool
from demo.stage import Stage, Workers, claudes_environment, directories, server, workers
from demo.telling import Fact, JsonTelling, Telling
from demo.trace import Trace, followers, is_living
from runtime.dev_server import DevServer
from runtime.settings import Settings
from runtime.temporal import connect_once
from workflows.client import Sessions
from workflows.messages import Message, SessionOptions, SessionReport, TurnReport

STEPS: Final = 8
# Written out: claude runs `echo` and `sleep` without asking, but asks when it sees a variable.
COMMAND: Final = "; ".join(f"echo step {number}; sleep 1" for number in range(1, STEPS + 1))
PROMPT: Final = f"Run this as one Bash command and say 'All steps done.' afterwards: {COMMAND}"
TURN_ID: Final = "count"

# Each scene takes a few seconds; a busy machine gets this long before the story says that it goes wrong.
_SCENE_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.1
# Keeps a line of the story on a line of the terminal.
_WIDE: Final = 70


T = TypeVar("T")


class StoryFailed(Exception):
    """Something that was promised did not happen."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """All that the story has at hand."""

    telling: Telling
    stage: Stage
    server: DevServer
    workers: Workers
    client: Client
    sessions: Sessions
    session_id: str
    trace: Trace
    api: MessagesApi | None
    """None when the person's own login is used."""


async def tell(settings: Settings, *, as_json: bool = False) -> int:
    """Play the story and say what it proved; 0 when all of it holds. Leaves nothing behind, also when interrupted."""
    telling = JsonTelling() if as_json else Telling()
    telling.title("durable-claude: a worker is killed in the middle of a turn; claude and the turn live on.")
    _interruptible()
    stage: Stage | None = None
    try:
        with directories() as stage:
            async with _scene(telling, stage, settings) as scene:
                facts = await _play(scene)
            facts.append(_left(scene))
            telling.facts(facts)
            if not all(fact.holds for fact in facts):
                raise StoryFailed("not everything that is promised held")
    except Exception as error:  # noqa: BLE001  whatever went wrong, a person gets to know where to look
        telling.line("FAILED", str(error) or type(error).__name__, "bold red")
        telling.aside(f"The logs of the workers, of the server and of the session are in {stage and stage.root}")
        return 1
    telling.title("All of it held, and nothing was left behind.")
    return 0


def _interruptible() -> None:
    """Ctrl-C and a polite kill end the story once, so that it can clear the stage undisturbed."""
    story = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, lambda: None)
        if story is not None:
            story.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, interrupt)


@contextlib.asynccontextmanager
async def _scene(telling: Telling, stage: Stage, settings: Settings) -> AsyncIterator[Scene]:
    session_id = f"demo-{secrets.token_hex(3)}"
    async with contextlib.AsyncExitStack() as stack:
        api = None if settings.environ.get("LIVE") == "1" else await stack.enter_async_context(MessagesApi(SCRIPT))
        telling.aside(_who_plays(api))
        running = await stack.enter_async_context(server(stage))
        telling.line("Temporal", f"dev server on {running.plan.address}, Web UI {running.ui_address}")
        environment = stage.environment(
            running.plan.address, claudes_environment(stage, settings, api.url if api else None)
        )
        if settings.executable:
            environment["DURABLE_CLAUDE_EXECUTABLE"] = str(settings.executable)
        cast = await stack.enter_async_context(workers(stage, environment))
        client = await connect_once(environ=running.plan.connection)
        yield Scene(
            telling=telling,
            stage=stage,
            server=running,
            workers=cast,
            client=client,
            sessions=Sessions(client, SessionOptions(heartbeat_timeout_seconds=3.0)),
            session_id=session_id,
            trace=Trace(session_id=session_id, host=stage.host),
            api=api,
        )


SCRIPT: Final[Script] = {
    PROMPT: [
        Text("I run the steps."),
        Tool("Bash", {"command": COMMAND, "description": "Count the steps"}),
        Text("All steps done."),
    ]
}


def _who_plays(api: MessagesApi | None) -> str:
    if api is None:
        return (
            "LIVE=1: the model is the real one, with your own login. Temporal, workers, shim and claude are real too."
        )
    return (
        "The model is scripted, on this machine: no login, no network. Everything else is real: Temporal, the workers,\n"
        "the shim, the claude CLI and its Bash tool. LIVE=1 uses your own login instead."
    )


async def _play(scene: Scene) -> list[Fact]:
    first = await _start_worker(scene, "worker 1")
    before = await _open(scene)
    await _send(scene)
    await _until_the_tool_runs(scene)
    await _kill(scene, first, before)
    second = await _start_worker(scene, "worker 2")
    turn = await _answer(scene, second)
    after = await scene.sessions.status(scene.session_id)
    facts = [*_facts_of_the_takeover(before, after), *_facts_of_the_turn(scene, turn)]
    facts.append(await _stop(scene))
    await scene.workers.end()
    facts.append(_fact("worker 2 drained on SIGTERM, exit code", second.returncode, 0))
    return facts


async def _start_worker(scene: Scene, name: str) -> Process:
    worker = await scene.workers.start()
    scene.telling.line(name, f"python worker.py, pid {worker.pid}")
    return worker


async def _open(scene: Scene) -> SessionReport:
    await scene.sessions.open(str(scene.stage.project), session_id=scene.session_id)
    report = await _within(scene.sessions.wait_ready(scene.session_id), "the session to be ready")
    if report.status != "ready":
        raise StoryFailed(f"the session did not come up, it is {report.status}: {report.note}")
    scene.telling.line(
        "session", f"{scene.session_id} is ready: claude is pid {report.pid}, its directory {scene.stage.project}"
    )
    return report


async def _send(scene: Scene) -> None:
    await scene.sessions.send(scene.session_id, Message(turn_id=TURN_ID, text=PROMPT))
    scene.telling.line("you", f"Run a Bash command that counts to {STEPS}, a step each second")


async def _until_the_tool_runs(scene: Scene) -> None:
    """Wait until a heartbeat says that the tool runs and its shell can be seen."""
    shown = 0

    def is_running(doing: Mapping[str, Any]) -> bool:
        nonlocal shown
        for number, text in doing.get("actions", []):
            if number > shown:
                scene.telling.line("claude", text if len(text) < _WIDE else text[:_WIDE] + "…", "cyan")
                shown = number
        return str(doing.get("doing", "")).startswith("Bash")

    await _within(_heartbeat(scene, is_running), "claude to run its tool")


async def _within(work: Awaitable[T], wanted: str) -> T:
    try:
        return await asyncio.wait_for(work, _SCENE_SECONDS)
    except TimeoutError:
        raise StoryFailed(f"waited {_SCENE_SECONDS:g} s in vain for {wanted}") from None


async def _heartbeat(scene: Scene, fits: Callable[[Mapping[str, Any]], bool]) -> None:
    while not fits(await scene.sessions.doing(scene.session_id)):
        await asyncio.sleep(_LOOK_SECONDS)


async def _kill(scene: Scene, worker: Process, before: SessionReport) -> None:
    await scene.workers.kill(worker)
    scene.telling.line("worker 1", f"killed with SIGKILL (pid {worker.pid}), in the middle of the tool", "bold red")
    alive = [process.pid for process in scene.trace.processes()]
    if before.pid not in alive:
        raise StoryFailed(f"claude (pid {before.pid}) died with its worker; alive are {alive}")
    scene.telling.line(
        "claude", f"pid {before.pid} works on, with {len(alive) - 1} more processes of its session; no worker is there"
    )


async def _answer(scene: Scene, worker: Process) -> TurnReport:
    following = asyncio.create_task(_until_followed(scene, worker))
    turn = await _within(scene.sessions.wait_turn(scene.session_id, TURN_ID), "the turn's result")
    following.cancel()
    scene.telling.line("claude", turn.ended.text if turn.ended else turn.error, "green" if turn.ended else "red")
    return turn


async def _until_followed(scene: Scene, worker: Process) -> None:
    while not any(f".{worker.pid}." in name for name in await followers(scene.client, scene.session_id)):
        await asyncio.sleep(_LOOK_SECONDS)
    scene.telling.line("worker 2", "follows the same turn of the same process")


def _facts_of_the_takeover(before: SessionReport, after: SessionReport) -> list[Fact]:
    return [
        Fact(
            claim="pid of claude before and after the worker's death",
            shown=f"{before.pid} and {after.pid}",
            holds=before.pid == after.pid and after.generation == 1,
        ),
        _fact("restarts of claude", after.restarts, 0),
    ]


def _facts_of_the_turn(scene: Scene, turn: TurnReport) -> list[Fact]:
    ended = turn.ended
    facts = [
        Fact(
            claim="the turn ended well",
            shown=f"{ended.subtype}, {ended.duration_ms / 1000:.1f} s" if ended else turn.error,
            holds=ended is not None and not ended.is_error,
        ),
        _fact("results of the turn in claude's journal", scene.trace.results(), 1),
    ]
    if scene.api is not None:
        facts += [
            _fact("requests the model got (to begin, after the tool)", scene.api.asked[PROMPT], 2),
            _fact("steps in the tool's output", _steps_seen(scene.api), STEPS),
        ]
    return facts


def _steps_seen(api: MessagesApi) -> int:
    """How many steps the last request of the model shows in a tool's result."""
    blocks = [
        block
        for message in api.requests[-1]["messages"]
        if isinstance(message["content"], list)
        for block in message["content"]
        if block["type"] == "tool_result"
    ]
    return sum(f"step {number}" in str(blocks) for number in range(1, STEPS + 1))


async def _stop(scene: Scene) -> Fact:
    there = scene.trace.processes()
    report = await _within(scene.sessions.stop(scene.session_id), "the session to stop")
    scene.telling.line("session", report.status)
    left = [process for process in {*scene.trace.processes(), *there} if is_living(process)]
    return Fact(
        claim="processes left after the stop",
        shown=f"{len(left)} (there were {len(there)})" + "".join(f", {process}" for process in left),
        holds=report.status == "stopped" and len(there) > 1 and not left,
    )


def _left(scene: Scene) -> Fact:
    """The server is gone too, and so is every process that names the story's directories."""
    return Fact(claim="the Temporal server is gone", shown="yes", holds=not scene.server.is_running)


def _fact(claim: str, found: int | None, wanted: int) -> Fact:
    return Fact(claim=claim, shown=str(found) if found == wanted else f"{found}, not {wanted}", holds=found == wanted)
