"""The readings of a target's collectors as one: used from here, the limit from there.

The first that says something wins, field by field, in the order in which the definition names its
collectors. What belongs to a period that has ended since the poll does not come along. A poll after
the end that still names the old period is believed: it is the vendor's present word, and noted.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from exporter.kernel.calendar import format_rfc3339
from exporter.model.families import COST_ROLES, RESOURCE_ROLES, read_roles
from exporter.model.reading import Item, Money, Note, Reading, Usage
from exporter.model.target import Target

_FIELDS = tuple(role.key for role in read_roles(RESOURCE_ROLES))
_MONEY_FIELDS = tuple(role.key for role in read_roles(COST_ROLES))


class Stated(NamedTuple):
    """What is known of a resource, and when the poll was that gave its value."""

    usage: Usage
    at: float


class Charged(NamedTuple):
    """What is known of the money in one currency, and when the poll was that gave the cost."""

    money: Money
    at: float


class Merged(msgspec.Struct):
    """All that is true of a target now, by account and resource or currency."""

    usages: dict[tuple[str, str], Stated] = msgspec.field(default_factory=dict)
    money: dict[tuple[str, str], Charged] = msgspec.field(default_factory=dict)
    items: dict[tuple[str, ...], Item] = msgspec.field(default_factory=dict)
    notes: list[Note] = msgspec.field(default_factory=list)


def merged(target: Target, readings: Mapping[str, Reading], now: float) -> Merged:
    """Join the readings by account and resource, without what has expired at `now`."""
    found = Merged()
    for reading in in_order(target, readings):
        for usage in reading.usages:
            if _alive(usage, reading.at, now, found.notes, usage.resource):
                _add_usage(found, usage, reading.at)
        for money in reading.money:
            if _alive(money, reading.at, now, found.notes, money.currency):
                _add_money(found, money, reading.at)
        if reading.items:
            _add_items(found, reading, now)
    return found


def in_order(target: Target, readings: Mapping[str, Reading]) -> Iterator[Reading]:
    """Yield the readings in the order of the definition's collectors."""
    for name in target.definition.collectors:
        reading = readings.get(name)
        if reading is not None:
            yield reading


def _over(stated: Usage | Money, at: float, now: float) -> bool:
    """Tell whether the period ended after the poll, which was `at`, and by `now`."""
    return stated.period is not None and not stated.closed and at < stated.period.end <= now


def _alive(stated: Usage | Money, at: float, now: float, notes: list[Note], name: str) -> bool:
    if stated.period is not None and not stated.closed and stated.period.end <= at:
        end = format_rfc3339(stated.period.end)
        detail = f"{name}: the vendor still names the period that ended at {end}."
        notes.append(Note(reason="period_over", detail=detail))
    return not _over(stated, at, now)


def _add_usage(found: Merged, usage: Usage, at: float) -> None:
    key = (usage.account, usage.resource)
    known = found.usages.get(key)
    if known is None:
        found.usages[key] = Stated(usage, at)
        return
    if known.usage.kind is not usage.kind:
        detail = f"{usage.resource}: {known.usage.kind} here, {usage.kind} there; the first stays."
        found.notes.append(Note(reason="unit_conflict", detail=detail))
        return
    when = at if known.usage.used is None and usage.used is not None else known.at
    new = _missing(known.usage, usage, _FIELDS)
    new["level"] = known.usage.level or usage.level
    found.usages[key] = Stated(msgspec.structs.replace(known.usage, **new), when)


def _add_money(found: Merged, money: Money, at: float) -> None:
    key = (money.account, money.currency)
    known = found.money.get(key)
    if known is None:
        found.money[key] = Charged(money, at)
        return
    when = at if known.money.cost is None and money.cost is not None else known.at
    new = _missing(known.money, money, _MONEY_FIELDS)
    found.money[key] = Charged(msgspec.structs.replace(known.money, **new), when)


def _missing(
    known: Usage | Money, other: Usage | Money, fields: tuple[str, ...]
) -> dict[str, object]:
    """Return what `other` says of the fields of which `known` says nothing."""
    new = {name: getattr(other, name) for name in fields if getattr(known, name) is None}
    if known.period is None:
        new |= {"period": other.period, "closed": other.closed}
    return new


def _add_items(found: Merged, reading: Reading, now: float) -> None:
    """Add the parts; those of a total that has expired have expired with it.

    The total of a part is the resource's, else the currency's, else whatever the reading has.
    """
    usages = {(one.account, one.resource): _over(one, reading.at, now) for one in reading.usages}
    money = {(one.account, one.currency): _over(one, reading.at, now) for one in reading.money}
    all_over = bool(usages or money) and all(usages.values()) and all(money.values())
    for item in reading.items:
        whole = money.get((item.account, item.currency), all_over)
        if not usages.get((item.account, item.resource), whole):
            key = (item.account, item.resource, item.group, item.item, item.kind, item.currency)
            found.items.setdefault(key, item)
