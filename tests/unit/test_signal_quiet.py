"""Quiet hours by the clock on the wall."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.signal.quiet import QuietHours, parse

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = QuietHours(time(22, 30), time(6, 15))
TIMES = st.times().map(lambda moment: moment.replace(second=0, microsecond=0))
MOMENTS = st.builds(timedelta, seconds=st.integers(0, 10**9), microseconds=st.integers(0, 999_999)).map(
    lambda passed: datetime(2030, 1, 1, tzinfo=UTC) + passed
)


@pytest.mark.parametrize(
    ("typed", "start", "end"),
    [
        ("22-7", time(22), time(7)),
        ("22:30-6:15", time(22, 30), time(6, 15)),
        (" 13 – 14:05 ", time(13), time(14, 5)),
        ("20-24", time(20), time(0)),
    ],
)
def test_hours_are_read_as_people_type_them(typed: str, start: time, end: time) -> None:
    """Full hours need no minutes, and a phone's dash is one."""
    assert parse(typed) == QuietHours(start, end)


def test_off_is_none() -> None:
    """Off means no quiet hours."""
    assert parse("Off") is None


@pytest.mark.parametrize("typed", ["", "22", "22-25", "22:60-7", "7-7", "ten to six", "22-7 x", "-1-7", "24:30-7"])
def test_what_is_no_hours_is_refused(typed: str) -> None:
    """Anything else is refused with a sentence that shows what may be said."""
    with pytest.raises(ValueError) as raised:
        parse(typed)

    assert "say 22-7, 22:30-6:15 or off" in str(raised.value)


@pytest.mark.parametrize(
    ("hour", "minute", "is_quiet"),
    [(22, 29, False), (22, 30, True), (23, 59, True), (0, 0, True), (6, 14, True), (6, 15, False), (12, 0, False)],
)
def test_a_night_reaches_over_midnight(hour: int, minute: int, *, is_quiet: bool) -> None:
    """The first minute is within, the last one is not."""
    assert NIGHT.covers(datetime(2030, 5, 1, hour, minute, tzinfo=BERLIN)) is is_quiet


def test_they_end_in_the_morning() -> None:
    """Before midnight the end is that of the next day, after it that of the same one, and outside there is nothing to wait for."""
    assert NIGHT.until(datetime(2030, 5, 1, 23, tzinfo=BERLIN)) == datetime(2030, 5, 2, 6, 15, tzinfo=BERLIN)
    assert NIGHT.until(datetime(2030, 5, 2, 3, tzinfo=BERLIN)) == datetime(2030, 5, 2, 6, 15, tzinfo=BERLIN)
    noon = datetime(2030, 5, 2, 12, tzinfo=BERLIN)
    assert NIGHT.until(noon) == noon


@given(TIMES, TIMES, MOMENTS)
def test_the_end_is_outside_and_within_a_day(start: time, end: time, moment: datetime) -> None:
    """From any moment the wait is less than a day and leads out of the quiet hours, through nothing but them."""
    if start == end:
        return
    hours = QuietHours(start, end)
    over = hours.until(moment)

    assert moment <= over <= moment + timedelta(days=1)
    assert not hours.covers(over)
    assert over == moment or hours.covers(over - timedelta(microseconds=1))
    assert parse(str(hours)) == hours
