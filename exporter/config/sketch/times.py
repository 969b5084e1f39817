"""Periods, and the dates that tell rows apart."""

from collections.abc import Sequence
from datetime import UTC, datetime

from exporter.config.sketch import words
from exporter.config.sketch.draft import Period
from exporter.config.sketch.levels import Spot
from exporter.config.sketch.numbers import are_times
from exporter.kernel.calendar import parse_timestamp

_TO_THE_SECOND = ("23:59:59", "23:59")
_A_DAY = 86_400.0


def is_time(spot: Spot) -> bool:
    """Tell whether a spot holds times, and its key or one above says so."""
    said = set(words.tokens(" ".join(spot.keys)))
    return bool(
        said & (words.START | words.END | words.AS_OF | words.DATE | words.EPOCH)
    ) and are_times(spot.values)


def period(spots: Sequence[Spot]) -> Period | None:
    """Return the period that a level tells, None where it does not."""
    times = [spot for spot in spots if are_times(spot.values)]
    starts = [spot for spot in times if _says(spot, words.START)]
    ends = [spot for spot in times if _says(spot, words.END)]
    for start in starts:
        for end in ends:
            if start.keys[:-1] == end.keys[:-1]:
                inclusive = _is_inclusive(start.values[0], end.values[0])
                return Period(start=start.path, end=end.path, inclusive=inclusive)
    if ends:
        return Period(end=ends[0].path, cycle=_cycle(ends[0]))
    if starts:
        return Period(start=starts[0].path, cycle=_cycle(starts[0]))
    return None


def as_of(spots: Sequence[Spot]) -> str:
    """Return where the time of the data itself stands; "" where it does not."""
    for spot in spots:
        said = words.tokens(spot.keys[-1])
        if are_times(spot.values) and (set(said) & words.AS_OF or said == ["as", "of"]):
            return spot.path
    return ""


def date_of(spots: Sequence[Spot]) -> Spot | None:
    """Return the column that says when a row was, None where none does."""
    found = [
        spot
        for spot in spots
        if all(value is not None and value != "" for value in spot.values)
        and are_times(spot.values)
        and set(words.tokens(spot.keys[-1])) & words.DATE
    ]
    return min(found, key=lambda spot: len(spot.keys), default=None)


def _says(spot: Spot, wanted: frozenset[str]) -> bool:
    return bool(set(words.tokens(spot.keys[-1])) & wanted)


def _cycle(spot: Spot) -> str:
    said = set(words.tokens(" ".join(spot.keys)))
    for cycle, known in words.CYCLES.items():
        if said & set(known.split()):
            return cycle
    return "month"


def _is_inclusive(start: object, end: object) -> bool:
    """Tell whether a period ends with its last day or second: 1 to 30 November is November."""
    if not isinstance(end, str) or not isinstance(start, str):
        return False
    if any(mark in end for mark in _TO_THE_SECOND):
        return True
    first, last = parse_timestamp(start), parse_timestamp(end)
    if len(end) != len("2026-11-30") or first is None or last is None:
        return False
    after = datetime.fromtimestamp(last + _A_DAY, UTC)
    return after.day == datetime.fromtimestamp(first, UTC).day and last > first
