"""Rows: what tells them apart, and what that makes of their numbers.

A list of metrics (name, used, limit) gives a resource for each row; a list of days gives sums, or
the last of a level; a list of projects gives a sum and a breakdown.
"""

from collections.abc import Iterator

import msgspec

from exporter.config.sketch import money, times, words
from exporter.config.sketch.draft import Cost, Item, Number, Period, Resource, Rows, Words
from exporter.config.sketch.levels import Level
from exporter.config.sketch.naming import Naming, label_of, naming_of, units_of
from exporter.config.sketch.roles import Group, groups
from exporter.kernel.units import snake

_SHARES = ("percent", "ratio")
_APART = frozenset({"limit", "remaining", *_SHARES})
"""Roles of which the sum over all rows says little: such rows are resources of their own."""


def resources(level: Level, known: set[str]) -> Iterator[Resource | Item]:
    """Yield what the numbers of a level are; `known` are the resources of the levels above."""
    prices = money.amounts(level)
    spots = [spot for spot in level.spots if not times.is_time(spot) and spot not in prices]
    naming = naming_of(level)
    projected = words.about(level.title) == "projected"
    for group in groups(spots, units_of(level), level.title):
        if projected:  # its percentage is that of the projection
            for share in _SHARES:
                group.numbers.pop(share, None)
        if not group.numbers:
            continue
        if not level.steps:
            if not group.bare:
                yield _resource(level, naming, group, group.thing or "usage")
        elif naming.name and not group.thing:
            yield _resource(level, naming, group, _hole(naming.name))
        elif naming.name and group.numbers.keys() & _APART and not naming.date:
            yield _resource(level, naming, group, f"{group.thing}_{_hole(naming.name)}")
        else:
            yield from _summed(level, naming, group, known)


def _summed(
    level: Level, naming: Naming, group: Group, known: set[str]
) -> Iterator[Resource | Item]:
    """Yield the sum of rows, unless a level above has it, and with names the parts."""
    thing = _safe(group.thing or _of(level))
    if thing not in known:
        yield _resource(level, naming, group, thing)
    label = label_of(level, naming)
    if label and "used" in group.numbers:
        yield Item(
            resource=thing,
            group=_of(level),
            item=label,
            rows=_rows(level, ""),
            number=group.numbers["used"],
            unit=group.unit,
        )


def costs(level: Level, *, told: bool) -> Iterator[Cost | Item]:
    """Yield what the money of a level is; `told`: the total stands above, these are its parts."""
    for spots in money.places(level)[:1]:
        roles = money.roles(spots)
        currency = money.currency(spots, level)
        naming = naming_of(level)
        if not told:
            reduce = "sum" if level.steps else ""
            yield Cost(
                currency=currency.text,
                told=currency.told,
                rows=_rows(level, reduce),
                roles=money.numbers(roles),
            )
        label = label_of(level, naming)
        if level.steps and label and "cost" in roles:
            yield Item(
                resource="spend",
                group=_of(level),
                item=label,
                rows=_rows(level, ""),
                number=money.numbers(roles)["cost"],
                currency=currency.text,
                told=currency.told,
            )


def _resource(level: Level, naming: Naming, group: Group, name: str) -> Resource:
    reduce = _reduce(level, naming, group, name)
    is_level = bool(set(words.tokens(group.thing)) & words.LEVELS)
    numbers = {
        role: msgspec.structs.replace(number, reduce=_reduced(role, number, reduce, naming))
        for role, number in group.numbers.items()
    }
    own = level.steps and _hole(naming.name) in name and not naming.date
    return Resource(
        name=_safe(name),
        unit=_unit(group.unit, named="{" in name or not level.steps),
        rows=_rows(level, reduce),
        roles=numbers,
        level=is_level and "{" not in name,
        levels=_levels_among(naming) if "{" in name else (),
        period=_own_period(level) if own else None,
        as_of=times.as_of(level.spots) if not level.steps else "",
        remark=group.remark,
        entries=level.keys if level.key and level.key in name else (),
    )


def _unit(unit: str | Words, *, named: bool) -> str | Words:
    """Keep the unit that a row tells, unless rows of several units would be summed."""
    if isinstance(unit, str) or named:
        return unit
    meant = set(unit.words.values())
    return meant.pop() if len(meant) == 1 else "quantity"


def _reduce(level: Level, naming: Naming, group: Group, name: str) -> str:
    if not level.steps:
        return ""
    if "{" in name and naming.unique and not naming.date and len(level.steps) == 1:
        return ""
    if naming.date and set(words.tokens(group.thing)) & words.LEVELS:
        return f"{{how: last, by: {naming.date}}}"
    return "sum"


def _reduced(role: str, number: Number, reduce: str, naming: Naming) -> str:
    """Say how a role is reduced where that is not as its rule is: a limit is no sum of days."""
    if not reduce or reduce != "sum":
        return ""
    if role in _SHARES:
        return "max"
    if naming.date and role in ("limit", "remaining", "projected"):
        return f"{{how: last, by: {naming.date}}}"
    return ""


def _rows(level: Level, reduce: str) -> Rows:
    return Rows(steps=level.steps, where=level.where, reduce=reduce)


def _levels_among(naming: Naming) -> tuple[str, ...]:
    names = dict.fromkeys(snake(text) for text in naming.texts)
    return tuple(name for name in names if set(name.split("_")) & words.LEVELS)


def _own_period(level: Level) -> Period | None:
    found = times.period(level.spots)
    return found if found is not None and found.start and found.end else None


def _hole(path: str) -> str:
    return f"{{{path}}}"


def _of(level: Level) -> str:
    """Return what one row is called: the group of a breakdown."""
    name = level.steps[-1].name if level.steps else ""
    return "row" if name in ("", "entry", "row_of_it") else name


def _safe(name: str) -> str:
    """Return a name that is allowed: small letters first, and not the one that costs have."""
    if name == "spend":
        return "spending"
    return name if name[0].isalpha() or name[0] == "{" else f"n{name}"
