"""The samples of one resource, one currency, one part: which families, which labels.

Readings to samples: all that is published of a target, and no more than it may be.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from exporter.kernel.calendar import Span
from exporter.kernel.units import Kind
from exporter.mapping.forecast import Points
from exporter.mapping.merge import Charged, Merged, in_order, merged
from exporter.mapping.read import combined
from exporter.mapping.status import UsageStatus, money_standing, summed, usage_standing
from exporter.model.families import MEASURED, Sample
from exporter.model.reading import Item, Known, Money, Note, Reading, Usage
from exporter.model.target import Target

Labels: TypeAlias = tuple[str, ...]
_HOUR = 3600.0
_LENGTHS = (  # name, shortest, longest: an hour of daylight saving on either side
    ("day", 23 * _HOUR, 25 * _HOUR),
    ("week", 167 * _HOUR, 169 * _HOUR),
    ("month", 671 * _HOUR, 745 * _HOUR),
    ("year", 8759 * _HOUR, 8785 * _HOUR),
)
_MEASURES = ("usage_", "usage_limit_", "usage_projected_", "usage_next_period_", "usage_overage_")
_NAMES = {kind: tuple(f"{prefix}{kind}" for prefix in _MEASURES) for kind in MEASURED}
_COSTS = (
    "usage_cost",
    "usage_cost_limit",
    "usage_cost_projected",
    "usage_cost_base",
    "usage_cost_overage",
)


def usage_samples(labels: Labels, usage: Usage, standing: UsageStatus) -> list[Sample]:
    """Return the samples of a resource; `labels` are provider, account, resource."""
    numbers = (standing.used, standing.limit, standing.projected, usage.next_period, usage.overage)
    return [
        *_present(labels, zip(_NAMES[usage.kind], numbers, strict=True)),
        *_present(labels, [("usage_data_timestamp_seconds", usage.as_of)]),
        *shares(labels, usage.unit or usage.kind, usage.period, standing),
    ]


def cost_samples(labels: Labels, money: Money, standing: UsageStatus) -> list[Sample]:
    """Return the samples of the money in one currency; `labels` are provider, account, currency."""
    numbers = (standing.used, standing.limit, standing.projected, money.base, money.overage)
    return _present(labels, zip(_COSTS, numbers, strict=True))


def shares(labels: Labels, unit: str, period: Span | None, standing: UsageStatus) -> list[Sample]:
    """Return what stands beside the amounts: the share of the limit, the period, the info."""
    ratio = standing.ratio
    found = _present(
        labels,
        (
            ("usage_ratio", ratio),
            ("usage_percent", None if ratio is None else ratio * 100),
            ("usage_projected_ratio", standing.projected_ratio),
            ("usage_exhaustion_timestamp_seconds", standing.exhausted_at),
            ("usage_period_start_timestamp_seconds", None if period is None else period.start),
            ("usage_period_end_timestamp_seconds", None if period is None else period.end),
        ),
    )
    info = (unit, standing.limit_kind, period_name(period), standing.projection)
    found.append(Sample(family="usage_info", labels=(*labels, *info), value=1.0))
    return found


def item_sample(provider: str, account: str, item: Item) -> Sample:
    """Return the sample of one part of a breakdown."""
    labels = (provider, account, item.resource, item.group, item.item)
    if item.kind is Kind.MONEY:
        return Sample(family="usage_item_cost", labels=(*labels, item.currency), value=item.value)
    return Sample(family=f"usage_item_{item.kind}", labels=labels, value=item.value)


def period_name(period: Span | None) -> str:
    """Return the ``period`` label: the civil stretch that a span is as long as."""
    if period is None:
        return "none"
    length = period.end - period.start
    return next((name for name, low, high in _LENGTHS if low <= length <= high), "custom")


def _present(labels: Labels, values: Iterable[tuple[str, float | None]]) -> list[Sample]:
    """Return a sample for each number; a quotient that left the floats is none."""
    return [
        Sample(family=family, labels=labels, value=value)
        for family, value in values
        if value is not None and math.isfinite(value)
    ]


SPEND = "spend"
"""The resource that the cost is, where a budget is known; and the name of that budget."""
History: TypeAlias = Mapping[tuple[str, str], Points]
"""By account label and resource, what `tracked` gave in the last weeks."""
_NO_HISTORY: History = {}


def target_samples(
    target: Target, readings: Mapping[str, Reading], now: float, history: History | None = None
) -> tuple[tuple[Sample, ...], tuple[Note, ...]]:
    """Return what is published of `target` at `now` (epoch seconds), and what did not fit.

    `readings` are the last good ones by collector, without those that are too old. What belongs to
    a period that has ended is not published; `expires_at` says when to ask again.
    """
    if not readings:
        return (), ()
    found = merged(target, readings, now)
    totals = [_accounts(target, readings, found)]
    totals += _money(target, found, history or _NO_HISTORY)
    totals += _usages(target, found, history or _NO_HISTORY)
    published, dropped = _capped(target, totals, list(found.items.values()))
    if dropped:
        detail = f"{target.name}: more than {target.max_series} series"
        found.notes.append(Note(reason="series_limit", detail=detail, count=dropped))
    return tuple(published), combined(found.notes)


def tracked(
    target: Target, readings: Mapping[str, Reading], now: float
) -> dict[tuple[str, str], float]:
    """Return the values that forecasts want a history of, by account label and resource."""
    found = merged(target, readings, now)
    values: dict[tuple[str, str], float] = {}
    for account, charged in _main_money(target, found).items():
        money = charged.money
        used = summed(money.cost, money.limit, money.remaining, None, None).used
        if used is not None:
            values[_label(target, account), SPEND] = used
    for (account, resource), (usage, _) in found.usages.items():
        used = summed(usage.used, usage.limit, usage.remaining, None, None).used
        if used is not None:
            values[_label(target, account), resource] = used
    return values


def expires_at(readings: Mapping[str, Reading], after: float = 0.0) -> float | None:
    """Return when the next of these values expires because its period ends; None: never.

    Only instants beyond `after` count, so that whoever woke up for one can ask for the next.
    """
    ends = [end for reading in readings.values() for end in _ends(reading) if end > after]
    return min(ends, default=None)


def _ends(reading: Reading) -> Iterator[float]:
    every: tuple[Usage | Money, ...] = (*reading.usages, *reading.money)
    for stated in every:
        period = stated.period
        if period is not None and not stated.closed and period.end > reading.at:
            yield period.end


def _label(target: Target, account: str) -> str:
    return f"{target.name}/{account}" if account else target.name


def _accounts(target: Target, readings: Mapping[str, Reading], found: Merged) -> list[Sample]:
    plans: dict[str, str] = {}
    for one in in_order(target, readings):
        plans = {**dict(one.plans), **plans}  # the first collector that names one wins
    accounts = {"", *plans, *(key[0] for key in (*found.usages, *found.money, *found.items))}
    extra = tuple(target.labels.items())
    return [
        Sample(
            family="usage_account_info",
            labels=(target.provider, _label(target, account), plans.get(account, "")),
            value=1.0,
            extra=extra,
        )
        for account in sorted(accounts)
    ]


def _usages(target: Target, found: Merged, history: History) -> Iterator[list[Sample]]:
    ends = _account_ends(found)
    for (account, resource), stated in found.usages.items():
        usage = stated.usage
        limit = target.limits.get(resource)
        configured = None
        if limit is not None and limit.kind in (None, usage.kind):
            configured = limit.value
        elif limit is not None:
            detail = f"{resource}: the limit is in {limit.kind}, the resource in {usage.kind}."
            found.notes.append(Note(reason="limit_ignored", detail=detail))
        label = _label(target, account)
        points = history.get((label, resource), ())
        standing = usage_standing(stated, configured, points, ends.get(account))
        yield usage_samples((target.provider, label, resource), usage, standing)


def _account_ends(found: Merged) -> dict[str, float]:
    """Return when each account's present billing period ends: the first that anything names."""
    ends: dict[str, float] = {}
    for (account, _), (usage, _) in found.usages.items():
        if usage.period is not None and not usage.closed:
            ends.setdefault(account, usage.period.end)
    for (account, _), (money, _) in found.money.items():
        if money.period is not None and not money.closed:
            ends.setdefault(account, money.period.end)
    return ends


