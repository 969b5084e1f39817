"""Readings to samples: all that is published of a target, and no more than it may be."""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from exporter.kernel.units import Kind
from exporter.mapping.forecast import Points
from exporter.mapping.gathered import combined
from exporter.mapping.merge import Charged, Merged, in_order, merged
from exporter.mapping.outlook import money_standing, summed, usage_standing
from exporter.mapping.publish import cost_samples, item_sample, shares, usage_samples
from exporter.model.reading import Item, Known, Money, Note, Reading, Usage
from exporter.model.sample import Sample
from exporter.model.target import Target

SPEND = "spend"
"""The resource that the cost is, where a budget is known; and the name of that budget."""

History: TypeAlias = Mapping[tuple[str, str], Points]
"""By account label and resource, what `tracked` gave in the last weeks."""

_NO_HISTORY: History = {}


def samples(
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
