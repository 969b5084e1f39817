"""Numbers, units, reductions and times of an answer."""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from exporter.config.compile import leaves
from exporter.config.compile.rows import Names, check_names
from exporter.config.findings import Place
from exporter.config.grammar import rules as grammar
from exporter.config.grammar.rules import InstantText, ReduceText, UnitText, ValueText
from exporter.kernel.select import Selector
from exporter.kernel.units import Kind
from exporter.model.definition import (
    How,
    Instant,
    Missing,
    Reduce,
    UnitRule,
    Value,
    Zero,
)
from exporter.model.sample import MEASURED

_ORDERED: Final = frozenset({How.FIRST, How.LAST})
SHARE: Final = (Kind.RATIO,)
MONEY: Final = (Kind.MONEY,)
MEASURES: Final = MEASURED


class Role(msgspec.Struct, frozen=True):
    """What a number is for: which units it may have, and whether it is a limit."""

    kinds: tuple[Kind, ...] = MEASURES
    unit: str | None = None  # the unit where nothing else is said; None: the rule's
    limit: bool = False


def value(place: Place, text: grammar.Value, role: Role, names: Names) -> Value:
    """Compile how one number is read."""
    default = UnitRule(unit=leaves.unit(place, role.unit, role.kinds)) if role.unit else None
    if not isinstance(text, ValueText):
        return Value(paths=scoped_paths(place, text, names), unit=default)
    _check_value(place, text, role)
    if text.add:
        found = scoped_paths(place / "add", text.add, names)
    else:
        found = scoped_paths(place / "path", text.path, names)
    return Value(
        paths=found,
        add=bool(text.add),
        pattern=leaves.pattern(place / "regex", text.regex, groups=1),
        words={word: float(number) for word, number in text.words.items()},
        missing=Missing(text.missing),
        unlimited=tuple(text.unlimited),
        zero=Zero(text.zero),
        unit=unit_rule(place / "unit", text.unit, role.kinds, names) or default,
        reduce=reduction(place / "reduce", text.reduce, names),
    )


def _check_value(place: Place, text: ValueText, role: Role) -> None:
    if text.path is UNSET and not text.add and place.whole:
        place.error('"path" is missing. Write where the number stands.')
    if text.path is not UNSET and text.add:
        (place / "add").key_error('A number has "path" or "add". Delete one of them.')
    for field, usual in (("unlimited", []), ("zero", "limit")):
        if getattr(text, field) != usual and not role.limit:
            (place / field).key_error(f'Only a limit has "{field}". Delete it.')


def scoped_paths(
    place: Place, text: str | list[str] | UnsetType, names: Names
) -> tuple[Selector, ...]:
    """Compile paths that are looked up in the scope of a row."""
    found = leaves.paths(place, text)
    for index, one in enumerate(found):
        check_names(place / index if isinstance(text, list) else place, one, names)
    if text == []:
        place.error("The list is empty. Write at least one path.")
    return found


def unit_rule(
    place: Place, text: str | UnitText | UnsetType, kinds: Iterable[Kind], names: Names
) -> UnitRule | None:
    """Compile a fixed unit, or the vendor's words for it."""
    if isinstance(text, UnsetType):
        return None
    if isinstance(text, str):
        return UnitRule(unit=leaves.unit(place, text, kinds))
    otherwise = text.otherwise
    return UnitRule(
        path=scoped_path(place / "from", text.source, names),
        words={
            word: leaves.unit(place / "words" / word, meaning, kinds)
            for word, meaning in text.words.items()
        },
        otherwise=None
        if isinstance(otherwise, UnsetType)
        else leaves.unit(place / "otherwise", otherwise, kinds),
        kinds=frozenset(kinds),
        pattern=leaves.pattern(place / "regex", text.regex, groups=1),
    )


def scoped_path(place: Place, text: str, names: Names) -> Selector:
    """Compile a path that is looked up in the scope of a row."""
    found = leaves.path(place, text)
    check_names(place, found, names)
    return found


def reduction(
    place: Place, text: grammar.How | ReduceText | UnsetType, names: Names
) -> Reduce | None:
    """Compile how several rows become one number."""
    match text:
        case UnsetType():
            return None
        case ReduceText():
            how = How(text.how)
            if text.by is not UNSET and how not in _ORDERED:
                (place / "by").key_error('Only "first" and "last" go by a time. Delete it.')
            by = (
                None
                if isinstance(text.by, UnsetType)
                else scoped_path(place / "by", text.by, names)
            )
            return Reduce(how=how, by=by)
        case _:
            return Reduce(how=How(text))


def instant(
    place: Place, text: grammar.Instant | UnsetType, names: Names, zone: str
) -> Instant | None:
    """Compile where a time stands; `zone` is that of times without one."""
    match text:
        case UnsetType():
            return None
        case InstantText():
            return Instant(
                paths=scoped_paths(place / "path", text.path, names),
                zone=leaves.zone(place / "zone", text.zone, zone),
            )
        case _:
            return Instant(paths=scoped_paths(place, text, names), zone=zone)
