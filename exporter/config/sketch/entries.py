"""Open maps: those whose keys are data, and whose entries are alike."""

from collections.abc import Iterable, Sequence

from exporter.config.sketch.numbers import is_number
from exporter.config.sketch.shape import ODD, Leaf, Map, Odd, Series, Shape, Table
from exporter.config.sketch.words import (
    MONEY_WORDS,
    UNIT_KEYS,
    about,
    counts_bytes,
    role_of,
    tokens,
)

_PATTERN = 2  # entries: one is no pattern
_FEW = 12  # entries that a definition would rather name one by one
_ALIKE = 0.5  # the share of keys that the entries of an open map have in common


def is_open(found: Map, title: str) -> bool:
    """Tell whether a map's keys are data: its entries are maps that look alike."""
    maps = {key: one for key, one in found.entries.items() if isinstance(one, Map)}
    if len(maps) < _PATTERN or not found.whole or all(_is_word(key) for key in maps):
        return False
    columns = [
        {key for key, one in row.entries.items() if not isinstance(one, Odd)}
        for row in maps.values()
    ]
    common = set.intersection(*columns)
    few = len(maps) <= _FEW and about(title) != "projected"
    if few and not _tells_units(common) and any(map(counts_bytes, maps)):
        return False  # each entry has a unit of its own, and only its key tells which
    numbers = any(_has_number(row.entries[key]) for row in maps.values() for key in common)
    return numbers and len(common) >= _ALIKE * len(set.union(*columns))


def _tells_units(columns: Iterable[str]) -> bool:
    return any(word in UNIT_KEYS for key in columns for word in tokens(key))


def _is_word(key: str) -> bool:
    """Tell whether a key is a role, so that its map is no entry among others."""
    return bool(role_of(key)) or key.lower() in MONEY_WORDS


def _has_number(shape: Shape) -> bool:
    return isinstance(shape, Leaf) and any(map(is_number, shape.values))


def overlaid(maps: Sequence[Map]) -> Map:
    """Lay the entries of an open map over each other."""
    keys = dict.fromkeys(key for one in maps for key in one.entries)
    return Map(
        {key: _merged([one.entries.get(key) for one in maps]) for key in keys},
        whole=all(one.whole for one in maps),
        always=all(one.always for one in maps),
    )


def _merged(shapes: Sequence[Shape | None]) -> Shape:
    given = [one for one in shapes if one is not None]
    leaves = [one for one in given if isinstance(one, Leaf)]
    maps = [one for one in given if isinstance(one, Map)]
    tables = [one for one in given if isinstance(one, Table)]
    if len(leaves) == len(given):
        absent = (None,) * (len(shapes) - len(given))
        return Leaf(tuple(value for one in leaves for value in one.values) + absent)
    if len(maps) == len(given):
        absent_map = [Map({}, always=False)] * (len(shapes) - len(given))
        return overlaid([*maps, *absent_map])
    empty = [one for one in given if isinstance(one, Series) and not one.values]
    if tables and len(tables) + len(empty) == len(given):
        always = len(given) == len(shapes) and all(one.always for one in tables)
        count = sum(one.count for one in tables)
        return Table(overlaid([one.row for one in tables]), count, always)
    return ODD
