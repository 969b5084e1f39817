"""Instants as vendors write them: one reader for all forms, one writer.

Every form was met in a vendor's answer: epoch seconds (or milli-, micro-, nanoseconds) as a
number or as text, ISO 8601, the dates of HTTP and e-mail, Go's ``Time.String``, JavaScript's
``Date`` text.
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

# The magnitude tells the scale: 1e11 s is the year 5138, 1e11 ms is 1973, and so on.
_SCALES = ((10**11, 1), (10**14, 10**3), (10**17, 10**6), (10**20, 10**9))
_LATEST = 253402300800.0  # the year 10000
_MOST_LETTERS = 96
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
    shown = repr(value)[:_MOST_LETTERS]
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
    if len(text) > _MOST_LETTERS:
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
