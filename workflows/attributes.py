"""The search attributes of a session: by what lists of Temporal and of its Web UI can be filtered.

They are not encrypted, whatever keys are set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

with workflow.unsafe.imports_passed_through():
    from workflows.messages import OpenSession, SessionReport

STATUS: Final = SearchAttributeKey.for_keyword("ClaudeStatus")
PROJECT: Final = SearchAttributeKey.for_keyword("ClaudeProject")
HOST: Final = SearchAttributeKey.for_keyword("ClaudeHost")
HANDLER: Final = SearchAttributeKey.for_keyword("ClaudeHandler")
TURNS: Final = SearchAttributeKey.for_int("ClaudeTurns")
COST_USD: Final = SearchAttributeKey.for_float("ClaudeCostUsd")

# SQL visibility has room for ten Keywords, three Ints and three Doubles in a namespace.
KEYS: Final = (STATUS, PROJECT, HOST, HANDLER, TURNS, COST_USD)
# How Temporal calls their types where they are registered.
KINDS: Final[Mapping[str, str]] = {key.name: key.indexed_value_type.name.capitalize() for key in KEYS}

# The column of a Keyword in PostgreSQL and MySQL.
KEYWORD_CAP: Final = 255


def at_start(opened: OpenSession, *, is_secret: bool) -> TypedSearchAttributes:
    """What a session is started with. The project's path stays out where what Temporal keeps is to be secret."""
    values: dict[SearchAttributeKey[Any], Any] = {STATUS: "starting", HANDLER: opened.handler, TURNS: 0, COST_USD: 0.0}
    if not is_secret:
        values[PROJECT] = shortened(opened.project_path)
    return TypedSearchAttributes([SearchAttributePair(key, value) for key, value in values.items()])


def show(report: SessionReport) -> None:
    """Bring the list up to date: one event in history, and none when nothing has changed.

    Whoever was started without them lives on without them: their history has no place for this.
    """
    shown = workflow.info().typed_search_attributes
    if shown.get(STATUS) is None:
        return
    changes = [key.value_set(value) for key, value in _current(report).items() if shown.get(key) != value]
    if changes:
        workflow.upsert_search_attributes(changes)


def shortened(path: str) -> str:
    """The path, or its end: that is the part that tells projects apart."""
    return path if len(path) <= KEYWORD_CAP else "…" + path[-(KEYWORD_CAP - 1) :]


def _current(report: SessionReport) -> dict[SearchAttributeKey[Any], Any]:
    # The next queued turn begins in the same moment: saying `ready` between the two would cost two events.
    status = "busy" if report.status == "ready" and report.queued else report.status
    current: dict[SearchAttributeKey[Any], Any] = {
        STATUS: status,
        TURNS: report.turns_done,
        COST_USD: round(report.cost_usd, 6),
    }
    return current | ({HOST: report.host_id} if report.host_id else {})
