"""The readings of a target's collectors as one: used from here, the limit from there.

The first that says something wins, field by field, in the order in which the definition names its
collectors. What belongs to a period that has ended since the poll does not come along. A poll after
the end that still names the old period is believed: it is the vendor's present word, and noted.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias, TypeVar

import msgspec

from exporter.kernel.calendar import format_rfc3339
from exporter.model.families import COST_ROLES, RESOURCE_ROLES, read_roles
from exporter.model.reading import Item, Money, Note, Reading, Usage
from exporter.model.target import Target

_FIELDS = tuple(role.key for role in read_roles(RESOURCE_ROLES))
_MONEY_FIELDS = tuple(role.key for role in read_roles(COST_ROLES))
_Stated = TypeVar("_Stated", Usage, Money)
Key: TypeAlias = tuple[str, str]
"""The fan-out's account, and the resource or the currency."""


class Merged(msgspec.Struct):
    """All that is true of a target now.

    With each usage and amount of money stands the time (epoch seconds) of the poll that gave its
    value, or last confirmed it. ``plans`` are by account.
    """

    usages: dict[Key, tuple[Usage, float]] = msgspec.field(default_factory=dict)
    money: dict[Key, tuple[Money, float]] = msgspec.field(default_factory=dict)
    items: dict[tuple[str, ...], Item] = msgspec.field(default_factory=dict)
    plans: dict[str, str] = msgspec.field(default_factory=dict)
    notes: list[Note] = msgspec.field(default_factory=list)


def merged(
    target: Target,
    readings: Mapping[str, Reading],
    now: float,
    confirmed: Mapping[str, float] = MappingProxyType({}),
) -> Merged:
    """Join the readings by account and resource, without what has expired at `now`.

    `confirmed` says when a collector's vendor last said that its reading still holds, where that
    was after the poll. It renews the values, not the periods that were worked out with them.
    """
    found = Merged()
    for name in target.definition.collectors:
        reading = readings.get(name)
        if reading is None:
            continue
        told = confirmed.get(name, reading.at)
        for usage in reading.usages:
            if _alive(usage, usage.resource, reading.at, now, found.notes):
                _add_usage(found, usage, told)
        for money in reading.money:
            if money.is_spend and not _alive(money, money.currency, reading.at, now, found.notes):
                if money.balance is None:
                    continue
                money = Money(  # noqa: PLW2901 - what is left on the account outlives the period
                    currency=money.currency, account=money.account, balance=money.balance
                )
            key = (money.account, money.currency)
            known = found.money.get(key)
            found.money[key] = (
                (money, told)
                if known is None
                else _completed(known, money, told, "cost", _MONEY_FIELDS)
            )
        if reading.items:
            _add_items(found, reading, now)
        for account, plan in reading.plans:
            found.plans.setdefault(account, plan)
    return found


def _over(stated: Usage | Money, at: float, now: float) -> bool:
    """Tell whether the period ended after the poll, which was `at`, and by `now`."""
    return stated.period is not None and not stated.closed and at < stated.period.end <= now


def _alive(stated: Usage | Money, name: str, at: float, now: float, notes: list[Note]) -> bool:
    """Tell whether the period goes on; note a vendor that still named an ended one."""
    if stated.period is not None and not stated.closed and stated.period.end <= at:
        end = format_rfc3339(stated.period.end)
        detail = f"{name}: the vendor still names the period that ended at {end}."
        notes.append(Note(reason="period_over", detail=detail))
    return not _over(stated, at, now)


def _add_usage(found: Merged, usage: Usage, at: float) -> None:
    key = (usage.account, usage.resource)
    known = found.usages.get(key)
    if known is None:
        found.usages[key] = (usage, at)
    elif known[0].kind is not usage.kind:
        detail = f"{usage.resource}: {known[0].kind} here, {usage.kind} there; the first stays."
        found.notes.append(Note(reason="unit_conflict", detail=detail))
    else:
        more, when = _completed(known, usage, at, "used", _FIELDS)
        if usage.level and not more.level:
            more = msgspec.structs.replace(more, level=True)
        found.usages[key] = (more, when)


def _completed(
    known: tuple[_Stated, float], other: _Stated, at: float, value: str, fields: tuple[str, ...]
) -> tuple[_Stated, float]:
    """Return `known` with what `other` says of the fields of which it says nothing.

    The time is that of the poll which gave the `value`.
    """
    stated, when = known
    new = {name: getattr(other, name) for name in fields if getattr(stated, name) is None}
    if new.get(value) is not None:
        when = at
    if stated.period is None:
        new |= {"period": other.period, "closed": other.closed}
    return msgspec.structs.replace(stated, **new), when


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
