"""Interrupts of the running turn: whoever names a turn meets that one or none."""

from __future__ import annotations

from collections.abc import Callable

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.host import ClaudeOnHost
    from workflows.messages import Interrupt, Status
    from workflows.turns import Turns


class Interrupts:
    """The interrupts of one session. The next turn waits for one that was aimed at the last."""

    def __init__(self, claude: ClaudeOnHost, turns: Turns, status: Callable[[], Status]) -> None:
        self._claude = claude
        self._turns = turns
        self._status = status
        self._aimed = 0

    @property
    def are_under_way(self) -> bool:
        """One that was aimed at a turn has not arrived yet, and would meet the next."""
        return self._aimed > 0

    def refuse(self, call: Interrupt) -> None:
        """Raise ValueError with a sentence when there is nothing to interrupt."""
        if self._status() not in ("busy", "awaiting_approval"):
            raise ValueError(f"no turn is running: the session is {self._status()}")
        state = self._turns.report(call.turn_id).state
        if call.turn_id and state != "running":
            raise ValueError(f"turn {call.turn_id!r} is not the one that runs: it is {state}")

    async def send(self, call: Interrupt) -> None:
        """End the running turn; its result says that it was interrupted."""
        aimed = 1 if call.turn_id else 0
        self._aimed += aimed
        try:
            await self._claude.interrupt(f"interrupt-{workflow.uuid4()}")
        finally:
            self._aimed -= aimed
