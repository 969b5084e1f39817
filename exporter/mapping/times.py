"""Instants of an answer. The same few texts come with every row and every poll: they are kept."""

import functools
from collections.abc import Sequence
from datetime import UTC, tzinfo

from exporter.kernel.timestamps import parse_timestamp
from exporter.mapping.misfit import Misfit, told

_LONGEST = 128  # characters of a text that is kept: blanks around a time are no error


# Typed, because to a dictionary True is 1, and 1 is a time.
@functools.lru_cache(maxsize=4096, typed=True)
def _known(found: str | float, zone: tzinfo) -> float | None:
    return parse_timestamp(found, zone=zone)


def epochs(found: Sequence[object], path: str) -> list[float]:
    """Return the epoch seconds of what was found at `path` in many rows.

    Raises Misfit for what is no time, or none.
    """
    try:
        # Mostly texts that are known: without a call of ours for each of them.
        times = [
            _known(one, UTC) if type(one) is str and len(one) <= _LONGEST else epoch(one, path)
            for one in found
        ]
    except ValueError as error:
        raise Misfit(path, str(error)) from error
    known = [time for time in times if time is not None]
    if len(known) < len(times):
        nothing = told(found[times.index(None)])
        raise Misfit(path, f"found {nothing} in the place of the time that orders the rows.")
    return known


def epoch(found: object, path: str, zone: tzinfo = UTC) -> float | None:
    """Return the epoch seconds of what was found at `path`; None for "no time".

    Raises Misfit for what is no time.
    """
    try:
        if isinstance(found, int | float) or (isinstance(found, str) and len(found) <= _LONGEST):
            return _known(found, zone)
        return parse_timestamp(found, zone=zone)
    except ValueError as error:
        raise Misfit(path, str(error)) from error
