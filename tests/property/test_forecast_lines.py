import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.kernel.calendar import Cycle, Span, find_zone, span
from exporter.mapping.forecast import MIN_ELAPSED, MIN_FRACTION, Points, flow, level, vendors

INSTANTS = st.integers(min_value=946684800, max_value=4102444800)  # 2000 to 2100
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/Los_Angeles", "Australia/Lord_Howe"])
PACES = st.floats(min_value=1e-6, max_value=1e9)
SHARES = st.floats(min_value=0.0, max_value=1.0, allow_subnormal=False)
HOUR = 3600.0


@st.composite
def periods(draw: Any) -> Span:
    """Billing periods as they are: every month and anchor day, leap years, clocks that change."""
    zone = find_zone(draw(ZONES))
    cycle = draw(st.sampled_from([Cycle.WEEK, Cycle.MONTH, Cycle.YEAR]))
    day = draw(st.integers(min_value=1, max_value=31))
    return span(cycle, draw(INSTANTS), zone=zone, anchor_day=1 if cycle is Cycle.WEEK else day)


def at_share(period: Span, share: float) -> float:
    return period.start + share * (period.end - period.start)


def line(period: Span, until: float, pace: float) -> Points:
    """A point a day of a straight line through the period."""
    days = int((until - period.start) // (24 * HOUR)) + 1
    return tuple(
        (period.start + day * 24 * HOUR, pace * day * 24 * HOUR)
        for day in range(days)
        if period.start + day * 24 * HOUR < until
    )


@given(period=periods(), share=SHARES, pace=PACES, with_history=st.booleans())
def test_a_straight_line_is_projected_to_where_it_ends(
    *, period: Span, share: float, pace: float, with_history: bool
) -> None:
    at = at_share(period, share)
    history = line(period, at, pace) if with_history else ()
    found = flow(pace * (at - period.start), at, period, history=history)
    elapsed = at - period.start
    told = (
        elapsed >= max(MIN_FRACTION * (period.end - period.start), MIN_ELAPSED) and at < period.end
    )
    if told:
        assert found.projected == pytest.approx(pace * (period.end - period.start))
    else:
        assert found.projected is None


@given(periods(), st.floats(0.12, 0.99), PACES, st.floats(0.01, 3.0))
def test_exhaustion_is_on_the_line_and_within_the_period(
    period: Span, share: float, pace: float, limit_share: float
) -> None:
    at = at_share(period, share)
    total = pace * (period.end - period.start)
    limit = limit_share * total
    found = flow(pace * (at - period.start), at, period, limit=limit)
    if found.exhausted_at is None:
        assert limit_share >= 1 - 1e-9
    else:
        assert period.start < found.exhausted_at < period.end
        assert found.exhausted_at == pytest.approx(period.start + limit / pace, abs=1.0)


POINTS = st.lists(
    st.tuples(
        st.floats(min_value=0.0, max_value=1.0, allow_subnormal=False),
        st.floats(min_value=0.0, max_value=1e6, allow_subnormal=False),
    ),
    max_size=40,
)


@given(
    periods(),
    st.floats(0.0, 1.2, allow_subnormal=False),
    st.floats(-10.0, 1e6, allow_subnormal=False),
    POINTS,
    st.floats(0.0, 2e6, allow_subnormal=False),
)
def test_whatever_the_history_the_outlook_is_sane(
    period: Span, share: float, used: float, points: list[tuple[float, float]], limit: float
) -> None:
    at = at_share(period, share)
    history = tuple(sorted((at_share(period, place), number) for place, number in points))
    found = flow(used, at, period, limit=limit, history=history)
    if found.projected is not None:
        assert math.isfinite(found.projected)
        assert found.projected >= used * (1 - 1e-9)
    if found.exhausted_at is not None:
        assert period.start <= found.exhausted_at
        assert limit > 0
        if used >= limit:
            assert found.exhausted_at <= at
        else:
            assert at <= found.exhausted_at < period.end


@given(
    periods(),
    st.floats(0.12, 0.99),
    POINTS,
    st.floats(0.0, 1e6, allow_subnormal=False),
    st.floats(1e-3, 1e6),
)
def test_the_unit_does_not_matter(
    period: Span, share: float, points: list[tuple[float, float]], used: float, factor: float
) -> None:
    at = at_share(period, share)
    history = tuple(sorted((at_share(period, place), number) for place, number in points))
    scaled = tuple((when, number * factor) for when, number in history)
    plain = flow(used, at, period, history=history).projected
    other = flow(used * factor, at, period, history=scaled).projected
    if plain is None or other is None:
        return  # at the edge of a correction rounding decides
    assert other == pytest.approx(plain * factor, rel=1e-6, abs=1e-6 * factor)


@given(
    periods(),
    st.floats(0.12, 0.99),
    st.floats(0.0, 1e6, allow_subnormal=False),
    st.floats(0.0, 1e6, allow_subnormal=False),
)
def test_more_used_is_more_expected_and_not_later_exhausted(
    period: Span, share: float, used: float, more: float
) -> None:
    at = at_share(period, share)
    limit = 5e5
    less = flow(used, at, period, limit=limit)
    greater = flow(used + more, at, period, limit=limit)
    assert less.projected is not None
    assert greater.projected is not None
    assert greater.projected >= less.projected
    if less.exhausted_at is not None:
        assert greater.exhausted_at is not None
        assert greater.exhausted_at <= less.exhausted_at + 1e-3


@given(
    periods(),
    SHARES,
    st.floats(0.0, 1e6, allow_subnormal=False),
    st.floats(0.0, 2e6, allow_subnormal=False),
    st.floats(1.0, 2e6),
)
def test_a_vendors_projection_is_published_as_it_is(
    period: Span, share: float, used: float, projected: float, limit: float
) -> None:
    at = at_share(period, share)
    found = vendors(used, at, period, projected, limit=limit)
    assert found.projected == projected
    if found.exhausted_at is not None:
        assert used >= limit or projected > limit * (1 - 1e-9)
        assert found.exhausted_at < period.end


@given(
    st.floats(0.0, 1e6, allow_subnormal=False),
    st.lists(
        st.tuples(st.floats(-20.0, 0.0), st.floats(0.0, 1e6, allow_subnormal=False)), max_size=40
    ),
    st.none() | st.floats(0.0, 40.0, allow_subnormal=False),
    st.floats(1.0, 2e6),
)
def test_a_level_is_never_projected_below_zero_or_exhausted_too_late(
    used: float, points: list[tuple[float, float]], end: float | None, limit: float
) -> None:
    at = 1e9
    day = 24 * HOUR
    history = tuple(sorted((at + place * day, number) for place, number in points))
    last = None if end is None else at + end * day
    found = level(used, at, last, limit=limit, history=history)
    if found.projected is not None:
        assert found.projected >= 0
        assert last is not None
    if found.exhausted_at is not None and used < limit:
        assert at <= found.exhausted_at < (at + 30 * day if last is None else last)
