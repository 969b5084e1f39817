"""Instants of an answer. The same few texts come with every row and every poll: they are kept."""

import functools
from datetime import UTC, tzinfo

from exporter.kernel.timestamps import parse_timestamp
from exporter.mapping.misfit import Misfit


# Typed, because to a dictionary True is 1, and 1 is a time.
@functools.lru_cache(maxsize=4096, typed=True)
def _known(found: str | float, zone: tzinfo) -> float | None:
    return parse_timestamp(found, zone=zone)


def epoch(found: object, path: str, zone: tzinfo = UTC) -> float | None:
    """Return the epoch seconds of what was found at `path`; None for "no time".

    Raises Misfit for what is no time.
    """
    try:
        if isinstance(found, str | int | float):
            return _known(found, zone)
        return parse_timestamp(found, zone=zone)
    except ValueError as error:
        raise Misfit(path, str(error)) from error
