"""Where a number is going: expected at the period's end, and when it meets its limit.

The vendor's own projection wins; its line runs from the present value to it. Our own for a flow is
made of daily increments, which are counted back from the instant of the data for up to 35 days,
across the start of the period and across resets. ``pace`` is their mean over the last 7 days and
the last 28, weighted by how well each has foretold the next week. From 14 days on, a profile of
the weekday distributes it: ``projected = used + pace * (weighted days left)``. The time between
the start of the period and the first known value went at its mean pace, so that without history
``projected`` is ``used`` divided by the elapsed fraction. Nothing is said before 10 % and 6 h have
passed, unless two weeks are known that reach into the period before, and nothing below zero.

A fall to less than half is a reset; a smaller one is a correction, and lowers the values before it.

A level without a period (storage, seats) follows the median slope of its last 28 days; a level with
one is a peak, and peaks are not projected. Errors on made-up months: docs/design/forecast.md.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import combinations
from statistics import median
from typing import NamedTuple, TypeAlias

from exporter.kernel.calendar import Span

Points: TypeAlias = Sequence[tuple[float, float]]
"""(epoch seconds, value) of one series, ascending, at most some hundreds: the hourly ledger."""
_DAY = 86400.0
MIN_FRACTION = 0.1
MIN_ELAPSED = 6 * 3600.0
MIN_HISTORY = 3 * _DAY  # of a level
WINDOW = 28 * _DAY  # of a level
_WEEK = 7 * _DAY
LEVEL_HORIZON = 30 * _DAY  # of a level where no billing period is known
MOST_DAYS = 35
SHORT, LONG = 7, 28  # days of the two means
PROFILE_DAYS = 14  # from which on weekdays are told apart, and the prior period is enough
_LOOK_BACK = 21  # days on which the two means are compared
_DISCOUNT = 0.9  # a day, of the errors in that comparison
_STOPPED = 2 * _DAY  # without growth at the limit: the vendor has stopped the use
_AT_LIMIT = 0.01  # relative: as near to the limit as that is at it
_LATE = 3 * _DAY  # beyond that a delay is no habit of the vendor's
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
    known = _in_data_time(history, at, polled)
    points = [*_of_period(known, period), (at, used)]
    reached = _reached([(period.start, floor), *points], limit, otherwise=period.start)
    # Of a period of days the values that a step of the history misses at its end are a large part.
    before: Points = ()
    if period.end - period.start >= _WEEK:
        before = known[: bisect_left(known, (period.start,))]
    foreknown = bool(before) and at - before[0][0] >= PROFILE_DAYS * _DAY
    if used < floor or not period.start <= at < period.end:
        return Outlook(None, reached)
    if not foreknown and at - period.start < _thin_seconds(period):
        return Outlook(None, reached)
    if _stopped(points, limit):
        return Outlook(used, reached)
    if known:
        increments = _increments(_grown(before, points, period.start, floor))
        ahead = list(_days_ahead(increments, period.end - at))
    else:
        ahead = [((used - floor) / (at - period.start), period.end - at)]
    return Outlook(
        used + sum(pace * length for pace, length in ahead),
        _meets((at, used), ahead, limit, period.end, reached),
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
    points = [*_of_period(_in_data_time(history, at, polled), period), (at, used)]
    reached = _reached([(period.start, 0.0), *points], limit, otherwise=period.start)
    left = period.end - at
    line = [((projected - used) / left, left)]
    return Outlook(projected, _meets((at, used), line, limit, period.end, reached))


def level(
    used: float,
    at: float,
    end: float | None,
    *,
    limit: float | None = None,
    history: Points = (),
) -> Outlook:
    """Return the outlook of what there is now, by the slope of its last 28 days.

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
    return Outlook(
        projected,
        _meets((at, used), [(slope, horizon - at)], limit, horizon, reached),
    )


def _in_data_time(history: Points, at: float, polled: float | None) -> Points:
    """Return the points before `at`, told in the time of the data as it is."""
    late = 0.0 if polled is None else polled - at
    if late > _LATE:
        # The data stand still. Their usual delay is that of the poll that first showed them.
        first, used = polled, history[-1][1] if history else 0.0
        for when, value in reversed(history):
            if value != used or when < at:
                break
            first = when
        late = min(late, (first or 0.0) - at)
    known = history[: bisect_left(history, (at + late,))]
    if late:
        known = [(when - late, value) for when, value in known]
    return known


def _of_period(known: Points, period: Span) -> Points:
    """Return the points of the period, without those of a reset that came late."""
    points = known[bisect_left(known, (period.start,)) :]
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


def _stopped(points: Points, limit: float | None) -> bool:
    """Tell whether the value stands at its limit and has not grown for two days."""
    at, used = points[-1]
    if limit is None or limit <= 0 or abs(used - limit) > _AT_LIMIT * limit:
        return False
    begin = at - _STOPPED
    return points[0][0] <= begin and _value_at(points, begin) >= used * (1 - _SAME)


