"""Numbers that look like a living account: smooth, growing, weekday-shaped, the same for all.

Everything is a function of the time, so that two readers at one moment see one truth.
"""

import math
from datetime import UTC, date, datetime, timedelta

DAY = 86_400.0


def today(now: float) -> date:
    """Return the UTC day of an instant."""
    return datetime.fromtimestamp(now, UTC).date()


def month_start(now: float) -> float:
    """Return the first instant of the UTC month."""
    first = today(now).replace(day=1)
    return datetime(first.year, first.month, 1, tzinfo=UTC).timestamp()


def month_end(now: float) -> float:
    """Return the first instant of the next UTC month."""
    return month_start(month_start(now) + 32 * DAY)


def days_of(start: date, end: date) -> list[date]:
    """Return the days from ``start`` to ``end``, both included; at most 400."""
    return [start + timedelta(days=n) for n in range(min((end - start).days + 1, 400))]


def activity(day: date) -> float:
    """Return the day's share of a usual day: quiet week-ends, and a little of its own."""
    own = math.sin(day.toordinal() * 12.9898) * 43_758.5453
    weekday = 0.55 if day.weekday() >= 5 else 1.0  # noqa: PLR2004 - Saturday
    return weekday * (0.85 + 0.3 * (own - math.floor(own)))


def elapsed_of(day: date, now: float) -> float:
    """Return how much of a day has passed, 0 to 1."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    return min(max((now - begin) / DAY, 0.0), 1.0)


def grown(per_day: float, start: float, now: float) -> float:
    """Return what was used since ``start`` at about ``per_day``."""
    return sum(
        per_day * activity(day) * elapsed_of(day, now) for day in days_of(today(start), today(now))
    )
