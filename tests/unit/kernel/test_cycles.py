from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import pytest

from exporter.kernel.calendar import Cycle, Span, add_months, find_zone, span

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3600.0


def at(text: str, zone: tzinfo = UTC) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def between(start: str, end: str, zone: tzinfo = UTC) -> Span:
    return Span(at(start, zone), at(end, zone))


@pytest.mark.parametrize(
    ("cycle", "start", "end"),
    [
        (Cycle.DAY, "2026-11-15", "2026-11-16"),
        (Cycle.WEEK, "2026-11-09", "2026-11-16"),  # the 15th is a Sunday
        (Cycle.MONTH, "2026-11-01", "2026-12-01"),
        (Cycle.YEAR, "2026-01-01", "2027-01-01"),
    ],
)
def test_a_cycle_holds_the_instant(cycle: Cycle, start: str, end: str) -> None:
    assert span(cycle, at("2026-11-15T12:00")) == between(start, end)


def test_a_start_belongs_to_its_span_and_an_end_does_not() -> None:
    month = between("2026-11-01", "2026-12-01")
    assert span(Cycle.MONTH, month.start) == month
    assert span(Cycle.MONTH, month.end).start == month.end
    assert span(Cycle.MONTH, month.end - 0.001) == month


@pytest.mark.parametrize(
    ("now", "anchor_day", "start", "end"),
    [
        ("2026-11-15T12:00", 5, "2026-11-05", "2026-12-05"),
        ("2026-11-04T23:59", 5, "2026-10-05", "2026-11-05"),
        ("2026-11-05T00:00", 5, "2026-11-05", "2026-12-05"),
        ("2026-02-15T12:00", 31, "2026-01-31", "2026-02-28"),
        ("2026-02-28T00:00", 31, "2026-02-28", "2026-03-31"),
        ("2028-02-28T12:00", 31, "2028-01-31", "2028-02-29"),
        ("2028-02-29T12:00", 30, "2028-02-29", "2028-03-30"),
        ("2026-04-30T12:00", 31, "2026-04-30", "2026-05-31"),
        ("2027-01-01T00:00", 29, "2026-12-29", "2027-01-29"),
    ],
)
def test_a_billing_month_begins_on_its_anchor_day_or_the_last_there_is(
    now: str, anchor_day: int, start: str, end: str
) -> None:
    assert span(Cycle.MONTH, at(now), anchor_day=anchor_day) == between(start, end)


def test_a_billing_year_begins_on_its_anchor_day_of_january() -> None:
    assert span(Cycle.YEAR, at("2026-01-09"), anchor_day=10) == between("2025-01-10", "2026-01-10")


def test_days_and_weeks_have_no_anchor_day() -> None:
    now = at("2026-11-15T12:00")
    assert span(Cycle.DAY, now, anchor_day=31) == span(Cycle.DAY, now)
    assert span(Cycle.WEEK, now, anchor_day=31) == span(Cycle.WEEK, now)


def test_back_steps_over_whole_cycles() -> None:
    now = at("2026-03-15T12:00")
    assert span(Cycle.MONTH, now, anchor_day=31, back=1) == between("2026-01-31", "2026-02-28")
    assert span(Cycle.MONTH, now, back=3) == between("2025-12-01", "2026-01-01")


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-15", 24)]
)
def test_a_day_is_as_long_as_the_clocks_make_it(day: str, hours: int) -> None:
    found = span(Cycle.DAY, at(f"{day}T12:00", BERLIN), zone=BERLIN)
    assert found.end - found.start == hours * HOUR


def test_the_zone_decides_which_month_it_is() -> None:
    now = at("2026-10-31T23:30")
    assert span(Cycle.MONTH, now).start == at("2026-10-01")
    assert span(Cycle.MONTH, now, zone=BERLIN).start == at("2026-11-01", BERLIN)


def test_a_midnight_that_the_clocks_skip_is_the_moment_of_the_change() -> None:
    sao_paulo = ZoneInfo("America/Sao_Paulo")
    found = span(Cycle.DAY, at("2018-11-04T12:00", sao_paulo), zone=sao_paulo)
    assert found == Span(at("2018-11-04T03:00"), at("2018-11-05T02:00"))


def test_a_day_that_a_zone_left_out_is_no_span() -> None:
    apia = ZoneInfo("Pacific/Apia")  # no 30 December 2011
    found = span(Cycle.DAY, at("2011-12-31T12:00", apia), zone=apia, back=1)
    assert found == Span(at("2011-12-29T10:00"), at("2011-12-30T10:00"))


def test_an_hour_repeated_before_midnight_is_in_one_span() -> None:
    st_johns = ZoneInfo("America/St_Johns")  # 00:01 on 7 November 2010 became 23:01 on the 6th
    again = at("2010-11-07T00:00", st_johns) + 600
    assert datetime.fromtimestamp(again, st_johns).day == 6
    found = span(Cycle.DAY, again, zone=st_johns)
    assert found.start <= again < found.end


@pytest.mark.parametrize(("anchor_day", "back"), [(0, 0), (32, 0), (1, -1)])
def test_what_is_no_anchor_day_or_step_is_refused(anchor_day: int, back: int) -> None:
    with pytest.raises(ValueError, match="is not 1 to 31, or back"):
        span(Cycle.MONTH, 0, anchor_day=anchor_day, back=back)


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        ("2026-01-31T09:30", 1, "2026-02-28T09:30"),
        ("2028-01-31T09:30", 1, "2028-02-29T09:30"),
        ("2026-11-15T12:00", 2, "2027-01-15T12:00"),
        ("2026-01-15T12:00", -1, "2025-12-15T12:00"),
        ("2026-11-15T12:00", 0, "2026-11-15T12:00"),
        ("2026-11-15T12:00", -23, "2024-12-15T12:00"),
    ],
)
def test_months_are_added_at_the_same_time_of_day(start: str, months: int, end: str) -> None:
    assert add_months(at(start), months) == at(end)
    assert add_months(at(start, BERLIN), months, zone=BERLIN) == at(end, BERLIN)


def test_an_anchor_day_brings_back_the_end_of_the_month() -> None:
    assert add_months(at("2026-02-28"), 1, anchor_day=31) == at("2026-03-31")


def test_a_zone_is_found_by_its_name() -> None:
    assert find_zone("UTC") is UTC
    assert find_zone("Europe/Berlin") == BERLIN


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Europe/Berln", 'Did you mean "Europe/Berlin"?'),
        ("america/new_york", 'Did you mean "America/New_York"?'),
        ("", "Write a name of the IANA database"),
        ("Europe", 'Did you mean "'),
        ("../../etc/passwd", "Write a name"),
        ("/etc/passwd", "Write a name"),
        ("x\0y", "Write a name"),
        ("+05:30", "Write a name"),
    ],
)
def test_a_name_that_is_no_zone_is_refused_with_a_hint(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match="is not a time zone") as caught:
        find_zone(name)
    assert str(caught.value).startswith(f'"{name}" is not a time zone. {hint}')
