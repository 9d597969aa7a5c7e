"""What claude says, as values. Parsing is in claude/protocol.py."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# A line on a phone or in the Web UI; what is longer says no more there.
_DOING_CHARACTERS = 120

# Some lines of a terminal: what a person skims. The journal has the rest.
BEGINNING_CHARACTERS = 2000


@dataclass(frozen=True, kw_only=True)
class ControlAnswered:
    """The answer to a control request, whoever asked.

    With `--replay-user-messages` claude also repeats the answers it was given to its own requests.
    """

    request_id: str
    is_error: bool
    error: str
    response: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class TurnOpened:
    """claude begins to work; also for turns nobody sent, as when a background command ends."""

    model: str
    cli_version: str
    permission_mode: str
    cwd: str
    conversation_id: str


@dataclass(frozen=True, kw_only=True)
class MessageEchoed:
    """claude has read the message."""

    uuid: str
    is_repeat: bool
    """It was known before; this line does not make claude run it again."""
    text: str = ""
    """The beginning of it."""


@dataclass(frozen=True, kw_only=True)
class MessageState:
    """How far claude is with a message. Older versions do not say."""

    uuid: str
    state: str
    """`queued`, `started`, `completed`, `cancelled`, or what a later version adds."""


@dataclass(frozen=True, kw_only=True)
class TextSaid:
    """One block of the answer."""

    text: str
    parent_tool_use_id: str | None
    """The call that started the subagent who says it; None for claude itself."""


@dataclass(frozen=True, kw_only=True)
class ToolCalled:
    """claude uses a tool, perhaps after asking for leave."""

    tool_use_id: str
    tool: str
    input_summary: str
    parent_tool_use_id: str | None


@dataclass(frozen=True, kw_only=True)
class ToolAnswered:
    """The tool is done. All that it gave back stays in the journal."""

    tool_use_id: str
    is_error: bool
    text: str = ""
    """The beginning of what it gave back."""


@dataclass(frozen=True, kw_only=True)
class PermissionAsked:
    """claude waits for leave to use a tool. The request dies with the process."""

    request_id: str
    tool: str
    input: Mapping[str, Any]
    reason: str
    tool_use_id: str
    suggestions: tuple[Mapping[str, Any], ...]
    needs_person: bool = False
    """It is a question of claude's own or a plan: leave for tools in general does not answer it."""


@dataclass(frozen=True, kw_only=True)
class PermissionWithdrawn:
    """claude no longer waits for that leave."""

    request_id: str


@dataclass(frozen=True, kw_only=True)
class ApiAwaited:
    """The model's API did not answer; claude tries again by itself."""

    attempt: int
    max_attempts: int


@dataclass(frozen=True, kw_only=True)
class TurnResult:
    """The end of a turn, good or bad."""

    text: str
    subtype: str
    """`success` or `error_…`."""
    is_error: bool
    message_ids: tuple[str, ...]
    """The messages it answers: none for a turn nobody sent, and from versions that do not say."""
    cost_usd: float
    """What this turn cost; from a version that tells only the total, that."""
    total_cost_usd: float
    """What the conversation has cost as far as this process knows: it starts over after a kill."""
    duration_ms: int
    num_turns: int
    input_tokens: int
    output_tokens: int
    errors: tuple[str, ...]
    api_error: str = ""
    """What the Messages API called its refusal: `authentication_error`, `overloaded_error`, …"""
    terminal_reason: str = ""
    """What ended it: `completed`, `aborted_tools`, `api_error`, …; empty from a version that does not say."""


@dataclass(frozen=True, kw_only=True)
class Other:
    """A line that is well formed and of no interest, or of a kind that a later version added."""

    type: str
    subtype: str | None


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A line that is not what the protocol promises; the whole of it stays in the journal."""

    head: str
    error: str


Event = (
    ControlAnswered
    | TurnOpened
    | MessageEchoed
    | MessageState
    | TextSaid
    | ToolCalled
    | ToolAnswered
    | PermissionAsked
    | PermissionWithdrawn
    | ApiAwaited
    | TurnResult
    | Other
    | Unreadable
)

# The field of a tool's input that says most about the call, the most telling first.
_TELLING = (
    "command",
    "file_path",
    "notebook_path",
    "path",
    "pattern",
    "url",
    "query",
    "description",
    "prompt",
    "skill",
)


def doing(event: Event) -> str | None:
    """What a person should read about it; None when it is nothing worth saying."""
    match event:
        case TextSaid(text=text, parent_tool_use_id=None) if text.strip():
            return f"writes: {short(text)}"
        case ToolCalled(tool=tool, input_summary=summary):
            return f"{tool}: {summary}" if summary else tool
        case PermissionAsked(tool=tool, input=given):
            return f"asks leave for {tool}: {input_summary(given)}".removesuffix(": ")
        case ApiAwaited(attempt=attempt, max_attempts=limit):
            return f"waits for the API (try {attempt} of {limit})"
        case _:
            return None


def input_summary(given: Mapping[str, Any]) -> str:
    """The one thing in a tool's input that a person wants to see, on one short line."""
    texts = {name: value for name, value in given.items() if isinstance(value, str)}
    telling = next((texts[name] for name in _TELLING if name in texts), "")
    return short(telling or next(iter(texts.values()), ""))


def short(text: str) -> str:
    """The text on one line of at most 120 characters."""
    line = " ".join(text[: 4 * _DOING_CHARACTERS].split())
    return line if len(line) <= _DOING_CHARACTERS else line[: _DOING_CHARACTERS - 1] + "…"
