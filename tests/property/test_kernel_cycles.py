import calendar
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st

from exporter.kernel.calendar import Cycle, Span, add_months, span

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
DAY = 86400.0
cycles = st.sampled_from(Cycle)
zones = st.sampled_from(ZONES)
whole_zones = zones.filter(lambda zone: zone != ZoneInfo("Pacific/Apia"))  # it lost a day
anchors = st.integers(min_value=1, max_value=31)
# To 2100, in milliseconds: a datetime rounds what is finer than its microseconds.
instants = st.integers(800 * 86_400_000, 4_102_444_800_000).map(lambda ms: ms / 1000)
BEFORE_LEAP_DAY = 1835308800.0  # 2028-02-28


def days_in(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]


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


@given(instants, whole_zones, anchors)
@example(BEFORE_LEAP_DAY, UTC, 31)
def test_a_billing_month_runs_from_anchor_day_to_anchor_day(
    now: float, zone: tzinfo, anchor: int
) -> None:
    here = span(Cycle.MONTH, now, zone=zone, anchor_day=anchor)
    start, end = (datetime.fromtimestamp(edge, zone).date() for edge in (here.start, here.end))
    assert start.day == min(anchor, days_in(start.year, start.month))
    next_month = date(start.year + start.month // 12, start.month % 12 + 1, 1)
    assert end == next_month.replace(day=min(anchor, days_in(next_month.year, next_month.month)))


@given(st.integers(1971, 2099), st.integers(1, 12), anchors, whole_zones)
def test_every_anchor_day_of_every_month_starts_a_span(
    year: int, month: int, anchor: int, zone: tzinfo
) -> None:
    day = min(anchor, days_in(year, month))
    start = datetime(year, month, day, tzinfo=zone).timestamp()
    assert span(Cycle.MONTH, start, zone=zone, anchor_day=anchor).start == start
    assert span(Cycle.MONTH, start - 0.001, zone=zone, anchor_day=anchor).end == start


@given(instants, whole_zones, st.integers(min_value=1, max_value=400))
def test_stepping_back_visits_every_civil_day(now: float, zone: tzinfo, back: int) -> None:
    today = datetime.fromtimestamp(now, zone).date()
    found = span(Cycle.DAY, now, zone=zone, back=back)
    middle = datetime.fromtimestamp((found.start + found.end) / 2, zone)
    assert middle.date() == today - timedelta(days=back)


@given(instants, st.integers(min_value=-240, max_value=240))
def test_adding_months_there_and_back_returns_to_the_anchor_day(now: float, months: int) -> None:
    day = datetime.fromtimestamp(now, UTC).day
    there = add_months(now, months)
    back = add_months(there, -months, anchor_day=day)
    assert abs(back - now) < 1e-3
