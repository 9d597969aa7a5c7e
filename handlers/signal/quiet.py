"""The hours in which a chat is left in peace."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta

_HOURS = re.compile(r"(\d{1,2})(?::(\d{2}))?\s*[-–—]\s*(\d{1,2})(?::(\d{2}))?")
_EXAMPLES = "say 22-7, 22:30-6:15 or off"


@dataclass(frozen=True)
class QuietHours:
    """From `start` up to `end`, each day, by the clock of the moment that is asked about; over midnight as well."""

    start: time
    end: time

    def covers(self, moment: datetime) -> bool:
        """Whether the moment lies within."""
        now = moment.time()
        if self.start < self.end:
            return self.start <= now < self.end
        return now >= self.start or now < self.end

    def until(self, moment: datetime) -> datetime:
        """When what is held back at that moment may be said: the next end, or the moment itself outside of them."""
        if not self.covers(moment):
            return moment
        ends = datetime.combine(moment.date(), self.end, tzinfo=moment.tzinfo)
        return ends if self.end > moment.time() else ends + timedelta(days=1)

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"


def parse(text: str) -> QuietHours | None:
    """The hours that were typed, None for off; ValueError with a sentence for what is neither."""
    text = text.strip()
    if text.lower() == "off":
        return None
    match = _HOURS.fullmatch(text)
    if not match:
        raise ValueError(f"{text[:40]!r} are no quiet hours: {_EXAMPLES}")
    start, end = _time(match[1], match[2]), _time(match[3], match[4])
    if start == end:
        raise ValueError(f"quiet hours that end when they begin are none: {_EXAMPLES}")
    return QuietHours(start, end)


def _time(hour: str, minute: str | None) -> time:
    hours, minutes = int(hour), int(minute or 0)
    if (hours, minutes) == (24, 0):
        return time(0)
    if hours > 23 or minutes > 59:
        raise ValueError(f"{hour}:{minute or '00'} is no time of day: {_EXAMPLES}")
    return time(hours, minutes)
