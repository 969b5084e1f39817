from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from exporter.demo.vendors import (
    DAY,
    daily_activity,
    days_between,
    elapsed_share,
    month_end,
    month_start,
    today,
    used_since,
)
from tests.support.vendor import NOW

INSTANTS = st.floats(0, 4e9)


@given(INSTANTS)
def test_a_month_holds_its_instant(now: float) -> None:
    assert month_start(now) <= now < month_end(now)
    assert today(month_start(now)).day == today(month_end(now)).day == 1
    assert 28 <= (month_end(now) - month_start(now)) / DAY <= 31


@given(INSTANTS, st.floats(0, 30 * DAY), st.floats(0, 5 * DAY))
def test_what_grows_never_shrinks(start: float, passed: float, more: float) -> None:
    before = used_since(start, start + passed, 100.0)
    assert 0 <= before <= used_since(start, start + passed + more, 100.0)


@given(st.dates(date(1971, 1, 1), date(2200, 1, 1)))
def test_a_day_is_about_a_day(day: date) -> None:
    assert 0.4 < daily_activity(day) < 1.2
    weekend = daily_activity(day) < 0.66
    assert weekend == (day.weekday() >= 5)


def test_a_day_passes_bit_by_bit() -> None:
    day = today(NOW)
    assert elapsed_share(day, NOW) == 0.5
    assert elapsed_share(day, NOW - DAY) == 0
    assert elapsed_share(day, NOW + DAY) == 1


def test_days_are_counted_with_both_ends() -> None:
    assert days_between(date(2026, 2, 27), date(2026, 3, 1)) == [
        date(2026, 2, 27),
        date(2026, 2, 28),
        date(2026, 3, 1),
    ]
    assert days_between(date(2026, 3, 1), date(2026, 2, 27)) == []
    assert len(days_between(date(1900, 1, 1), date(2026, 1, 1))) == 400
