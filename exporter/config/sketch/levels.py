"""The levels of an answer: the answer itself, and below it each list and each open map.

A level has spots (scalars that all its rows have in the same place) and levels below it.
"""

from collections.abc import Iterator, Sequence

import msgspec

from exporter.config.sketch.entries import is_open, overlaid
from exporter.config.sketch.numbers import is_number
from exporter.config.sketch.paths import below, literal, path
from exporter.config.sketch.shape import Leaf, Map, Series, Shape, Table
from exporter.config.sketch.words import NAME, role_of, singular

_PAIR_VALUES = ("value", "amount", "count", "quantity", "total", "val", "current")
_MOST_PAIR_COLUMNS = 4


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """A scalar: the keys that lead to it from its level, its path in the scope, what was seen."""

    keys: tuple[str, ...]
    path: str
    values: tuple[object, ...]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One iteration: ``each`` of a definition. ``title`` is the key of the list."""

    path: str
    name: str
    title: str
    optional: bool = False


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that are alike. ``key`` is the path of an open map's ``keys``, "" for a list."""

    steps: tuple[Step, ...] = ()
    where: str = ""
    key: str = ""
    keys: tuple[str, ...] = ()
    count: int = 1
    spots: tuple[Spot, ...] = ()
    above: "Level | None" = None

    @property
    def title(self) -> str:
        """What the list or map is called; "" for the answer."""
        return self.steps[-1].title if self.steps else ""


def levels(shape: Shape) -> list[Level]:
    """Return the levels of a document, each before those that are below it."""
    match shape:
        case Map() if is_open(shape, ""):
            return list(_entries(shape, "items(root)", "", Level()))
        case Map():
            return list(_walk(shape, "", Level()))
        case Table():
            return list(_table(shape, "@", "", Level()))
        case _:
            return []


def _walk(row: Map, prefix: str, level: Level) -> Iterator[Level]:
    """Yield `level` with its spots, then what is below it. `prefix` is the row in the scope."""
    parts = list(_parts(row, (), prefix))
    spots = tuple(one for one in parts if isinstance(one, Spot))
    whole = msgspec.structs.replace(level, spots=spots)
    yield whole
    for part in parts:
        if isinstance(part, Spot):
            continue
        keys, found = part
        place, title = below(prefix, keys), keys[-1] if keys else ""
        match found:
            case Table():
                yield from _table(found, place, title, whole)
            case Map() if is_open(found, title):
                yield from _entries(found, f"items({place})", title, whole)
            case Map():
                yield from _parallel(found, place, title, whole)
            case _:
                continue


def _parts(
    row: Map, keys: tuple[str, ...], prefix: str
) -> Iterator[Spot | tuple[tuple[str, ...], Shape]]:
    """Yield the spots of a row, and with their keys the parts that are levels of their own."""
    if _series_of(row):
        yield keys, row
    for key, found in row.entries.items():
        here = (*keys, key)
        match found:
            case Leaf():
                yield Spot(keys=here, path=below(prefix, here), values=found.values)
            case Map() if not is_open(found, key):
                yield from _parts(found, here, prefix)
            case Table() if pairs := _pairs(found, here, prefix):
                yield from pairs
            case Map() | Table():
                yield here, found
            case _:
                continue


def _table(table: Table, place: str, title: str, above: Level) -> Iterator[Level]:
    step = _step(place, title, above, optional=not table.always or bool(above.where))
    level = Level(steps=(*above.steps, step), where=above.where, count=table.count, above=above)
    yield from _walk(table.row, step.name, level)


