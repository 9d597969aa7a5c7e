"""How a session stands: its status, why, and its warnings, and that they are shown wherever people look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.listing import Listing
    from workflows.messages import Carried, OpenSession, SessionReport, Status
    from workflows.page import page
    from workflows.teller import Teller

# The latest ones; older warnings have been read or never will be.
WARNINGS_KEPT: Final = 10


class Over(ValueError):
    """The session has ended; its workflow stays for some seconds only to tell that."""


class Standing:
    """What changes here is on the page of the Web UI at once, and in lists where it is worth that."""

    def __init__(self, carried: Carried, report: Callable[[], SessionReport], teller: Teller) -> None:
        self.status: Status = carried.status
        self.note = carried.note
        self.warnings = list(carried.warned)
        self._report = report
        self._teller = teller
        self._listing: Listing | None = None

    def open(self, opened: OpenSession) -> None:
        """Begin to show it; before, there is no report yet."""
        self._listing = Listing(opened, self._report())

    def set(self, status: Status, note: str) -> None:
        """The session is something else now, and why."""
        before, self.status, self.note = self.status, status, note
        self.show()
        if self._listing is not None:
            self._listing.show(self._report())
        self._teller.stands(before, status, note)

    @property
    def is_awake(self) -> bool:
        """It has a claude, or is to have one."""
        return self.status != "hibernated"

    def wake(self) -> None:
        """Leave sleep, though there may be nothing to do."""
        if not self.is_awake:
            self.status = "starting"

    def warn(self, text: str) -> None:
        """Tell the person something that needs no answer, once."""
        if text not in self.warnings:
            self.warnings = [*self.warnings, text][-WARNINGS_KEPT:]
            self.show()
            self._teller.warned(text)

    def show(self) -> None:
        """Bring the page of the Web UI up to date."""
        workflow.set_current_details(page(self._report()))
