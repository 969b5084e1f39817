"""Numbers and times for people: 4.12 TB, 82 %, 3 min ago."""

import math
from datetime import UTC, datetime
from typing import Final

from exporter.kernel.units import is_currency, minor_factor

_SIZE_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_SPAN_UNITS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))
_GIGABYTE_HOUR: Final = 3.6e12
_MILLION: Final = 1e6
_HUGE: Final = 1e9  # of the largest unit: a mistake, which must not widen the page
_BILLED_TIME: Final = {
    "minute": (60.0, "min"),
    "min": (60.0, "min"),
    "hour": (3600.0, "h"),
    "h": (3600.0, "h"),
}


def amount(value: float, kind: str, unit: str = "") -> str:
    """Write a value in base units of `kind` with the unit that a person would use.

    Time that the vendor bills in minutes or hours (`unit`, its word) stays minutes or hours.
    """
    billed = _BILLED_TIME.get(unit.lower().rstrip("s"))
    if kind == "seconds" and billed is not None:
        return f"{number(value / billed[0])} {billed[1]}"
    match kind:
        case "bytes":
            return size(value)
        case "seconds":
            return span(value)
        case "byte_seconds":
            return f"{number(value / _GIGABYTE_HOUR)} GB-h"
        case "ratio":
            return percent(value)
        case _:
            return number(value)


def size(value: float) -> str:
    """Write bytes in decimal units, as vendors bill them: ``4.12 TB``."""
    if value < 0:
        return f"-{size(-value)}"
    power = 0
    while power + 1 < len(_SIZE_UNITS) and round(value, 1) >= 999.5:  # noqa: PLR2004 - rounds to 1000
        value /= 1000
        power += 1
    return f"{_three_digits(value)} {_SIZE_UNITS[power]}"


def number(value: float) -> str:
    """Write a count: ``12,345``, ``0.25``, ``1.23 M``."""
    if abs(value) >= _MILLION:
        return f"{_three_digits(value / _MILLION)} M"
    if value % 1 == 0 or abs(value) >= 1000:  # noqa: PLR2004 - then hundredths say nothing
        return f"{value:,.0f}"
    return f"{value:.2f}".rstrip("0").rstrip(".")


def money(value: float, currency: str) -> str:
    """Write an amount with the digits that the currency has: ``1,234.50 USD``, ``800 JPY``."""
    # A vendor's currency that is no currency is shown as it is, with two digits.
    digits = round(-math.log10(minor_factor(currency))) if is_currency(currency) else 2
    return (
        f"{value:,.{digits}f} {currency}"
        if abs(value) < _HUGE * _MILLION
        else f"{value:.2e} {currency}"
    )


def percent(ratio: float) -> str:
    """Write a ratio; what is not 100 % is not rounded to it."""
    share = ratio * 100
    if 99 < share < 100:  # noqa: PLR2004 - as the docstring says
        return f"{math.floor(share * 10) / 10:g} %"
    if abs(share) >= _HUGE:
        return f"{share:.2e} %"
    return f"{share:,.0f} %" if abs(share) >= 10 or share == 0 else f"{share:.1f} %"  # noqa: PLR2004 - two digits


def span(seconds: float) -> str:
    """Write a span with its two largest units: ``3 d 4 h``, ``12 min``, ``0 s``."""
    if seconds < 0:
        return f"-{span(-seconds)}"
    rest = float(round(seconds))
    for place, (unit, name) in enumerate(_SPAN_UNITS):
        if rest >= unit:
            count, left = divmod(rest, unit)
            parts = [f"{count:,.0f} {name}" if count < _HUGE else f"{count:.2e} {name}"]
            if place + 1 < len(_SPAN_UNITS) and name != "min":
                smaller, smaller_name = _SPAN_UNITS[place + 1]
                if left // smaller:
                    parts.append(f"{left // smaller:.0f} {smaller_name}")
            return " ".join(parts)
    return "0 s"


def ago(then: float, now: float) -> str:
    """Write how long `then` is past: ``3 min ago``."""
    return "just now" if now - then < 1 else f"{span(now - then)} ago"


def until(then: float, now: float) -> str:
    """Write how far `then` is ahead: ``in 3 min``, ``due now``."""
    return "due now" if then - now < 1 else f"in {span(then - now)}"


def moment(epoch: float) -> str:
    """Write a time: ``2026-11-22 12:00:00 UTC``."""
    return f"{_utc(epoch):%Y-%m-%d %H:%M:%S} UTC"


def day(epoch: float) -> str:
    """Write a day: ``22 Nov``."""
    at = _utc(epoch)
    return f"{at.day} {at:%b}"


def _utc(epoch: float) -> datetime:
    # Times beyond what a datetime holds come from broken data, and must not break the page.
    return datetime.fromtimestamp(min(max(epoch, 0.0), 253_402_300_799.0), UTC)


def _three_digits(value: float) -> str:
    if abs(value) >= _HUGE:
        return f"{value:.2e}"
    if abs(value) >= 99.95:  # noqa: PLR2004 - rounds to three digits
        return f"{value:,.0f}"
    text = f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"  # noqa: PLR2004 - as above
    return text.rstrip("0").rstrip(".")
