from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import assume, example, given
from hypothesis import strategies as st

from exporter.kernel.calendar import Cycle, Span
from exporter.mapping.period import RequestVariables, billing_period
from exporter.mapping.samples import period_name
from exporter.model.reading import Note
from tests.unit.mapping.factories import instant, period, target

ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/Los_Angeles",
        "America/Sao_Paulo",
        "Asia/Kolkata",
        "Pacific/Apia",
        "Pacific/Kiritimati",
        "Australia/Lord_Howe",
        "Africa/Cairo",
    ]
)
INSTANTS = st.integers(min_value=946684800, max_value=4102444800)  # 2000 to 2100
DAYS = st.integers(min_value=1, max_value=31)
CYCLES = st.sampled_from(list(Cycle))


def span_of(view: object, at: float, **rule: Any) -> Span:
    notes: list[Note] = []
    found = billing_period(
        period(**rule), view, RequestVariables(target(), "", at), seen=set(), notes=notes
    ).period
    assert found is not None, notes
    assert found.start < found.end
    return found


@given(CYCLES, INSTANTS, ZONES, DAYS)
def test_a_calendar_period_holds_the_present_and_has_its_name(
    cycle: Cycle, at: int, zone: str, day: int
) -> None:
    anchored = {} if cycle in {Cycle.DAY, Cycle.WEEK} else {"anchor_day": str(day)}
    found = span_of(None, at, cycle=cycle, zone=zone, **anchored)
    assert found.start <= at < found.end
    following = span_of(None, found.end, cycle=cycle, zone=zone, **anchored)
    assert following.start == found.end
    if zone not in {"Pacific/Apia", "Pacific/Kiritimati"}:  # these left out a whole day
        assert period_name(found) == cycle


@given(CYCLES, INSTANTS, ZONES)
def test_one_side_and_a_cycle_meet_the_next_period(cycle: Cycle, start: int, zone: str) -> None:
    rule = {"start": instant("s"), "end": instant("e"), "cycle": cycle, "zone": zone}
    forwards = span_of({"s": start}, start, **rule)
    assert forwards.start == start
    local = datetime.fromtimestamp(start, ZoneInfo(zone))
    assume(local.day <= 28)  # a longer month's last days have no way back
    assume(local.hour > 4)  # and neither has an hour that the clocks leave out
    backwards = span_of({"e": forwards.end}, start, **rule)
    assert backwards == forwards


@given(INSTANTS, st.integers(min_value=1, max_value=366), ZONES)
def test_an_inclusive_last_day_ends_at_the_next_midnight(
    start: int, length: int, zone: str
) -> None:
    first = datetime.fromtimestamp(start, UTC).date()
    last = first + timedelta(days=length - 1)
    rule = {
        "start": instant("s", zone=zone),
        "end": instant("e", zone=zone),
        "inclusive_end": True,
    }
    found = span_of({"s": str(first), "e": str(last)}, start, **rule)
    midnight = datetime.combine(last + timedelta(days=1), datetime.min.time(), ZoneInfo(zone))
    assert found.end == midnight.timestamp()


@given(INSTANTS, st.integers(min_value=1, max_value=10**8), st.integers(-400, 400))
def test_jitter_below_half_a_second_is_no_new_period(start: int, length: int, jitter: int) -> None:
    rule = {"start": instant("s"), "end": instant("e")}
    exact = span_of({"s": start, "e": start + length}, start, **rule)
    moved = {"s": start * 1000 + jitter, "e": (start + length) * 1000 + jitter}
    assert span_of(moved, start, **rule) == exact


@given(INSTANTS, ZONES)
@example(1806530400, "Africa/Cairo")  # its last day begins at one o'clock
def test_what_was_asked_for_is_the_calendars_period(at: int, zone: str) -> None:
    asked = span_of(
        None, at, asked_start="{month.start:date}", asked_end="{month.end:date}", zone=zone
    )
    inclusive = span_of(
        None,
        at,
        asked_start="{month.start:date}",
        asked_end="{month.last:date}",
        inclusive_end=True,
        zone=zone,
    )
    assert asked == inclusive == span_of(None, at, cycle=Cycle.MONTH, zone=zone)
