"""Items: the parts of a resource or of the cost, one series each, the largest ones kept."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from exporter.kernel.units import Kind
from exporter.mapping.labels import MAX_LABEL, label_at, name
from exporter.mapping.misfit import Misfit
from exporter.mapping.money import charged, currency
from exporter.mapping.scene import Scene
from exporter.mapping.scope import Row
from exporter.mapping.values import Amount, measures, total
from exporter.model.definition import Items
from exporter.model.reading import Item, Note

OTHER = "other"
"""The item that holds the sum of what ``top`` leaves out."""


class _Series(NamedTuple):
    resource: str
    item: str
    currency: str


def items(rule: Items, scene: Scene) -> list[Item]:
    """Return the parts that `rule` reads, largest first. Raises Misfit."""
    rows = scene.rows(rule.rows).rows
    groups: dict[_Series, list[Row]] = {}
    cuts = 0
    for row in rows:
        series, cut = _series(rule, row[0], scene)
        cuts += cut
        groups.setdefault(series, []).append(row)
    if cuts:
        scene.notes.append(Note(reason="label_cut", detail=rule.group, count=cuts))
    found = [one for series, rows in groups.items() if (one := _item(rule, series, rows, scene))]
    if rows:
        scene.remember(rule.rows)
    found.sort(key=lambda one: (-one.value, one.resource, one.item, one.currency))
    return found if rule.top is None else _largest(found, rule.top)


def _series(rule: Items, view: object, scene: Scene) -> tuple[_Series, bool]:
    text, cut = label_at(rule.item, view, scene.seen)
    code = ""
    if rule.cost is not None:
        code = currency(rule.currency, rule.fixed_currency, view, scene)
    resource = name(rule.resource, view, scene.seen)
    if rule.lower:
        text = text.lower()[:MAX_LABEL]  # "İ" becomes two characters
    return _Series(resource, text, code), cut


def _item(rule: Items, series: _Series, rows: list[Row], scene: Scene) -> Item | None:
    try:
        kind, value = _value(rule, series, rows, scene)
    except Misfit as misfit:
        raise misfit.at(f'{series.resource}["{series.item}"]') from misfit.__cause__
    if not isinstance(value, float):
        return None
    return Item(
        resource=series.resource,
        kind=kind,
        group=rule.group,
        item=series.item,
        value=value,
        account=scene.account,
        currency=series.currency,
    )


def _value(
    rule: Items, series: _Series, rows: list[Row], scene: Scene
) -> tuple[Kind, Amount | None]:
    if rule.cost is not None:
        return Kind.MONEY, charged(rule.cost, series.currency, rows, rule.reduce, scene)
    if rule.used is None:
        return Kind.QUANTITY, None
    found = measures(rule.used.unit or rule.unit, rows, scene.seen)
    return found[0].unit.kind, scene.number(rule.used, rows, found, rule.reduce)


def _largest(found: Sequence[Item], top: int) -> list[Item]:
    """Keep the `top` items of each resource and unit; the rest becomes one, ``other``."""
    groups: dict[tuple[str, Kind, str], list[Item]] = {}
    for one in found:
        groups.setdefault((one.resource, one.kind, one.currency), []).append(one)
    kept: list[Item] = []
    for group in groups.values():
        if len(group) <= top:
            kept += group
            continue
        named = [one for one in group if one.item != OTHER][:top]
        taken = set(map(id, named))
        rest = [one for one in group if id(one) not in taken]
        value = total([one.value for one in rest])
        kept += [*named, msgspec.structs.replace(rest[0], item=OTHER, value=value)]
    return kept
