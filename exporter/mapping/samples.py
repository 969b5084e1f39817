"""The samples of a target's status, by the table of families, and no more than there may be."""

from collections.abc import Callable, Iterable
from math import isfinite
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

from exporter.kernel.calendar import Span
from exporter.kernel.units import Kind
from exporter.mapping.status import TargetStatus, UsageStatus, account_label
from exporter.model.families import COST_ROLES, ITEM_ROLES, MEASURED, RESOURCE_ROLES, Role, Sample
from exporter.model.reading import Item, Note

Labels: TypeAlias = tuple[str, ...]
_HOUR = 3600.0
_LENGTHS = (  # name, shortest, longest: an hour of daylight saving on either side
    ("day", 23 * _HOUR, 25 * _HOUR),
    ("week", 167 * _HOUR, 169 * _HOUR),
    ("month", 671 * _HOUR, 745 * _HOUR),
    ("year", 8759 * _HOUR, 8785 * _HOUR),
)


class _Columns(NamedTuple):
    """Families, and what gives their values of a status, in the same order."""

    families: tuple[str, ...]
    values: Callable[[UsageStatus], tuple[float | None, ...]]


def _columns(roles: Iterable[Role], kind: Kind) -> _Columns:
    shown = [role for role in roles if role.family]
    values: Any = attrgetter(*(role.field for role in shown))
    return _Columns(tuple(role.family.format(kind) for role in shown), values)


_OF_KIND = {kind: _columns(RESOURCE_ROLES, kind) for kind in MEASURED}
_OF_COST = _columns(COST_ROLES, Kind.MONEY)
_SHARES = _columns([one for one in RESOURCE_ROLES if "{}" not in one.family], Kind.MONEY)
_ITEM = {kind: role.family.format(kind) for role in ITEM_ROLES for kind in role.kinds}


def samples(status: TargetStatus) -> tuple[tuple[Sample, ...], tuple[Note, ...]]:
    """Return what is published of a target, and what did not fit.

    At most ``max_series`` samples: totals first, each resource whole, then the parts.
    """
    target, notes = status.target, status.notes
    groups = [_accounts(status)]
    groups += [_money(target.provider, one) for one in status.money]
    groups += [
        [
            *_numbers(_OF_KIND[one.kind], (target.provider, one.account, one.resource), one),
            _info(target.provider, one),
        ]
        for one in status.usages
    ]
    found = [sample for group in groups for sample in group]
    items = status.items
    wanted = len(found) + len(items)
    if len(found) > target.max_series:
        found = []
        for group in groups:
            if len(found) + len(group) > target.max_series:
                break
            found += group
        items = ()
    room = target.max_series - len(found)
    if len(items) > room:
        items = _largest_first(items)[:room]
    found += [_item(target.provider, account_label(target, one.account), one) for one in items]
    if dropped := wanted - len(found):
        detail = f"{target.name}: more than {target.max_series} series"
        notes = (*notes, Note(reason="series_limit", detail=detail, count=dropped))
    return tuple(found), notes


def period_name(period: Span | None) -> str:
    """Return the ``period`` label: the civil stretch that a span is as long as."""
    if period is None:
        return "none"
    length = period.end - period.start
    return next((name for name, low, high in _LENGTHS if low <= length <= high), "custom")


def _accounts(status: TargetStatus) -> list[Sample]:
    extra = tuple(status.target.labels.items())
    return [
        Sample(
            family="usage_account_info",
            labels=(status.target.provider, label, plan),
            value=1.0,
            extra=extra,
        )
        for label, plan in status.plans.items()
    ]


def _money(provider: str, status: UsageStatus) -> list[Sample]:
    """Return the amounts, and beside a budget the shares of it under the name ``spend``."""
    found = _numbers(_OF_COST, (provider, status.account, status.unit), status)
    if status.main and status.limit is not None:
        found += _numbers(_SHARES, (provider, status.account, status.resource), status)
        found.append(_info(provider, status))
    return found


def _numbers(columns: _Columns, labels: Labels, status: UsageStatus) -> list[Sample]:
    return [
        Sample(family=family, labels=labels, value=value)
        for family, value in zip(columns.families, columns.values(status), strict=True)
        if value is not None and isfinite(value)  # a percentage may leave the floats
    ]


def _info(provider: str, status: UsageStatus) -> Sample:
    period = period_name(status.period)
    identity = (provider, status.account, status.resource)
    labels = (*identity, status.unit, status.limit_kind, period, status.projection)
    return Sample(family="usage_info", labels=labels, value=1.0)


def _item(provider: str, account: str, item: Item) -> Sample:
    labels: Labels = (provider, account, item.resource, item.group, item.item)
    if item.kind is Kind.MONEY:
        labels = (*labels, item.currency)
    return Sample(family=_ITEM[item.kind], labels=labels, value=item.value)


def _largest_first(items: Iterable[Item]) -> tuple[Item, ...]:
    """Order by rank within each breakdown: of every one the largest parts come first."""
    ranks: dict[tuple[str, ...], int] = {}
    ranked: list[tuple[int, Item]] = []
    for item in sorted(items, key=lambda one: -one.value):
        breakdown = (item.account, item.resource, item.group, item.kind, item.currency)
        ranks[breakdown] = rank = ranks.get(breakdown, 0) + 1
        ranked.append((rank, item))
    return tuple(item for _, item in sorted(ranked, key=lambda pair: pair[0]))
