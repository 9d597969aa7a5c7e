"""A host with simulated claudes that keep a journal, ask, die, are resumed and take each message once, as real ones do."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.calls import (
    AnswerPermission,
    ClaudeEnded,
    ClaudeStarted,
    InterruptTurn,
    PermissionNeeded,
    SendTurn,
    StartClaude,
    StopClaude,
    TurnEnded,
    TurnStep,
    WatchClaude,
)
from activities.failures import CLAUDE_GONE, FENCED

COST_USD = 0.25
# A cancelled activity is told with a heartbeat.
BEAT_SECONDS = 0.25


def gone() -> ApplicationError:
    """What an activity says of a claude that is not there."""
    return ApplicationError("claude is gone", type=CLAUDE_GONE, non_retryable=True)


@dataclass
class Work:
    """One turn as claude's transcript knows it: what is left to do. A message's text is its program."""

    turn_id: str
    left: list[str]
    asked: int = 0


@dataclass
class Claude:
    """One session's claude over all its processes; the transcript outlives them."""

    generation: int = 0
    fence: int = 0
    is_alive: bool = False
    spawned: list[int] = field(default_factory=list)
    transcript: dict[str, Work] = field(default_factory=dict)
    inbox: list[str] = field(default_factory=list)
    results: dict[tuple[int, str], TurnEnded] = field(default_factory=dict)
    question: PermissionNeeded | None = None
    answered: set[str] = field(default_factory=set)
    interrupted: set[str] = field(default_factory=set)
    endings: dict[int, ClaudeEnded] = field(default_factory=dict)
    began: list[str] = field(default_factory=list)
    runs: Counter[str] = field(default_factory=Counter)
    tools: list[tuple[str, str]] = field(default_factory=list)
    holds: bool = True
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self) -> None:
        """Wake everybody who looks on."""
        self.news.set()
        self.news = asyncio.Event()

    def spawn(self, generation: int) -> None:
        """A new process that resumes the conversation; what it was told before it must be told again."""
        self.generation, self.is_alive = generation, True
        self.spawned.append(generation)
        self.inbox, self.question = [], None
        self.tell()

    def die(self, why: str = "exited") -> None:
        """The process ends; its journal and its transcript stay."""
        if self.is_alive:
            self.is_alive, self.question = False, None
            self.endings[self.generation] = ClaudeEnded(generation=self.generation, code=1, why=why)
            self.tell()

    def take(self, turn_id: str, text: str) -> None:
        """Take a message, each uuid once per process. One that the transcript knows is gone on with."""
        if turn_id in self.inbox:
            return
        self.inbox.append(turn_id)
        if turn_id not in self.transcript:
            self.began.append(turn_id)
            self.transcript[turn_id] = Work(turn_id, text.split())
        self.work()

    def work(self) -> None:
        """Go on until something has to be waited for."""
        for turn_id in self.inbox:
            while self.is_alive and (self.generation, turn_id) not in self.results:
                if not self._step(self.transcript[turn_id]):
                    return

    def _step(self, work: Work) -> bool:
        word = work.left[0] if work.left else "end"
        if word == "ask":
            digest = f"{work.turn_id}/{work.asked}"
            request = f"{digest}/{self.generation}"
            if self.question is None:
                self.question = PermissionNeeded(
                    turn_id=work.turn_id, request_id=request, tool="Bash", input={}, digest=digest
                )
                self.tell()
            return False
        if word == "hold" and self.holds:
            return False
        if work.left:
            work.left.pop(0)
        if word == "die":
            self.die()
        elif word == "end":
            self.finish(work)
        return True

    def finish(self, work: Work, kind: str = "") -> None:
        """A result is written into the journal."""
        self.runs[work.turn_id] += 1
        work.left, self.question = [], None
        self.results[self.generation, work.turn_id] = TurnEnded(
            turn_id=work.turn_id,
            text="done",
            cost_usd=COST_USD,
            error_kind="interrupted" if kind else "",
            journal_end=1,
        )
        self.tell()


class SimulatedHost:
    """The activities of a host, for any number of sessions."""

    def __init__(self, name: str) -> None:
        self.queue, self.watch_queue = f"claude-host-{name}", f"claude-host-{name}-watch"
        self.claudes: dict[str, Claude] = {}

    def of(self, call: StartClaude | WatchClaude | SendTurn | AnswerPermission | InterruptTurn | StopClaude) -> Claude:
        """The claude that a call is for, unless a later generation has taken over."""
        claude = self.claudes.setdefault(call.session_id, Claude())
        if call.generation < claude.fence:
            raise ApplicationError("fenced", claude.fence, type=FENCED, non_retryable=True)
        claude.fence = call.generation
        return claude

    @activity.defn(name="start_claude")
    async def start(self, call: StartClaude) -> ClaudeStarted:
        claude = self.of(call)
        is_adopted = claude.is_alive
        if not is_adopted:
            claude.spawn(call.generation)
        return ClaudeStarted(
            host_id="here",
            host_queue=self.queue,
            watch_queue=self.watch_queue,
            pid=4000 + claude.generation,
            generation=claude.generation,
            journal_end=0,
            conversation="adopted" if is_adopted else "resumed",
        )

    @activity.defn(name="watch_claude")
    async def watch(self, call: WatchClaude) -> ClaudeEnded:
        claude = self.of(call)
        while claude.is_alive:
            await _news(claude)
        return claude.endings[claude.generation]

    @activity.defn(name="send_turn")
    async def send(self, call: SendTurn) -> TurnStep:
        claude = self.of(call)
        generation = claude.generation
        if claude.is_alive:
            claude.take(call.turn_id, call.text)
        while True:
            if ended := claude.results.get((generation, call.turn_id)):
                return TurnStep(ended=ended)
            if not claude.is_alive or claude.generation != generation:
                raise gone()
            asked = claude.question
            if asked is not None and asked.turn_id == call.turn_id and asked.request_id not in call.asked:
                return TurnStep(permission=asked)
            await _news(claude)

    @activity.defn(name="answer_permission")
    async def answer(self, call: AnswerPermission) -> None:
        claude = self.of(call)
        if call.request_id in claude.answered:
            return
        asked = claude.question
        if not claude.is_alive or asked is None or asked.request_id != call.request_id:
            raise gone()
        claude.answered.add(call.request_id)
        work = claude.transcript[asked.turn_id]
        work.left.pop(0)
        work.asked += 1
        claude.question = None
        if call.behavior == "allow":
            claude.tools.append((asked.turn_id, asked.digest))
        claude.work()

    @activity.defn(name="interrupt_turn")
    async def interrupt(self, call: InterruptTurn) -> None:
        claude = self.of(call)
        if not claude.is_alive:
            raise gone()
        if call.request_id not in claude.interrupted and claude.inbox:
            claude.interrupted.add(call.request_id)
            if (claude.generation, claude.inbox[-1]) not in claude.results:
                claude.finish(claude.transcript[claude.inbox[-1]], "interrupted")

    @activity.defn(name="stop_claude")
    async def stop(self, call: StopClaude) -> ClaudeEnded | None:
        claude = self.of(call)
        claude.die("stopped")
        return claude.endings.get(claude.generation)


async def _news(claude: Claude) -> None:
    activity.heartbeat()
    try:
        await asyncio.wait_for(claude.news.wait(), BEAT_SECONDS)
    except TimeoutError:
        return