def _money(target: Target, found: Merged, history: History) -> Iterator[list[Sample]]:
    main = _main_money(target, found)
    for (account, currency), charged in found.money.items():
        label = _label(target, account)
        is_main = main[account] is charged
        points = history.get((label, SPEND), ()) if is_main else ()
        standing = money_standing(charged, _budget(target, currency), points)
        labels = (target.provider, label)
        group = cost_samples((*labels, currency), charged.money, standing)
        named = (account, SPEND) in found.usages  # the vendor's own resource of that name stays
        if is_main and standing.limit is not None and not named:
            group += shares((*labels, SPEND), currency, charged.money.period, standing)
        yield group
    _note_budget(target, found)


def _main_money(target: Target, found: Merged) -> dict[str, Charged]:
    """Return the currency of each account that ``spend`` is about.

    The first that the configuration has a budget in, else the first with a limit of the vendor's,
    else the first.
    """
    main: dict[str, Charged] = {}
    claims: dict[str, int] = {}
    for (account, currency), charged in found.money.items():
        wanted = _budget(target, currency) is not None
        claim = 2 if wanted else int(isinstance(charged.money.limit, Known))
        if claim > claims.get(account, -1):
            main[account], claims[account] = charged, claim
    return main


def _budget(target: Target, currency: str) -> float | None:
    limit = target.limits.get(SPEND)
    if limit is None or limit.kind not in (None, Kind.MONEY):
        return None
    return limit.value if limit.currency in ("", currency) else None


