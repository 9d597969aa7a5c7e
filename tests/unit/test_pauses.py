"""Pauses between tries."""

from handlers.signal.pauses import growing


def test_a_pause_grows_to_its_limit_and_stays_there() -> None:
    """Also after so many tries that a power of two would be no number any more: a long outage must not end the handler."""
    assert [growing(1.0, 15.0, tries) for tries in range(6)] == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    assert growing(1.0, 15.0, 5000) == 15.0
