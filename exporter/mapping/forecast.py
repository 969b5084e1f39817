"""Where a number is going: expected at the period's end, and when it meets its limit.

The vendor's own projection wins; its line runs from the present value to it. Our own line for a
flow starts at the value that the data had when it was as old as it says, ``t``::

    pace      = (1 - w) * mean + w * recent
    projected = used + pace * (end - t)

``mean`` is the pace since the period began, so that without history ``projected`` is ``used``
divided by the elapsed fraction. ``recent`` is the pace of the last ``h`` seconds of history, at
most 7 days: a whole week knows no weekdays. ``w`` is 0.7 * (h / 7 d)², and 0 below 3 days.
Corrections downward count for the days that they correct: ``recent`` starts at the lowest value
since. Nothing is said before 10 % and 6 h have passed, below zero, or while the value is below an
earlier one of the same period. A fall within the first tenth is a reset that came late: what was
before it belongs to the old period.

A level without a period (storage, seats) follows the slope of its last 7 days; a level with one is
a peak, and peaks are not projected. Errors against synthetic months: docs/design/forecast.md.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from exporter.kernel.calendar import Span

Points: TypeAlias = Sequence[tuple[float, float]]
"""(epoch seconds, value) of one series, ascending, at most some hundreds: the hourly ledger."""
_DAY = 86400.0
MIN_FRACTION = 0.1
MIN_ELAPSED = 6 * 3600.0
MIN_HISTORY = 3 * _DAY
WINDOW = 7 * _DAY
WEIGHT = 0.7  # of the recent pace, once it spans the whole window
LEVEL_HORIZON = 30 * _DAY  # of a level where no billing period is known
_MIN_POINTS = 3
_SAME = 1e-9  # relative: below this a fall is arithmetic, not a correction


class Outlook(NamedTuple):
    """What is expected at the end, and when the limit is (or was) met. None: cannot be told."""

    projected: float | None = None
    exhausted_at: float | None = None


NOTHING = Outlook()


def flow(
    used: float,
    at: float,
    period: Span,
    *,
    polled: float | None = None,
    limit: float | None = None,
    history: Points = (),
    floor: float = 0.0,
) -> Outlook:
    """Return our own outlook of a value that grows through `period`.

    `at` is the instant of the data. `polled` is when it was asked for, which is the time that the
    points of `history` are told in: what is late now was late then. `floor` is the part that is due
    in any case, such as the base fee of a bill: it does not grow with time.
    """
    points = _with_present(history, period, at if polled is None else polled, (at, used))
    reached = _reached([(period.start, floor), *points], limit, otherwise=period.start)
    if used < floor or _thin(at, period) or _shrank(points):
        return Outlook(None, reached)
    mean = (used - floor) / (at - period.start)
    pace = _weighed(mean, points)
    return Outlook(
        used + pace * (period.end - at), _meets((at, used), pace, limit, period.end, reached)
    )


def vendors(
    used: float | None,
    at: float,
    period: Span | None,
    projected: float,
    *,
    polled: float | None = None,
    limit: float | None = None,
    history: Points = (),
) -> Outlook:
    """Return the outlook of a value that the vendor projects itself."""
    if used is None or period is None or not period.start <= at < period.end:
        return Outlook(projected)
    points = _with_present(history, period, at if polled is None else polled, (at, used))
    reached = _reached([(period.start, 0.0), *points], limit, otherwise=period.start)
    pace = (projected - used) / (period.end - at)
    return Outlook(projected, _meets((at, used), pace, limit, period.end, reached))


def level(
    used: float,
    at: float,
    end: float | None,
    *,
    limit: float | None = None,
    history: Points = (),
) -> Outlook:
    """Return the outlook of what there is now, by the slope of its last 7 days.

    `end` is that of the account's billing period. Where none is known there is no instant to
    project to, and the limit is looked for in the next 30 days.
    """
    points = [*(point for point in history if at - WINDOW <= point[0] < at), (at, used)]
    reached = _reached(points, limit)
    if len(points) < _MIN_POINTS or at - points[0][0] < MIN_HISTORY or (end or at + 1) <= at:
        return Outlook(None, reached)
    slope = _slope(points)
    horizon = at + LEVEL_HORIZON if end is None else end
    projected = None if end is None else max(used + slope * (end - at), 0.0)
    return Outlook(projected, _meets((at, used), slope, limit, horizon, reached))


def _with_present(
    history: Points, period: Span, polled: float, present: tuple[float, float]
) -> Points:
    points = _of_period(history, period, polled)
    return [*points, (polled, present[1])] if points else [present]


def _of_period(history: Points, period: Span, at: float) -> Points:
    """Return the points of the period before `at`, without those of a reset that came late."""
    if not history:
        return ()
    points = history[
        bisect_left(history, (period.start,)) : bisect_left(history, (min(at, period.end),))
    ]
    settled = period.start + _thin_seconds(period)
    begin = 0
    for number in range(1, len(points)):
        if points[number][0] > settled:
            break
        if points[number][1] < points[number - 1][1] * (1 - _SAME):
            begin = number
    return points[begin:]


def _thin_seconds(period: Span) -> float:
    return max(MIN_FRACTION * (period.end - period.start), MIN_ELAPSED)


def _thin(at: float, period: Span) -> bool:
    return at - period.start < _thin_seconds(period) or at >= period.end


def _shrank(points: Points) -> bool:
    return points[-1][1] < max(value for _, value in points) * (1 - _SAME)


def _weighed(mean: float, points: Points) -> float:
    """Return the pace to go on with: the mean, and as far as history goes that of the last week."""
    now, used = points[-1]
    if len(points) < _MIN_POINTS or now - points[0][0] < MIN_HISTORY:
        return mean
    since = max(now - WINDOW, points[0][0])
    lowest = min(_value_at(points, since), *(value for when, value in points if when >= since))
    weight = WEIGHT * ((now - since) / WINDOW) ** 2
    return (1 - weight) * mean + weight * (used - lowest) / (now - since)


def _value_at(points: Points, when: float) -> float:
    """Return the value at `when`, between its neighbours on a straight line."""
    after = bisect_left(points, (when,))
    if after == 0 or points[after][0] == when:
        return points[after][1]
    (left, low), (right, high) = points[after - 1], points[after]
    return low + (high - low) * (when - left) / (right - left)


def _slope(points: Points) -> float:
    """Return the least-squares slope, per second."""
    count = len(points)
    middle = sum(when for when, _ in points) / count
    mean = sum(value for _, value in points) / count
    spread = sum((when - middle) ** 2 for when, _ in points)
    return sum((when - middle) * (value - mean) for when, value in points) / spread


def _meets(
    point: tuple[float, float],
    pace: float,
    limit: float | None,
    end: float,
    reached: float | None,
) -> float | None:
    """Return when the line from `point` meets the limit, or met it; never beyond the `end`."""
    at, used = point
    if reached is not None or limit is None or limit <= 0 or used >= limit or pace <= 0:
        return reached
    when = at + (limit - used) / pace
    return when if when < end else None


def _reached(
    points: Points, limit: float | None, *, otherwise: float | None = None
) -> float | None:
    """Return since when the value has been at its limit; None where it is not.

    Between two points it went on a straight line. `otherwise` answers where it was there from the
    first point on. A limit of zero is never "reached".
    """
    if limit is None or limit <= 0 or points[-1][1] < limit:
        return None
    first = len(points) - 1
    while first and points[first - 1][1] >= limit:
        first -= 1
    if first == 0:
        return otherwise
    (left, low), (right, high) = points[first - 1], points[first]
    return left + (right - left) * (limit - low) / (high - low)
