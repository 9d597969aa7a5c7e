"""Whether the worker lives and whether it can work, as verdicts that another thread may read at any time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

from activities.lease import LeaseKeeper

BEAT_SECONDS: Final = 0.5
# A machine under load stalls for a second or two; after this long, heartbeats have been missed.
LOOP_SECONDS: Final = 10.0
# At least two renewals in a row went wrong, and most of the lease is still left.
LEASE_SECONDS: Final = 20.0
# Three of the self-check's rounds: it hangs itself.
STALE_SECONDS: Final = 180.0

State = Literal["connecting", "working", "draining"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How one thing stands."""

    ok: bool
    text: str
    seconds_ago: float = 0.0


class Health:
    """What is known of this worker. Written by its event loop, read by the door's thread, from copies."""

    def __init__(self) -> None:
        self.state: State = "connecting"
        self.keeper: LeaseKeeper | None = None
        self.expected: tuple[str, ...] = ()
        """What the self-check will have looked at before the worker is ready."""
        self._beaten = time.monotonic()
        self._failed: dict[str, str] = {}
        self._said: dict[str, tuple[Verdict, float]] = {}

    async def beat(self) -> None:
        """Prove for ever that the loop turns."""
        while True:
            self._beaten = time.monotonic()
            await asyncio.sleep(BEAT_SECONDS)

    def watch(self, queue: str, worker: asyncio.Task[None]) -> None:
        """Remember when this Worker ends before its time."""

        def ended(job: asyncio.Task[None]) -> None:
            if self.state != "draining" and not job.cancelled():
                self._failed[queue] = f"the Worker of {queue} has ended: {job.exception() or 'without a reason'}"

        worker.add_done_callback(ended)

    def say(self, name: str, verdict: Verdict) -> None:
        """Keep what the self-check found."""
        self._said[name] = (verdict, time.monotonic())

    def answer(self, path: str) -> tuple[bool, Mapping[str, Any]] | None:
        """What `/live` and `/ready` are answered with."""
        checks = {"/live": self.live, "/ready": self.ready}.get(path)
        return _report(checks()) if checks else None

    def live(self) -> dict[str, Verdict]:
        """What only another process cures."""
        age = time.monotonic() - self._beaten
        turns = Verdict(ok=age < LOOP_SECONDS, text=f"the event loop turned {age:.1f} s ago")
        failed = "; ".join(list(self._failed.values()))
        return {"event-loop": turns, "workers": Verdict(ok=not failed, text=failed or "none has failed")}

    def ready(self) -> dict[str, Verdict]:
        """Everything that sessions need of this worker."""
        state = Verdict(ok=self.state == "working", text=f"the worker is {self.state}")
        return {**self.live(), "state": state, **self._lease(), **self._self_check()}

    def _lease(self) -> dict[str, Verdict]:
        if self.keeper is None:
            return {}
        silence, allowed = self.keeper.silence(), min(LEASE_SECONDS, self.keeper.ttl_seconds / 2)
        trouble = f": {self.keeper.trouble}" if self.keeper.trouble else ""
        text = f"Temporal acknowledged the lease {silence:.1f} s ago{trouble}"
        return {"lease": Verdict(ok=silence < allowed, text=text)}

    def _self_check(self) -> dict[str, Verdict]:
        return {name: self._verdict(name) for name in (*self.expected, *list(self._said))}

    def _verdict(self, name: str) -> Verdict:
        if name not in self._said:
            return Verdict(ok=False, text=f"{name}: the first look has not ended yet")
        verdict, at = self._said[name]
        age = round(time.monotonic() - at, 1)
        if age > STALE_SECONDS:
            return Verdict(ok=False, text=f"{name}: not looked at for {age:.0f} s", seconds_ago=age)
        return replace(verdict, seconds_ago=age)


def _report(checks: Mapping[str, Verdict]) -> tuple[bool, dict[str, Any]]:
    wrong = [verdict.text for verdict in checks.values() if not verdict.ok]
    document = {
        "ok": not wrong,
        "why": "; ".join(wrong),
        "checks": {name: asdict(verdict) for name, verdict in checks.items()},
    }
    return not wrong, document
