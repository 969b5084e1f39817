"""How each resource and each currency of a target stands: one status, worked out once.

`target_status` takes the readings through one merge and the engine's arithmetic to one
`UsageStatus` per resource and currency; samples, status page, explain, history and pace read that.

used = limit - remaining, limit = used + remaining, remaining = limit - used, ratio = used / limit.
What the vendor says itself is never worked out again. A percentage is never turned back into an
amount: vendors round it, and the product would look exact. Money stands as resources do, but its
base fee does not grow with time.
"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from math import isfinite
from types import MappingProxyType
from typing import TypeAlias

import msgspec

from exporter.kernel.calendar import Span
from exporter.kernel.units import Kind
from exporter.mapping.forecast import NOTHING, Outlook, Points, flow, level, vendors
from exporter.mapping.merge import Merged, merged
from exporter.mapping.read import combined
from exporter.model.families import SPEND
from exporter.model.reading import Item, Known, Money, Note, Reading, Unlimited, Usage
from exporter.model.target import Target

History: TypeAlias = Callable[[str, str, float], Points]
"""Account label, resource and the time of a poll (epoch seconds) to the values before that poll."""


def no_history(account: str, resource: str, before: float) -> Points:
    """Return no past values."""
    return ()


class UsageStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All that is known and expected of a resource, or of the money in one currency.

    `account` is the label; `unit` the vendor's own word, the currency of money (which is of `kind`
    MONEY and the resource ``spend``). Numbers are in base units, times epoch seconds; None: not
    known. `limit_kind` is provider, config, unlimited or unknown, `projection` provider, linear or
    none. `polled_at` is the time of the poll that gave the value or last confirmed it. `main`: of
    the currencies of an account one is the main one, which ``spend`` is about; every other status
    is main.
    """

    account: str
    resource: str
    kind: Kind
    unit: str
    level: bool
    polled_at: float
    used: float | None
    limit: float | None
    limit_kind: str
    remaining: float | None
    ratio: float | None
    projected: float | None
    projected_ratio: float | None
    exhausted_at: float | None
    projection: str
    next_period: float | None
    overage: float | None
    as_of: float | None
    period: Span | None
    base: float | None = None
    balance: float | None = None
    main: bool = True

    @property
    def percent(self) -> float | None:
        """The ratio times 100, without the noise of binary fractions (52.592000000000006)."""
        return None if self.ratio is None else float(f"{self.ratio * 100:.12g}")

    @property
    def period_start(self) -> float | None:
        """The first second of the period."""
        return None if self.period is None else self.period.start

    @property
    def period_end(self) -> float | None:
        """The first second after the period."""
        return None if self.period is None else self.period.end


class TargetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a target: what is published of it, shown, remembered and gone by.

    `readings` are what it was made of, at the time `now` (epoch seconds). `plans` are by account
    label, one for each account ("" where none is named). `notes` say what did not fit.
    """

    target: Target
    readings: Mapping[str, Reading]
    now: float
    usages: tuple[UsageStatus, ...] = ()
    money: tuple[UsageStatus, ...] = ()
    items: tuple[Item, ...] = ()
    plans: Mapping[str, str] = {}
    notes: tuple[Note, ...] = ()

    def tracked(self) -> dict[tuple[str, str], float]:
        """Return the values that forecasts want a history of, by account label and resource.

        Of a bare percentage that is the ratio, under a key of its own.
        """
        found: dict[tuple[str, str], float] = {}
        for one in (*self.money, *self.usages):
            if one.main and one.used is not None:
                found[one.account, one.resource] = one.used
            elif one.main and one.ratio is not None and not one.level:
                found[one.account, share_key(one.resource)] = one.ratio
        return found

    def pressure(self, reading: Reading) -> float | None:
        """Return the highest ratio of what `reading` is about, with limits of vendor and config."""
        about = {(account_label(self.target, one.account), one.resource) for one in reading.usages}
        about |= {(account_label(self.target, one.account), one.currency) for one in reading.money}
        ratios = [
            one.ratio
            for one in (*self.usages, *self.money)
            if one.ratio is not None
            and (one.account, one.unit if one.kind is Kind.MONEY else one.resource) in about
        ]
        return max(ratios, default=None)


def target_status(
    target: Target,
    readings: Mapping[str, Reading],
    now: float,
    history: History = no_history,
    confirmed: Mapping[str, float] = MappingProxyType({}),
) -> TargetStatus:
    """Return how `target` stands at `now` (epoch seconds).

    `readings` are the last good ones by collector, without those that are too old; `confirmed` is
    when the vendor last said of each that it holds (304). What belongs to a period that has ended
    is not part of it.
    """
    if not readings:
        return TargetStatus(target=target, readings=readings, now=now)
    found = merged(target, readings, now, confirmed)
    money = _all_money(target, found, history)
    usages = _all_usages(target, found, history)
    accounts = {"", *found.plans, *(key[0] for key in (*found.usages, *found.money, *found.items))}
    return TargetStatus(
        target=target,
        readings=readings,
        now=now,
        usages=usages,
        money=money,
        items=tuple(found.items.values()),
        plans={account_label(target, one): found.plans.get(one, "") for one in sorted(accounts)},
        notes=combined(found.notes) if found.notes else (),
    )


def share_key(resource: str) -> str:
    """Return the name under which the history keeps the ratio of a resource without an amount."""
    return f"{resource}%"


def account_label(target: Target, account: str) -> str:
    """Return the ``account`` label of an account of a fan-out, "" for the target itself."""
    return f"{target.name}/{account}" if account else target.name


def _all_usages(target: Target, found: Merged, history: History) -> tuple[UsageStatus, ...]:
    # A level has no billing period of its own: it is projected to the end of the account's, which
    # is the first that anything names.
    ends: dict[str, float] = {}
    facts: list[Usage | Money] = [usage for usage, _ in found.usages.values()]
    facts += [money for money, _ in found.money.values()]
    for stated in facts:
        if stated.period is not None and not stated.closed:
            ends.setdefault(stated.account, stated.period.end)
    statuses = []
    for (account, resource), (usage, polled_at) in found.usages.items():
        limit = target.limits.get(resource)
        configured = None
        if limit is not None and limit.kind in (None, usage.kind):
            configured = limit.value
        elif limit is not None:
            detail = f"{resource}: the limit is in {limit.kind}, the resource in {usage.kind}."
            found.notes.append(Note(reason="limit_ignored", detail=detail))
        label = account_label(target, account)
        statuses.append(
            _status(
                label,
                usage,
                polled_at,
                found.notes,
                configured=configured,
                history=history,
                account_end=ends.get(account),
            )
        )
        found.notes += _surplus(statuses[-1])
    return tuple(statuses)


def _all_money(target: Target, found: Merged, history: History) -> tuple[UsageStatus, ...]:
    spent = [key for key, (money, _) in found.money.items() if money.is_spend]
    budgets = {currency: _budget(target, currency) for _, currency in spent}
    main = _main_currencies(found, budgets)
    statuses = []
    for (account, currency), (money, polled_at) in found.money.items():
        # The vendor's own resource of that name stays.
        is_main = main.get(account) == currency and (account, SPEND) not in found.usages
        label = account_label(target, account)
        usage = Usage(
            resource=SPEND,
            kind=Kind.MONEY,
            unit=currency,
            used=money.cost,
            limit=money.limit,
            remaining=money.remaining,
            projected=money.projected,
            overage=money.overage,
            period=money.period,
        )
        statuses.append(
            _status(
                label,
                usage,
                polled_at,
                found.notes,
                configured=budgets.get(currency),
                history=history if is_main else no_history,
                base=money.base,
                balance=money.balance,
                main=is_main,
            )
        )
        found.notes += _surplus(statuses[-1])
    if (
        budgets
        and SPEND in target.limits
        and set(budgets.values()) == {None}
        and not any(resource == SPEND for _, resource in found.usages)
    ):
        limit = target.limits[SPEND]
        unit = limit.currency or limit.kind
        detail = f"{SPEND}: the limit is in {unit}, the cost in {', '.join(sorted(budgets))}."
        found.notes.append(Note(reason="limit_ignored", detail=detail))
    return tuple(statuses)


def _budget(target: Target, currency: str) -> float | None:
    limit = target.limits.get(SPEND)
    if limit is None or limit.kind not in (None, Kind.MONEY):
        return None
    return limit.value if limit.currency in ("", currency) else None


def _main_currencies(found: Merged, budgets: Mapping[str, float | None]) -> dict[str, str]:
    """Return the currency of each account that ``spend`` is about, of those that are spent.

    The first that the configuration has a budget in, else the first with a limit of the vendor's,
    else the first.
    """
    main: dict[str, str] = {}
    claims: dict[str, int] = {}
    for (account, currency), (money, _) in found.money.items():
        if not money.is_spend:
            continue
        claim = 2 if budgets[currency] is not None else int(isinstance(money.limit, Known))
        if claim > claims.get(account, -1):
            main[account], claims[account] = currency, claim
    return main


def _status(
    label: str,
    usage: Usage,
    polled_at: float,
    notes: list[Note],
    *,
    configured: float | None,
    history: History,
    account_end: float | None = None,
    base: float | None = None,
    balance: float | None = None,
    main: bool = True,
) -> UsageStatus:
    """Return how a resource, or money, stands. `configured` is the config's limit.

    A limit that the vendor gives wins over the config's, which fills in where the vendor gives none
    or says that there is none. More left than the limit (carried over, granted) says nothing of
    what was used: both are published as they are. What does not fit goes to `notes`.
    """
    endless = isinstance(usage.limit, Unlimited)
    used, ratio = usage.used, None if endless else usage.ratio  # of no end there is no share
    limit = usage.limit.value if isinstance(usage.limit, Known) else None
    if usage.limit is None:
        limit = _derived_limit(usage, notes)
    limit_kind = "provider"
    if limit is None and configured is not None:
        limit, limit_kind = configured, "config"
    if limit is None:
        limit_kind = "unlimited" if endless else "unknown"
    left = None if endless else usage.remaining  # of no end nothing is left over
    if used is None and limit is not None and left is not None and left <= limit:
        used = _difference(limit, left)
    if left is None and used is not None and limit is not None:
        left = _difference(limit, used)
    ratio = _share(used, limit, ratio)
    key = share_key(usage.resource) if used is None else usage.resource
    outlook = _outlook(
        usage,
        polled_at,
        used=used,
        limit=limit,
        ratio=ratio,
        points=history(label, key, polled_at),
        account_end=account_end,
        floor=base or 0.0,
    )
    projected, projected_ratio = outlook.projected, None
    projection = "none" if projected is None else "linear"
    if usage.projected is not None:
        projection = "provider"
    elif used is None and not usage.level:  # the outlook of a bare percentage, the limit of it is 1
        projected, projected_ratio = None, projected
    projected_ratio = _share(projected, limit, projected_ratio)
    return UsageStatus(
        account=label,
        resource=usage.resource,
        kind=usage.kind,
        unit=usage.unit or usage.kind,
        level=usage.level,
        polled_at=polled_at,
        used=_finite(used),
        limit=_finite(limit),
        limit_kind=limit_kind,
        remaining=_finite(left),
        ratio=_finite(ratio),
        projected=_finite(projected),
        projected_ratio=_finite(projected_ratio),
        exhausted_at=_finite(outlook.exhausted_at),
        projection=projection,
        next_period=usage.next_period,
        overage=usage.overage,
        as_of=usage.as_of,
        period=usage.period,
        base=base,
        balance=balance,
        main=main,
    )


def _derived_limit(usage: Usage, notes: list[Note]) -> float | None:
    """Return used + remaining where both are known. Below zero that is no limit, and noted."""
    if usage.used is None or usage.remaining is None:
        return None
    limit = usage.used + usage.remaining
    if limit >= 0:
        return limit
    detail = f"{usage.resource}: used + remaining is {limit:g}."
    notes.append(Note(reason="negative_limit", detail=detail))
    return None


def _difference(whole: float, part: float) -> float:
    """Return `whole` - `part` without binary noise: 300 - 285.94 is 14.06."""
    if whole.is_integer() and part.is_integer():
        return whole - part
    return float(Decimal(repr(whole)) - Decimal(repr(part)))


def _surplus(status: UsageStatus) -> Iterator[Note]:
    """Note that more is left than the limit: nobody can tell then how much was used."""
    limit, left = status.limit, status.remaining
    if status.used is None and limit is not None and left is not None and left > limit:
        name = status.unit if status.kind is Kind.MONEY else status.resource
        detail = f"{name}: more remains than the limit, so what was used is not known."
        yield Note(reason="more_left_than_limit", detail=detail)


def _share(part: float | None, limit: float | None, stated: float | None) -> float | None:
    """Return `part` / `limit`, or what is `stated` where one is unknown. Of 0 there is no share."""
    if limit is None or part is None:
        return None if limit == 0 else stated
    return part / limit if limit > 0 else None


def _finite(number: float | None) -> float | None:
    """Return the number; a sum or quotient that left the floats is not known."""
    return number if number is not None and isfinite(number) else None


def _outlook(
    usage: Usage,
    polled_at: float,
    *,
    used: float | None,
    limit: float | None,
    ratio: float | None,
    points: Points,
    account_end: float | None,
    floor: float,
) -> Outlook:
    """Return where the value is going; of a bare percentage, where the ratio is going."""
    period, projected = usage.period, usage.projected
    at = polled_at  # of the data: the vendor's own time, where that can be
    if usage.as_of is not None and usage.as_of <= polled_at:
        at = usage.as_of
        if period is not None and at < period.start:
            # Nothing of this period has been counted yet; or the time is that of something else.
            at = polled_at if used or ratio else period.start
    if projected is not None:
        return vendors(used, at, period, projected, polled=polled_at, limit=limit, history=points)
    if usage.level and period is None:
        if used is None:
            return NOTHING
        return level(used, polled_at, account_end, limit=limit, history=points)
    if usage.level or period is None:  # a level with a period is a peak
        return NOTHING
    if used is None:
        if ratio is None:
            return NOTHING
        return flow(ratio, at, period, polled=polled_at, limit=1.0, history=points)
    return flow(used, at, period, polled=polled_at, limit=limit, history=points, floor=floor)
