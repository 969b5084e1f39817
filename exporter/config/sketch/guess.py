"""All guesses from one answer, in the order in which a definition has them."""

from collections.abc import Iterable

import msgspec

from exporter.config.sketch import money, tables, times, words
from exporter.config.sketch.draft import Cost, Item, Resource, Sketch, Words
from exporter.config.sketch.levels import Level, Spot, levels
from exporter.config.sketch.numbers import is_column
from exporter.config.sketch.pages import paging
from exporter.config.sketch.paths import yaml
from exporter.config.sketch.sample import Sample
from exporter.config.sketch.shape import shape_of

_MOST_RULES = 40
_MOST_UNREAD = 12


def sketch(sample: Sample) -> Sketch:
    """Return what an answer looks like it means."""
    found = levels(shape_of(sample.document))
    top = next((level for level in found if not level.steps), None)
    spots = () if top is None else top.spots
    resources, costs, items = _rules(found)
    numbers = [number for one in resources for number in one.roles.values()]
    numbers += [number for one in costs for number in one.roles.values()]
    read = {number.path for number in (*numbers, *(one.number for one in items))}
    return Sketch(
        lines=sample.lines,
        paging=paging(sample.document, _first_rows(found)),
        resources=tuple(resources),
        costs=tuple(costs),
        items=tuple(items),
        plan=_plan(spots),
        period=times.period(spots),
        unread=_unread(found, read),
    )


def _rules(found: list[Level]) -> tuple[list[Resource], list[Cost], list[Item]]:
    resources: dict[str, Resource] = {}
    costs: list[Cost] = []
    items: list[Item] = []
    for level in found:
        for rule in tables.resources(level, set(resources)):
            if isinstance(rule, Item):
                items.append(rule)
            else:
                name = rule.name if "{" not in rule.name else f"{rule.name} {level.steps}"
                resources.setdefault(name, rule)
        for charge in tables.costs(level, told=bool(costs)):
            if isinstance(charge, Item):
                items.append(charge)
            else:
                costs.append(charge)
    named = [_with_unit(rule, resources.values()) for rule in resources.values()]
    return named[:_MOST_RULES], costs[:1], items[:_MOST_RULES]


def _with_unit(rule: Resource, others: Iterable[Resource]) -> Resource:
    """Join a map whose entries have no unit with the one of the same keys that has."""
    if rule.unit != "quantity" or not rule.entries:
        return rule
    for other in others:
        alike = set(rule.entries) <= set(other.entries) and len(other.rows.steps) == 1
        if alike and isinstance(other.unit, Words) and len(rule.rows.steps) == 1:
            step, own = other.rows.steps[0], rule.rows.steps[0]
            table = step.path.removeprefix("items(").removesuffix(")")
            place = other.unit.path.replace(f"{step.name}.value", step.name, 1)
            join = f"{{as: {step.name}, table: {yaml(table)}, key: {own.name}.key}}"
            return msgspec.structs.replace(
                rule,
                unit=Words(path=place, words=other.unit.words),
                rows=msgspec.structs.replace(rule.rows, join=join),
            )
    return rule


def _first_rows(found: list[Level]) -> str:
    """Return the path of the answer's first list, as paging counts it; "" where there is none."""
    lists = (level.steps[0].path for level in found if len(level.steps) == 1)
    return next((path for path in lists if "(" not in path), "")


def _plan(spots: tuple[Spot, ...]) -> str:
    for spot in spots:
        said = words.tokens(spot.keys[-1])
        above = words.tokens(spot.keys[-2]) if len(spot.keys) > 1 else []
        named = set(said) & words.PLAN or (said == ["name"] and set(above) & words.PLAN)
        if named and "id" not in said and isinstance(spot.values[0], str):
            return spot.path
    return ""


def _unread(found: list[Level], read: set[str]) -> tuple[str, ...]:
    """Return the numbers that no rule reads and that are no page, id or time."""
    left = [
        spot.path
        for level in found
        for spot in level.spots
        if spot.path not in read
        and is_column(spot.values)
        and not words.is_ignored(spot.keys[-1])
        and not times.is_time(spot)
        and not (level.steps and spot in money.amounts(level))
    ]
    return tuple(left[:_MOST_UNREAD])