def _note_budget(target: Target, found: Merged) -> None:
    currencies = {currency for _, currency in found.money}
    if (
        SPEND not in target.limits
        or not currencies
        or any(resource == SPEND for _, resource in found.usages)
    ):
        return
    if all(_budget(target, currency) is None for currency in currencies):
        limit = target.limits[SPEND]
        unit = limit.currency or limit.kind
        detail = f"{SPEND}: the limit is in {unit}, the cost in {', '.join(sorted(currencies))}."
        found.notes.append(Note(reason="limit_ignored", detail=detail))


def _capped(
    target: Target, totals: list[list[Sample]], items: list[Item]
) -> tuple[list[Sample], int]:
    """Return at most ``max_series`` samples: totals first, each resource whole, then the parts."""
    found = [sample for group in totals for sample in group]
    wanted = len(found) + len(items)
    if len(found) > target.max_series:
        found = []
        for group in totals:
            if len(found) + len(group) > target.max_series:
                break
            found += group
        items = []
    room = target.max_series - len(found)
    if len(items) > room:
        items = _largest_first(items)[:room]
    found += [item_sample(target.provider, _label(target, item.account), item) for item in items]
    return found, wanted - len(found)


def _largest_first(items: list[Item]) -> list[Item]:
    """Order by rank within each breakdown: of every one the largest parts come first."""
    ranks: dict[tuple[str, ...], int] = {}
    ranked: list[tuple[int, Item]] = []
    for item in sorted(items, key=lambda one: -one.value):
        breakdown = (item.account, item.resource, item.group, item.kind, item.currency)
        ranks[breakdown] = rank = ranks.get(breakdown, 0) + 1
        ranked.append((rank, item))
    return [item for _, item in sorted(ranked, key=lambda pair: pair[0])]
