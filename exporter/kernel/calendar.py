"""Time: civil calendars, durations, and instants as vendors write them. Instants are epoch seconds.

- Days, weeks, months and years of a zone are half-open spans. Their boundaries are local midnights,
  computed for each day on its own and never by adding seconds, so that months of 28 to 31 days and
  days of 23 to 25 hours come out right.
- Durations are Prometheus' (``30s``, ``1h30m``): grammar, order and the year of 365 days are those
  of ``model.ParseDuration``, so that one means the same here and in an alerting rule.
- Every form of an instant was met in a vendor's answer: epoch seconds (or milli-, micro-,
  nanoseconds) as a number or as text, ISO 8601, the dates of HTTP and e-mail, Go's
  ``Time.String``, JavaScript's ``Date`` text.
"""

import math
import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
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


_MILLISECONDS = {
    "y": 365 * 86_400_000,
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_CALENDAR_UNITS = ("y", "w", "d")
_GRAMMAR = re.compile("".join(f"(?:([0-9]+){unit})?" for unit in _MILLISECONDS))
_MOST_LETTERS = 64
_LONGEST = 2**63 // 1_000_000  # Prometheus counts in int64 nanoseconds: 292 years


def parse_duration(text: str) -> float:
    """Return the seconds that `text` stands for.

    Raises ValueError with a sentence for the user when it is not a duration.
    """
    if text == "0":
        return 0.0
    match = _GRAMMAR.fullmatch(text)
    if match is None or not text or len(text) > _MOST_LETTERS:
        raise ValueError(
            f'"{text[:_MOST_LETTERS]}" is not a duration. '
            "Write a number and a unit: 30s, 5m, 1h30m."
        )
    counts = zip(match.groups(), _MILLISECONDS.values(), strict=True)
    total = sum(int(count) * size for count, size in counts if count)
    if total > _LONGEST:
        raise ValueError(f'"{text}" is too long for a duration. Write at most 292y.')
    return total / 1000


def format_duration(seconds: float) -> str:
    """Write `seconds` so that `parse_duration` reads it back, to the millisecond.

    Years, weeks and days are used only where they are exact: 36 hours is ``36h``. What is
    below half a millisecond is ``0s``; a negative span, which is no duration, has a minus.
    """
    if not math.isfinite(seconds):
        raise ValueError(f"{seconds} seconds cannot be written as a duration.")
    rest = round(abs(seconds) * 1000)
    if rest == 0:
        return "0s"
    parts = ["-"] if seconds < 0 else []
    for unit, size in _MILLISECONDS.items():
        if rest < size or (unit in _CALENDAR_UNITS and rest % size):
            continue
        count, rest = divmod(rest, size)
        parts.append(f"{count}{unit}")
    return "".join(parts)


# The magnitude tells the scale: 1e11 s is the year 5138, 1e11 ms is 1973, and so on.
_SCALES = ((10**11, 1), (10**14, 10**3), (10**17, 10**6), (10**20, 10**9))
_LATEST = 253402300800.0  # the year 10000
_TIMESTAMPS_MOST_LETTERS = 96
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_PIVOT = 70  # RFC 850's two digits: 70 to 99 are of the last century
_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d))?"
_OFFSET = r"[+-]\d\d(?::?\d\d)?"
_ZONE = (  # Z, UTC, GMT+0100, +0530; after an offset its name may follow: "-0800 PST"
    rf"(?:\s*(?P<zone>(?:UTC|GMT)?{_OFFSET}|Z|UTC|GMT)"
    r"(?:(?<=\d)\s+(?:[A-Z]{2,5}|[+-]\d{2,4})|\s*\([^)]*\)|\[[^\]]*\])?)?"
)
_FLAGS = re.ASCII | re.IGNORECASE
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?(?:e[+-]?\d+)?", _FLAGS)
_COMPACT_DATE = re.compile(r"(?:19[7-9]|20\d)\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])", _FLAGS)
_ISO = re.compile(
    r"(?P<year>\d{4})(?P<dash>-?)(?P<month>\d\d)"
    r"(?:(?P=dash)(?P<day>\d\d)"
    r"(?:(?:T|\s+)(?P<hour>\d\d):?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?"
    + _ZONE
    + r"(?:\s+m=[+-][\d.]+)?)?)?",
    _FLAGS,
)
_MAIL = re.compile(  # RFC 9110's IMF-fixdate and RFC 850 form, RFC 5322
    r"(?:[a-z]{3,9},?\s+)?(?P<day>\d{1,2})(?P<dash>[ -])(?P<name>[a-z]{3})(?P=dash)"
    r"(?P<year>\d{4}|\d\d)\s+" + _CLOCK + _ZONE,
    _FLAGS,
)
_ASCTIME = re.compile(
    r"[a-z]{3}\s+(?P<name>[a-z]{3})\s+(?P<day>\d{1,2})\s+" + _CLOCK + r"\s+(?P<year>\d{4})",
    _FLAGS,
)
_JAVASCRIPT = re.compile(
    r"[a-z]{3}\s+(?P<name>[a-z]{3})\s+(?P<day>\d{1,2})\s+(?P<year>\d{4})\s+" + _CLOCK + _ZONE,
    _FLAGS,
)
_NEVER = "0001-01-01"  # the zero of Go's time.Time and .NET's DateTime


