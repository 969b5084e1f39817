"""What is in an answer: maps, tables and leaves, with all values that were seen at a place.

The rows of a list are laid over each other, so that a column is one leaf. What is not the same
kind of thing in every row is odd, and nothing is guessed from it.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

_DEEPEST = 10  # levels; nothing that is used so far down is guessed
_MOST_ROWS = 1_000
_MOST_KEYS = 1_000
_LONGEST_KEY = 80


class Leaf(msgspec.Struct, frozen=True):
    """A scalar: what each row has there, null where it has nothing."""

    values: tuple[object, ...]


class Map(msgspec.Struct, frozen=True):
    """A map: its entries in their order. ``whole``: none was left out for its odd key.

    ``always``: it was there wherever it could be.
    """

    entries: Mapping[str, "Shape"]
    whole: bool = True
    always: bool = True


class Table(msgspec.Struct, frozen=True):
    """A list of maps, laid over each other. ``always``: it was there wherever it could be."""

    row: Map
    count: int
    always: bool = True


class Series(msgspec.Struct, frozen=True):
    """A list of scalars."""

    values: tuple[object, ...]
    always: bool = True


class Odd(msgspec.Struct, frozen=True):
    """Nothing to guess from."""


Shape: TypeAlias = Leaf | Map | Table | Series | Odd
ODD = Odd()


def shape_of(document: object) -> Shape:
    """Return the shape of one document."""
    return _laid((document,), 0)


def _laid(values: Sequence[object], depth: int) -> Shape:
    given = [value for value in values if value is not None]
    if depth > _DEEPEST:
        return ODD
    if all(isinstance(value, dict) for value in given) and given:
        return _map([value for value in given if isinstance(value, dict)], depth, len(values))
    if all(isinstance(value, list) for value in given) and given:
        lists = [value for value in given if isinstance(value, list)]
        return _rows(lists, depth, always=len(given) == len(values))
    if any(isinstance(value, dict | list) for value in given):
        return ODD
    return Leaf(tuple(values))


def _map(maps: Sequence[Mapping[object, object]], depth: int, wanted: int) -> Map:
    keys = dict.fromkeys(key for one in maps for key in one)
    usable = [key for key in keys if isinstance(key, str) and _is_usable(key)][:_MOST_KEYS]
    absent = [None] * (wanted - len(maps))
    return Map(
        {key: _laid([*(one.get(key) for one in maps), *absent], depth + 1) for key in usable},
        whole=len(usable) == len(keys),
        always=not absent,
    )


def _rows(lists: Sequence[list[object]], depth: int, *, always: bool) -> Shape:
    rows = [row for one in lists for row in one][:_MOST_ROWS]
    if rows and all(isinstance(row, dict) for row in rows):
        row = _laid(rows, depth + 1)
        return Table(row, len(rows), always) if isinstance(row, Map) else ODD
    if not any(isinstance(row, dict | list) for row in rows):
        return Series(tuple(rows), always)
    return ODD


def _is_usable(key: str) -> bool:
    return 0 < len(key) <= _LONGEST_KEY and key.isprintable() and not key.isspace()
