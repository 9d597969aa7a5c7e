"""What claude wrote as a person reads it: lines of a journal in, things that happened out. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from claude import protocol
from claude.events import (
    ApiAwaited,
    Event,
    MessageEchoed,
    PermissionAsked,
    TextSaid,
    ToolAnswered,
    ToolCalled,
    TurnResult,
    Unreadable,
    input_summary,
    short,
)
from workflows.reading import Written

Kind = Literal["asked", "said", "tool", "answer", "question", "waiting", "result", "restart", "unreadable"]

# What a tool gave back is skimmed; the journal has all of it.
ANSWER_LINES: Final = 3


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that happened. `more` is for programs."""

    kind: Kind
    text: str
    generation: int
    offset: int
    is_error: bool = False
    is_nested: bool = False
    """A subagent did it."""
    more: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The item as a program reads it."""
        return {"text": self.text, "generation": self.generation, "offset": self.offset, **self.more}


class Teller:
    """Tells the lines of one session in their order; a process that took another one's place is said between them."""

    def __init__(self) -> None:
        self._generation = 0

    def tell(self, line: Written) -> list[Item]:
        """What the line says that a person wants to know; often nothing."""
        items = [_item(event, line) for event in protocol.parse(as_bytes(line.text))]
        told = [item for item in items if item is not None]
        if line.generation != self._generation:
            if self._generation:
                told.insert(0, _restart(line))
            self._generation = line.generation
        return told


def as_bytes(text: str) -> bytes:
    """The line as claude wrote it."""
    return text.encode("utf-8", "surrogateescape")


def as_lines(item: Item) -> list[str]:
    """The item as lines for a person, without colour."""
    indent = "    " if item.is_nested else ""
    match item.kind:
        case "asked":
            return _prefixed("› ", item.text)
        case "said":
            return [indent + line for line in item.text.splitlines()]
        case "answer":
            return [f"{indent}    {line}" for line in _skimmed(item.text)]
        case "restart":
            return [f"── {item.text} ──"]
        case "result":
            return _prefixed("  ", item.text)
        case _:
            return _prefixed(f"{indent}  ", item.text)


def _item(event: Event, line: Written) -> Item | None:
    told = _told(event)
    if told is None:
        return None
    kind, text, more = told
    is_error = more.get("is_error") is True or kind == "unreadable"
    is_nested = getattr(event, "parent_tool_use_id", None) is not None
    return Item(
        kind=kind,
        text=text,
        generation=line.generation,
        offset=line.end,
        is_error=is_error,
        is_nested=is_nested,
        more=more,
    )


def _told(event: Event) -> tuple[Kind, str, dict[str, Any]] | None:
    match event:
        case MessageEchoed(is_repeat=False, text=text) if text.strip():
            return "asked", text, {"message": event.uuid}
        case TextSaid(text=text) if text.strip():
            return "said", text, {}
        case ApiAwaited(attempt=attempt, max_attempts=limit):
            return "waiting", f"waits for the API (try {attempt} of {limit})", {}
        case TurnResult():
            return "result", _result(event), _figures(event)
        case Unreadable(head=head):
            return "unreadable", f"not understood: {short(head)}", {}
        case _:
            return _told_of_tool(event)


def _told_of_tool(event: Event) -> tuple[Kind, str, dict[str, Any]] | None:
    match event:
        case ToolCalled(tool=tool, input_summary=gist):
            return "tool", f"{tool}: {gist}" if gist else tool, {"tool": tool, "tool_use_id": event.tool_use_id}
        case ToolAnswered(text=text):
            return "answer", text, {"tool_use_id": event.tool_use_id, "is_error": event.is_error}
        case PermissionAsked(tool=tool, input=given):
            asks = f"asks leave for {tool}: {input_summary(given)}".removesuffix(": ")
            return "question", asks, {"tool": tool, "tool_use_id": event.tool_use_id}
        case _:
            return None


def _result(result: TurnResult) -> str:
    figures = f"{result.duration_ms / 1000:.1f} s · {result.cost_usd:.4f} USD"
    if not _went_wrong(result):
        return figures
    why = result.text or "; ".join(result.errors) or result.terminal_reason
    return f"{result.subtype}: {why} · {figures}" if why else f"{result.subtype} · {figures}"


def _figures(result: TurnResult) -> dict[str, Any]:
    return {
        "is_error": _went_wrong(result),
        "subtype": result.subtype,
        "answer": result.text,
        "messages": list(result.message_ids),
        "cost_usd": result.cost_usd,
        "duration_ms": result.duration_ms,
        "input_tokens": result.input_tokens,
        "output_tokens": result.output_tokens,
    }


def _went_wrong(result: TurnResult) -> bool:
    return result.is_error or result.subtype.startswith("error")


def _restart(line: Written) -> Item:
    return Item(
        kind="restart",
        text=f"claude was started again (process {line.generation})",
        generation=line.generation,
        offset=0,
    )


def _prefixed(prefix: str, text: str) -> list[str]:
    first, *others = text.splitlines() or [""]
    return [prefix + first, *(" " * len(prefix) + line for line in others)]


def _skimmed(text: str) -> Sequence[str]:
    lines = [line for line in text.splitlines() if line.strip()]
    shown = [short(line) for line in lines[:ANSWER_LINES]]
    return [*shown, f"… ({len(lines) - ANSWER_LINES} more lines)"] if len(lines) > ANSWER_LINES else shown
