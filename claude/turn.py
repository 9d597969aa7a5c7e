"""One turn as a reader of events sees it, wherever in the journal the reading began. No I/O."""

from collections import deque

from claude.events import (
    ControlAnswered,
    Event,
    MessageEchoed,
    MessageState,
    PermissionAsked,
    PermissionWithdrawn,
    TextSaid,
    ToolAnswered,
    ToolCalled,
    TurnResult,
    doing,
)

# What a person can take in at a glance; the journal has them all.
_ACTIONS_KEPT = 20


class TurnReader:
    """Follows the turn of one message; results of other turns, earlier or unasked for, pass by.

    Feed it every event from where the message may first appear in the journal of one process.
    """

    def __init__(self, message_uuid: str) -> None:
        self.message_uuid = message_uuid
        self.delivered = False
        """claude has the message; sending it again changes nothing."""
        self.is_echo_only = False
        """claude knew the message from before its restart and does not go on: it needs a new one to continue."""
        self.doing = ""
        self.actions: deque[tuple[int, str]] = deque(maxlen=_ACTIONS_KEPT)
        """The latest things claude did, each with its number in the turn."""
        self.tool_calls = 0
        self.pending: PermissionAsked | None = None
        """The request that waits for an answer now, whichever turn it belongs to."""
        self._texts: list[str] = []
        self._tools_at_work: set[str] = set()
        self._has_begun = False
        self._results_are_tied = False

    @property
    def text(self) -> str:
        """What claude itself has said in the turn so far."""
        return "\n\n".join(self._texts)

    @property
    def waits_for_others(self) -> bool:
        """A tool is at work, or a person is asked: that claude says nothing means nothing."""
        return bool(self._tools_at_work) or self.pending is not None

    def feed(self, event: Event) -> TurnResult | PermissionAsked | None:
        """Take the next event; return it when the turn ends with it or cannot go on without an answer."""
        match event:
            case MessageState():
                self._take_state(event)
            case MessageEchoed(uuid=self.message_uuid):
                self._take_echo(event)
            case TurnResult():
                self.pending = None
                self._tools_at_work.clear()
                return event if self._is_ours(event) else None
            case ControlAnswered(request_id=request_id) | PermissionWithdrawn(request_id=request_id):
                self._settle(request_id)
            case PermissionAsked():
                self.pending = event
            case ToolCalled():
                self._tools_at_work.add(event.tool_use_id)
            case ToolAnswered():
                self._tools_at_work.discard(event.tool_use_id)
            case _:
                pass
        return self._take_work(event) if self._has_begun else None

    def _take_state(self, event: MessageState) -> None:
        self._results_are_tied = True
        if event.uuid != self.message_uuid:
            return
        self.delivered = True
        if event.state == "started":
            self._begin()
        elif event.state in ("completed", "cancelled") and not self._has_begun:
            self.is_echo_only = True

    def _take_echo(self, event: MessageEchoed) -> None:
        self.delivered = True
        if not event.is_repeat:
            self._begin()
        elif not self._has_begun:
            self.is_echo_only = True

    def _begin(self) -> None:
        self._has_begun = True
        self.is_echo_only = False
        self.doing = self.doing or "thinks"

    def _is_ours(self, result: TurnResult) -> bool:
        if result.message_ids:
            self._results_are_tied = True
            return self.message_uuid in result.message_ids
        # A claude that names messages names none for a turn nobody sent; one that never does is taken at its order.
        return self._has_begun and not self._results_are_tied

    def _settle(self, request_id: str) -> None:
        if self.pending is not None and self.pending.request_id == request_id:
            self.pending = None

    def _take_work(self, event: Event) -> PermissionAsked | None:
        if isinstance(event, ToolAnswered):
            self.doing = "thinks"
        if isinstance(event, ToolCalled):
            self.tool_calls += 1
        if isinstance(event, TextSaid) and event.parent_tool_use_id is None:
            self._texts.append(event.text)
        if said := doing(event):
            self.doing = said
            self.actions.append((self.actions[-1][0] + 1 if self.actions else 1, said))
        return event if isinstance(event, PermissionAsked) else None
