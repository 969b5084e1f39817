from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st

from exporter.kernel.cycles import Cycle, Span, add_months, span

ZONES: list[tzinfo] = [
    UTC,
    *map(
        ZoneInfo,
        [
            "Europe/Berlin",
            "America/New_York",
            "Asia/Kolkata",
            "Pacific/Auckland",
            "America/Sao_Paulo",
            "America/St_Johns",
            "Pacific/Apia",
            "Africa/Cairo",
        ],
    ),
]
HOUR = 3600.0
DAY = 24 * HOUR
cycles = st.sampled_from(Cycle)
zones = st.sampled_from(ZONES)
anchors = st.integers(min_value=1, max_value=31)
instants = st.floats(min_value=DAY * 370, max_value=4102444800.0, allow_nan=False)  # to 2100
BEFORE_LEAP_DAY = 1835308800.0  # 2028-02-28


def neighbours(cycle: Cycle, now: float, zone: tzinfo, anchor: int) -> tuple[Span, Span, Span]:
    here = span(cycle, now, zone=zone, anchor_day=anchor)
    before = span(cycle, now, zone=zone, anchor_day=anchor, back=1)
    after = span(cycle, here.end, zone=zone, anchor_day=anchor)
    return before, here, after


@given(cycles, instants, zones, anchors)
@example(Cycle.MONTH, BEFORE_LEAP_DAY, UTC, 31)
@example(Cycle.DAY, 1289097060.0, ZoneInfo("America/St_Johns"), 1)  # 00:01 became 23:01
@example(Cycle.DAY, 1325239200.0, ZoneInfo("Pacific/Apia"), 1)  # a day left out
def test_the_span_holds_now_and_its_neighbours_meet_it(
    cycle: Cycle, now: float, zone: tzinfo, anchor: int
) -> None:
    before, here, after = neighbours(cycle, now, zone, anchor)
    assert here.start <= now < here.end
    assert before.start < before.end == here.start
    assert here.end == after.start < after.end


@given(cycles, instants, zones, anchors)
def test_every_instant_of_a_span_has_the_same_span(
    cycle: Cycle, now: float, zone: tzinfo, anchor: int
) -> None:
    here = span(cycle, now, zone=zone, anchor_day=anchor)
    inside = [here.start, (here.start + here.end) / 2, here.end - 0.001]
    assert {span(cycle, at, zone=zone, anchor_day=anchor) for at in inside} == {here}


@given(instants, zones, anchors)
def test_a_billing_month_is_as_long_as_its_calendar_days(
    now: float, zone: tzinfo, anchor: int
) -> None:
    here = span(Cycle.MONTH, now, zone=zone, anchor_day=anchor)
    days = (here.end - here.start) / DAY
    assert 27 - 1 / 24 <= days <= 31 + 3 / 24 + 1  # Samoa's lost day, a change of the clocks


@given(st.integers(1971, 2099), st.integers(1, 12), anchors, zones)
def test_every_anchor_day_of_every_month_starts_a_span(
    year: int, month: int, anchor: int, zone: tzinfo
) -> None:
    noon = datetime(year, month, 1, 12, tzinfo=zone).timestamp()
    first_of_next = add_months(noon, 1, zone=zone)
    length = round((first_of_next - noon) / DAY)
    day = min(anchor, length if zone is not ZONES[7] else 31)
    start = datetime(year, month, day, tzinfo=zone).timestamp()
    assert span(Cycle.MONTH, start, zone=zone, anchor_day=anchor).start == start


@given(instants, st.integers(min_value=-240, max_value=240))
def test_adding_months_there_and_back_returns_to_the_anchor_day(now: float, months: int) -> None:
    day = datetime.fromtimestamp(now, UTC).day
    there = add_months(now, months)
    back = add_months(there, -months, anchor_day=day)
    assert abs(back - now) < 1e-3