def _grown(before: Points, points: Points, start: float, floor: float) -> Points:
    """Return one growing line of the period before and this one; its height means nothing."""
    own = _unrolled([(start, floor), *(point for point in points if point[0] > start)])
    if not before:
        return own
    line = _unrolled(before)
    (begin, low), (end, high) = line[0], line[-1]
    # What was used after the last poll of the old period was not seen.
    pace = (high - low) / (end - begin) if end - begin >= _DAY else 0.0
    base = high + pace * (start - end)
    return [*line, *((when, base + value - own[0][1]) for when, value in own)]


def _unrolled(points: Points) -> list[tuple[float, float]]:
    """Return the points without resets, and with corrections at the days that they correct."""
    when, after = points[-1]
    total, lowest = 0.0, after
    line = [(when, total)]
    for when, value in reversed(points[:-1]):
        if after < value / 2:
            total, lowest = total - max(lowest, 0.0), value
        elif value < lowest:
            total, lowest = total - (lowest - value), value
        line.append((when, total))
        after = value
    return line[::-1]


def _increments(line: Points) -> list[float]:
    """Return what each day brought, newest first; of less than a day its pace."""
    (first, low), (at, high) = line[0], line[-1]
    if at - first < _DAY:
        return [(high - low) * _DAY / (at - first)] if at > first else [0.0]
    found = []
    for number in range(1, min(MOST_DAYS, int((at - first) / _DAY)) + 1):
        low = _value_at(line, max(at - number * _DAY, first))
        found.append(high - low)
        high = low
    return found


def _days_ahead(increments: Sequence[float], left: float) -> Iterator[tuple[float, float]]:
    """Yield the pace of each day in the `left` seconds, and its length; both in seconds."""
    pace, profile = _pace(increments) / _DAY, _profile(increments)
    for number in range(math.ceil(left / _DAY)):
        yield pace * profile[-1 - number % 7], min(_DAY, left - number * _DAY)


def _pace(increments: Sequence[float]) -> float:
    """Return the mean of the last 7 and 28 days, weighted by what each foretold of late."""
    count = len(increments)
    if count <= SHORT:
        return sum(increments) / count
    sums = [0.0]
    for increment in increments:
        sums.append(sums[-1] + increment)

    def mean(newest: int, length: int) -> float:
        end = min(count, newest + length)
        return (sums[end] - sums[newest]) / (end - newest)

    short = long = 1e-12 * (sums[-1] / count) ** 2
    weight = 1.0
    for number in range(1, min(count - 3, _LOOK_BACK)):
        newest = max(0, number - SHORT)
        came = mean(newest, number - newest)
        short += weight * (mean(number, SHORT) - came) ** 2
        long += weight * (mean(number, LONG) - came) ** 2
        weight *= _DISCOUNT
    if short + long <= 0:
        return mean(0, LONG)
    share = (long / (short + long)) ** 2, (short / (short + long)) ** 2
    return (share[0] * mean(0, SHORT) + share[1] * mean(0, LONG)) / sum(share)


def _profile(increments: Sequence[float]) -> list[float]:
    """Return the share of each weekday, 1 on average, newest first.

    One day more at the mean counts for each weekday, so that few weeks give a flat profile.
    """
    whole = increments[: len(increments) // 7 * 7]
    if len(whole) < PROFILE_DAYS or (mean := sum(whole) / len(whole)) <= 0:
        return [1.0] * 7
    weeks = len(whole) // 7
    return [(sum(whole[day::7]) / mean + 1) / (weeks + 1) for day in range(7)]


def _value_at(points: Points, when: float) -> float:
    """Return the value at `when`, between its neighbours on a straight line."""
    after = bisect_left(points, (when,))
    if after == 0 or points[after][0] == when:
        return points[after][1]
    (left, low), (right, high) = points[after - 1], points[after]
    return low + (high - low) * (when - left) / (right - left)


def _slope(points: Points) -> float:
    """Return the median of the slopes between any two days, per second (Theil-Sen).

    A migration or a clean-up is one day among many, where a least-squares line bends to it.
    """
    first, at = points[0][0], points[-1][0]
    whens = [max(first, at - number * _DAY) for number in range(int((at - first) / _DAY) + 1)]
    days = [(when, _value_at(points, when)) for when in whens]
    return median(
        (value - before) / (when - then) for (when, value), (then, before) in combinations(days, 2)
    )


def _meets(
    point: tuple[float, float],
    ahead: Points,
    limit: float | None,
    end: float,
    reached: float | None,
) -> float | None:
    """Return when the limit is met, or was met; never beyond the `end`.

    `ahead` is what comes after `point`: paces per second, each with its length in seconds.
    """
    when, used = point
    if reached is not None or limit is None or limit <= 0 or used >= limit:
        return reached
    for pace, length in ahead:
        if used + pace * length >= limit:
            when += (limit - used) / pace
            return when if when < end else None
        used, when = used + pace * length, when + length
    return None


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
