"""What lists show of a session without asking it, written down when it changes."""

from __future__ import annotations

from typing import Any, Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows import attributes
    from workflows.messages import OpenSession, SessionReport, Status
    from workflows.page import memo
    from workflows.patches import writes_less

# A memo written twice per turn would cost more than the rest of the turn's bookkeeping; lists ask the session itself,
# and fall back on the memo.
_WITHIN_TURNS: Final = {"ready", "busy"}


class Listing:
    """The session's memo and search attributes. A new session is opened with its first memo; a later run does not know the last one."""

    def __init__(self, opened: OpenSession, report: SessionReport) -> None:
        self._opened = opened
        self._status: Status = report.status
        self._memo: dict[str, Any] = {} if opened.carried else memo(report)

    def show(self, report: SessionReport) -> None:
        """Write down what has changed, if it is worth it."""
        before, self._status = self._status, report.status
        if not {report.status, before} <= _WITHIN_TURNS:
            self._keep_memo(report)
        attributes.show(report)

    def _keep_memo(self, report: SessionReport) -> None:
        fresh = memo(report)
        if fresh != self._memo or not writes_less(self._opened):
            self._memo = fresh
            workflow.upsert_memo(fresh)
