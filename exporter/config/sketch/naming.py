"""What tells the rows of a level apart: names, dates, and the columns that name units."""

import msgspec

from exporter.config.sketch import times, words
from exporter.config.sketch.levels import Level, Spot
from exporter.config.sketch.numbers import are_times
from exporter.kernel.units import Kind, snake


class Naming(msgspec.Struct, frozen=True, kw_only=True):
    """What tells the rows of a level apart: a name in the scope, a date, or neither.

    ``texts`` are the names that were seen, ``unique`` whether each came once.
    """

    name: str = ""
    texts: tuple[str, ...] = ()
    unique: bool = False
    date: str = ""


def naming_of(level: Level) -> Naming:
    """Return what tells rows apart; where a level has no names of its own, those above it."""
    if not level.steps:
        return Naming()
    date = times.date_of(level.spots)
    told = "" if date is None else date.path
    if level.key and are_times(level.keys):
        return Naming(date=level.key)
    if level.key:
        unique = len({snake(key) for key in level.keys}) == len(level.keys)
        return Naming(name=level.key, texts=level.keys, unique=unique, date=told)
    own = _name_column(level)
    if own is not None:
        texts = tuple(str(value) for value in own.values)
        return Naming(name=own.path, texts=texts, unique=_is_unique(own), date=told)
    above = Naming() if level.above is None else naming_of(level.above)
    return Naming(name=above.name, texts=above.texts, date=told)


def _name_column(level: Level) -> Spot | None:
    """Return the best column of texts that name something, None where there is none.

    One that names each row apart is best, then one whose rows are all in one kind of unit. What is
    the same in all rows names none of them.
    """
    fitting = [
        ((not _is_unique(spot), not _is_of_one_kind(spot, level), rank), spot)
        for spot in level.spots
        if (rank := _rank(spot)) is not None
        and all(isinstance(value, str) and snake(value).strip("_") for value in spot.values)
        and (level.count == 1 or len(set(spot.values)) > 1)
        and not times.is_time(spot)
        and not {"{", "}"} & set(spot.path)
    ]
    return min(fitting, key=lambda one: one[0])[1] if fitting else None


def _is_unique(spot: Spot) -> bool:
    return len({snake(str(value)) for value in spot.values}) == len(spot.values)


def _is_of_one_kind(spot: Spot, level: Level) -> bool:
    """Tell whether all rows of each name are measured in one kind of unit."""
    for unit in units_of(level):
        kinds: dict[str, set[Kind]] = {}
        for value, word in zip(spot.values, unit.values, strict=False):
            kind = words.kind_of(words.known_unit(str(word)))
            kinds.setdefault(snake(str(value)), set()).add(kind)
        if any(len(seen) > 1 for seen in kinds.values()):
            return False
    return True


def _rank(spot: Spot) -> tuple[bool, int, int] | None:
    """Return how well a key says that it names the row: in one word, by a good word, at the top."""
    said = words.tokens(spot.keys[-1])
    ranks = [words.NAME.index(word) for word in said if word in words.NAME]
    if not ranks or set(said) & words.UNIT_KEYS:
        return None
    return len(said) > 1, min(ranks), len(spot.keys)


def label_of(level: Level, naming: Naming) -> str:
    """Return what names the items of a breakdown: the column of names, or any that holds ids."""
    if naming.name:
        return naming.name
    found = [
        spot.path
        for spot in level.spots
        if _rank(spot) is not None and all(type(value) in (str, int) for value in spot.values)
    ]
    return found[0] if found and not naming.date else ""


def units_of(level: Level) -> list[Spot]:
    """Return the columns that name units, in every row one."""
    return [
        spot
        for spot in level.spots
        if set(words.tokens(spot.keys[-1])) & words.UNIT_KEYS
        and all(isinstance(value, str) and value for value in spot.values)
    ]