def parse_timestamp(value: object, *, zone: tzinfo = UTC) -> float | None:
    """Return the epoch seconds that `value` means; None for "no time" (null, -1, 0, "").

    `zone` is the civil time of texts that name none. Raises ValueError for everything that is
    not clearly an instant from 1970 to 9999.
    """
    match value:
        case None:
            return None
        case bool():
            raise _refusal(value)
        case int() | float():
            return _from_number(value, value)
        case str():
            return _from_text(value.strip(), zone)
        case _:
            raise _refusal(value)


def format_rfc3339(epoch: float) -> str:
    """Write ``2026-11-15T12:00:00Z``, with milliseconds only when they are not zero.

    Raises ValueError outside of the years 1 to 9999.
    """
    try:
        seconds, milliseconds = divmod(round(epoch * 1000), 1000)
        text = datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"{epoch} is not an instant that can be written.") from error
    return f"{text}.{milliseconds:03d}Z" if milliseconds else f"{text}Z"


def _refusal(value: object) -> ValueError:
    shown = repr(value)[:_TIMESTAMPS_MOST_LETTERS]
    return ValueError(
        f"{shown} is not a time. Known: epoch seconds or milliseconds, ISO 8601 "
        "(2026-11-15T12:00:00Z), a date, YYYY-MM, an HTTP date."
    )


def _from_number(number: float, shown: object) -> float | None:
    if number in (0, -1):
        return None
    for below, scale in _SCALES:
        if 0 < number <= below:
            return _in_range(number / scale, shown)
    raise _refusal(shown)


def _in_range(epoch: float, shown: object) -> float | None:
    if epoch == 0:
        return None
    if not 0 < epoch < _LATEST:  # false for NaN too
        raise _refusal(shown)
    return epoch


def _from_text(text: str, zone: tzinfo) -> float | None:
    if not text:
        return None
    if len(text) > _TIMESTAMPS_MOST_LETTERS:
        raise _refusal(text)
    if _NUMBER.fullmatch(text) and not _COMPACT_DATE.fullmatch(text):
        # An int of nanoseconds keeps them all: only its quotient is rounded.
        return _from_number(int(text) if text.lstrip("+-").isdecimal() else float(text), text)
    for form, civil in ((_ISO, zone), (_MAIL, zone), (_ASCTIME, UTC), (_JAVASCRIPT, zone)):
        found = form.fullmatch(text)
        if found is not None:
            return None if text.startswith(_NEVER) else _from_parts(found, civil)
    raise _refusal(text)


def _from_parts(found: re.Match[str], zone: tzinfo) -> float | None:
    part = found.groupdict()
    hour, minute, second = (int(part.get(name) or 0) for name in ("hour", "minute", "second"))
    day_over = (hour, minute, second) == (24, 0, 0)
    if (hour > 23 and not day_over) or minute > 59 or second > 60:  # noqa: PLR2004 - a clock
        raise _refusal(found.string)
    try:
        civil = _zone(part.get("zone") or "", zone)
        day = datetime(_year(part["year"]), _month(part), int(part["day"] or 1), tzinfo=civil)
        epoch = (day + timedelta(hours=hour, minutes=minute, seconds=second)).timestamp()
    except (ValueError, OverflowError) as error:
        raise _refusal(found.string) from error
    fraction = part.get("fraction")
    return _in_range(epoch + (float(f"0.{fraction}") if fraction else 0.0), found.string)


def _year(digits: str) -> int:
    year = int(digits)
    if len(digits) == len("70"):
        year += 1900 if year >= _PIVOT else 2000
    return year


def _month(part: dict[str, str | None]) -> int:
    name = part.get("name")
    return int(part["month"] or 0) if name is None else _MONTHS.index(name.lower()) + 1


def _zone(text: str, zone: tzinfo) -> tzinfo:
    if not text:
        return zone
    offset = re.sub("[A-Za-z:]", "", text)
    if not offset:
        return UTC
    away = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5] or 0))
    return timezone(-away if offset[0] == "-" else away)
