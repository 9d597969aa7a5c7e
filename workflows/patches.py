"""Changes of what the workflow writes down. Sessions from before go on as they began: their histories say so."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.messages import OpenSession


def writes_less(opened: OpenSession) -> bool:
    """One timer for the deadlines of all turns, and no memo that says what the last one said.

    Who opens a session asks for it: a patch is written down as two events, and one of them is for lists.
    """
    return opened.writes_less or workflow.patched("writes-less")