def _entries(found: Map, place: str, title: str, above: Level) -> Iterator[Level]:
    """Yield the level of an open map; scalars among its entries are passed over."""
    maps = [one for one in found.entries.values() if isinstance(one, Map)]
    step = _step(place, title, above, optional=not found.always or bool(above.where))
    mixed = len(maps) < len(found.entries)
    own = f"type({step.name}.value) == 'object'" if mixed else ""
    level = Level(
        steps=(*above.steps, step),
        where=" && ".join(filter(None, (above.where, own))),
        key=f"{step.name}.key",
        keys=tuple(key for key, one in found.entries.items() if isinstance(one, Map)),
        count=len(maps),
        above=above,
    )
    yield from _walk(overlaid(maps), f"{step.name}.value", level)


def _parallel(found: Map, place: str, title: str, above: Level) -> Iterator[Level]:
    """Yield a level for two lists side by side: labels here, values there."""
    pair = _series_of(found)
    if not pair:
        return
    (label, labels), (number, numbers) = pair
    both = f"zip({below(place, (label,))}, {below(place, (number,))})"
    always = labels.always and numbers.always
    step = _step(both, title or number, above, optional=not always or bool(above.where))
    spots = (
        Spot(keys=(_column(label, "name"),), path=f"{step.name}[0]", values=labels.values),
        Spot(keys=(_column(number, "value"),), path=f"{step.name}[1]", values=numbers.values),
    )
    yield Level(
        steps=(*above.steps, step),
        where=above.where,
        count=len(labels.values),
        spots=spots,
        above=above,
    )


def _column(key: str, otherwise: str) -> str:
    """Return what one value of a list is called: ``labels`` has a label."""
    word = singular(key, otherwise)
    return word if word in (*NAME, *_PAIR_VALUES) or role_of(word) else otherwise


def _step(place: str, title: str, above: Level, *, optional: bool) -> Step:
    taken = {step.name for step in above.steps}
    name = singular(title, "row_of_it") if title else "entry"
    while name in taken:
        name += "_too"
    return Step(path=place, name=name, title=title, optional=optional)


# -------------------------------------------------------------------------- pairs and series


def _pairs(table: Table, keys: tuple[str, ...], prefix: str) -> list[Spot]:
    """Return a list of names and values as the spots that it stands for; [] if it is none.

    ``[{name: used, value: 3}, {name: limit, value: 9}]`` is a map in disguise, if the names are
    words that say what a number is for.
    """
    columns = table.row.entries
    value = next((key for key in _PAIR_VALUES if isinstance(columns.get(key), Leaf)), None)
    if value is None or len(columns) > _MOST_PAIR_COLUMNS:
        return []
    seen = columns[value]
    for key in NAME:
        names = columns.get(key)
        if isinstance(names, Leaf) and isinstance(seen, Leaf) and _are_roles(names.values):
            found = []
            for name in dict.fromkeys(str(one) for one in names.values):
                quoted = literal(name)
                if quoted is None:
                    return []
                place = f"{below(prefix, keys)}[?{path((key,))} == {quoted}].{value} | [0]"
                at = [
                    one for one, text in zip(seen.values, names.values, strict=True) if text == name
                ]
                found.append(Spot(keys=(*keys[:-1], name), path=place, values=tuple(at)))
            return found
    return []


def _are_roles(names: Sequence[object]) -> bool:
    texts = [name for name in names if isinstance(name, str)]
    roles = sum(bool(role_of(text)) for text in texts)
    return len(texts) == len(names) and 2 * roles >= len(texts) > 1


def _series_of(found: Map) -> tuple[tuple[str, Series], tuple[str, Series]] | None:
    """Return the texts and the numbers of a map that holds lists of equal length."""
    series = [(key, one) for key, one in found.entries.items() if isinstance(one, Series)]
    texts = [pair for pair in series if _all(pair[1], str)]
    numbers = [pair for pair in series if pair[1].values and all(map(is_number, pair[1].values))]
    for label in texts:
        for number in numbers:
            if label[0] != number[0] and len(label[1].values) == len(number[1].values):
                return label, number
    return None


def _all(series: Series, kind: type) -> bool:
    return bool(series.values) and all(isinstance(value, kind) for value in series.values)
