"""Civil calendars as half-open spans of epoch time: days, weeks, months and years of a zone.

The boundaries are local midnights. They are computed for each day on its own and never by
adding seconds, so that months of 28 to 31 days and days of 23 to 25 hours come out right.
"""

from datetime import UTC, date, datetime, tzinfo
from enum import StrEnum
from typing import assert_never

import msgspec

from exporter.kernel.problems import did_you_mean

_LAST_DAY = 31
_JUST_BEFORE = 0.001  # seconds; far above the resolution of today's epochs

_MOST_REMEMBERED = 1024


class Span(msgspec.Struct, frozen=True, gc=False):
    """Epoch seconds from `start` (inclusive) to `end` (exclusive); never empty."""

    start: float
    end: float


class Cycle(StrEnum):
    """A stretch of the calendar after which usage starts again; weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


_LAST: dict[tuple[Cycle, tzinfo, int], Span] = {}
"""What was found last by cycle, zone and anchor day; every poll asks for the same few."""


def span(
    cycle: Cycle, now: float, *, zone: tzinfo = UTC, anchor_day: int = 1, back: int = 0
) -> Span:
    """Return the `cycle` of `zone` that holds `now`, or the one `back` cycles before.

    Months begin on `anchor_day` (in a shorter month on its last day), years on that day of
    January. Always ``start <= now < end`` for ``back=0``, and neighbours meet.
    """
    if not 1 <= anchor_day <= _LAST_DAY or back < 0:
        raise ValueError(f"anchor_day {anchor_day} is not 1 to 31, or back {back} below 0.")
    found = _held(cycle, now, zone, anchor_day)
    for _ in range(back):
        found = _held(cycle, found.start - _JUST_BEFORE, zone, anchor_day)
    return found


def add_months(
    epoch: float, months: int, *, zone: tzinfo = UTC, anchor_day: int | None = None
) -> float:
    """Return `epoch` moved by whole months at the same time of day in `zone`.

    A day that the month lacks becomes its last. Repeated steps from the 31st would stay on
    the 28th: give the `anchor_day` that is meant, or step from the first date each time.
    """
    local = datetime.fromtimestamp(epoch, zone)
    year, month = divmod(local.year * 12 + local.month - 1 + months, 12)
    day = _clamped(year, month + 1, anchor_day or local.day)
    return local.replace(year=year, month=month + 1, day=day).timestamp()


def find_zone(name: str) -> tzinfo:
    """Return the zone of the IANA database called `name`; ValueError with near misses."""
    if name == "UTC":
        return UTC
    import zoneinfo  # noqa: PLC0415 - it reads sysconfig: 400 kB for those who name a zone

    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        shown = name[:64]
        hint = did_you_mean(shown, zoneinfo.available_timezones())
        if "Did you mean" not in hint:
            hint = " Write a name of the IANA database: UTC, Europe/Berlin, America/New_York."
        raise ValueError(f'"{shown}" is not a time zone.{hint}') from error


def _held(cycle: Cycle, now: float, zone: tzinfo, anchor_day: int) -> Span:
    """Return the cycle that holds `now`: mostly the one of the last time."""
    key = (cycle, zone, anchor_day)
    last = _LAST.get(key)
    if last is not None and last.start <= now < last.end:
        return last
    if len(_LAST) >= _MOST_REMEMBERED:
        _LAST.clear()
    found = _LAST[key] = _holding(cycle, now, zone, anchor_day)
    return found


def _holding(cycle: Cycle, now: float, zone: tzinfo, anchor_day: int) -> Span:
    number = _number(cycle, datetime.fromtimestamp(now, zone).date())
    # The first guess is one too high before the anchor day, and one off at most where a zone
    # moves its clocks across midnight. Days that a zone left out are empty and never found.
    while (start := _start(cycle, number, zone, anchor_day)) > now:
        number -= 1
    while (end := _start(cycle, number + 1, zone, anchor_day)) <= now:
        number, start = number + 1, end
    return Span(start, end)


def _number(cycle: Cycle, day: date) -> int:
    """Count cycles since the year 0: the number of the one that holds `day` (anchor 1)."""
    match cycle:
        case Cycle.DAY:
            return day.toordinal()
        case Cycle.WEEK:
            return (day.toordinal() - 1) // 7  # 0001-01-01 was a Monday
        case Cycle.MONTH:
            return day.year * 12 + day.month - 1
        case Cycle.YEAR:
            return day.year
        case _:
            assert_never(cycle)


def _start(cycle: Cycle, number: int, zone: tzinfo, anchor_day: int) -> float:
    """Return the first instant of cycle `number`: the inverse of `_number`."""
    match cycle:
        case Cycle.DAY:
            first = date.fromordinal(number)
        case Cycle.WEEK:
            first = date.fromordinal(number * 7 + 1)
        case Cycle.MONTH:
            year, month = divmod(number, 12)
            first = date(year, month + 1, _clamped(year, month + 1, anchor_day))
        case Cycle.YEAR:
            first = date(number, 1, anchor_day)
        case _:
            assert_never(cycle)
    # A midnight that the clocks skip is read with the offset before, which is the moment of
    # the change; one that comes twice is the first (PEP 495's fold=0 does both).
    return datetime(first.year, first.month, first.day, tzinfo=zone).timestamp()


def _clamped(year: int, month: int, day: int) -> int:
    """Return `day`, or the last day of a month that is shorter."""
    match month:
        case 2:
            leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
            return min(day, 29 if leap else 28)
        case 4 | 6 | 9 | 11:
            return min(day, 30)
        case _:
            return day
