"""What activities tell of themselves: ids on every line they log, a line for what came of them, and their figures."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

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
from activities.failures import WORKER_DRAINING
from activities.figures import Figures, decision, reason
from activities.host import Host
from activities.outcomes import ended
from activities.roster import Roster
from shim.client import read_exit

# What is bound to the lines of a call, and the field of the call that says it.
_IDS: Final = {"session": "session_id", "generation": "generation", "turn": "turn_id"}

log = structlog.get_logger(__name__)


class Observer(Interceptor):
    """Looks at every activity of a worker and changes nothing about it."""

    def __init__(self, host: Host, roster: Roster, figures: Figures, *, tells_content: bool = False) -> None:
        self.host = host
        self.roster = roster
        self.figures = figures
        self.tells_content = tells_content

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Look at one activity."""
        return _Observed(next, self)

    def ids(self, call: Any) -> dict[str, Any]:
        """What names the session, turn and process that a call is about."""
        known = {name: getattr(call, field) for name, field in _IDS.items() if hasattr(call, field)}
        # These say nothing of the turn, which is the one that is under way.
        if isinstance(call, AnswerPermission | InterruptTurn) and (turn := self.roster.turns.get(call.session_id)):
            known["turn"] = turn.turn_id
        return known

    def begins(self, call: Any, scheduled: datetime) -> None:
        """An attempt begins of what was handed to the host at that time."""
        if isinstance(call, SendTurn):
            self.roster.begins(call.session_id, call.turn_id, scheduled.timestamp())
            # Each answer takes the turn up again; its message is told once.
            if not call.asked:
                log.info("turn is followed", attachments=len(call.attachments), **self._content(message=call.text))

    def beats(self, call: Any, details: Any) -> None:
        """An attempt says that it lives, and what it sees."""
        if not isinstance(details, dict):
            return
        if isinstance(call, WatchClaude):
            self.roster.seen(call.session_id, details)
        elif isinstance(call, SendTurn):
            self.roster.followed(call.session_id, details)
            if request_id := details.get("asks"):
                self.roster.asked(call.session_id, request_id, time.monotonic())

    def returned(self, call: Any, result: Any, seconds: float) -> None:
        """An attempt came to its result."""
        match call, result:
            case StartClaude(), ClaudeStarted():
                self._started(call, result, seconds)
            case WatchClaude() | StopClaude(), ClaudeEnded():
                self._ended(call, result)
            case SendTurn(), TurnStep(permission=PermissionNeeded() as needed):
                self._asked(call, needed)
            case SendTurn(), TurnStep(ended=TurnEnded() as turn):
                self._turn_ended(call, turn)
            case SendTurn(), TurnStep():
                log.warning("claude is silent", quiet_seconds=call.quiet_seconds)
            case AnswerPermission(), _:
                self._answered(call)
            case InterruptTurn(), _:
                log.info("turn is interrupted")

    def raised(self, call: Any, error: BaseException) -> None:
        """An attempt failed or was let go; the SDK logs what failed."""
        is_handed_over = isinstance(error, ApplicationError) and error.type == WORKER_DRAINING
        if isinstance(call, StartClaude) and isinstance(error, Exception) and not is_handed_over:
            self.figures.start_failed()

    def left(self, call: Any) -> None:
        """An attempt is over, however it ended."""
        if isinstance(call, SendTurn):
            self.roster.unfollowed(call.session_id)
        if isinstance(call, WatchClaude):
            self.roster.unwatched(call.session_id)

    def _started(self, call: StartClaude, started: ClaudeStarted, seconds: float) -> None:
        how = ""
        if started.conversation != "adopted":
            self.roster.started(call.session_id, started.pid)
            how = self._end_before(call.session_id, started.generation)
        self.figures.started(started, seconds, how)

    def _end_before(self, session_id: str, generation: int) -> str:
        """How the process before this one ended; a start that failed left no record."""
        directory = self.host.directory.session(session_id)
        records = (read_exit(directory, earlier) for earlier in range(generation - 1, 0, -1))
        return next((reason(ended(record, "")) for record in records if record is not None), "")

    def _ended(self, call: WatchClaude | StopClaude, ended: ClaudeEnded) -> None:
        self.roster.ended(call.session_id)
        event = "claude has ended" if isinstance(call, WatchClaude) else "claude is stopped"
        log.info(event, why=ended.why, code=ended.code, signal=ended.signal, survivors=ended.survivors)

    def _asked(self, call: SendTurn, needed: PermissionNeeded) -> None:
        self.roster.asked(call.session_id, needed.request_id, time.monotonic())
        self.figures.asked(needed)
        log.info("claude asks", tool=needed.tool, request_id=needed.request_id)

    def _answered(self, call: AnswerPermission) -> None:
        self.roster.answered(call.session_id, call.request_id)
        self.figures.answered(call)
        log.info("claude has its answer", decision=decision(call), request_id=call.request_id)

    def _turn_ended(self, call: SendTurn, turn: TurnEnded) -> None:
        self.roster.turn_ended(call.session_id)
        self.figures.turn_ended(turn)
        log.info(
            "turn has ended",
            outcome=turn.error_kind or "ok",
            seconds=turn.duration_ms / 1000,
            cost_usd=turn.cost_usd,
            input_tokens=turn.input_tokens,
            output_tokens=turn.output_tokens,
            tool_calls=turn.tool_calls,
            **self._content(answer=turn.text),
        )

    def _content(self, **said: str) -> dict[str, str]:
        return said if self.tells_content else {}


class _Observed(ActivityInboundInterceptor):
    """One attempt of one activity."""

    def __init__(self, next: ActivityInboundInterceptor, observer: Observer) -> None:
        super().__init__(next)
        self._observer = observer
        self.call: Any = None

    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        self.next.init(_Beats(outbound, self._observer, self))

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        self.call = input.args[0] if input.args else None
        # Never unbound: the attempt has a task of its own, and the SDK's last words on it come after this.
        structlog.contextvars.bind_contextvars(**self._observer.ids(self.call))
        since = time.monotonic()
        tell(self._observer.begins, self.call, activity.info().scheduled_time)
        try:
            result = await self.next.execute_activity(input)
        except BaseException as error:
            tell(self._observer.raised, self.call, error)
            raise
        else:
            tell(self._observer.returned, self.call, result, time.monotonic() - since)
            return result
        finally:
            tell(self._observer.left, self.call)


class _Beats(ActivityOutboundInterceptor):
    def __init__(self, next: ActivityOutboundInterceptor, observer: Observer, observed: _Observed) -> None:
        super().__init__(next)
        self._observer = observer
        self._observed = observed

    def heartbeat(self, *details: Any) -> None:
        tell(self._observer.beats, self._observed.call, details[0] if details else None)
        self.next.heartbeat(*details)


def tell(how: Callable[..., None], *what: Any) -> None:
    """Tell of an activity; that this goes wrong must not change what becomes of it."""
    try:
        how(*what)
    except Exception:
        log.exception("an activity could not be told of")
