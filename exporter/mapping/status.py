"""How a resource stands: the engine's arithmetic, and where the number is going.

used = limit - remaining, limit = used + remaining, ratio = used / limit. A percentage is never
turned back into an amount: vendors round it, and the product would look exact.
"""

from typing import NamedTuple

from exporter.mapping.forecast import NOTHING, Outlook, Points, flow, level, vendors
from exporter.mapping.merge import Charged, Stated
from exporter.model.reading import Known, LimitFact, Unlimited, Usage


class Sums(NamedTuple):
    """Numbers in base units. `limit_kind`: provider, config, unlimited or unknown."""

    used: float | None
    limit: float | None
    limit_kind: str
    ratio: float | None


class UsageStatus(NamedTuple):
    """All that is known and expected. `projection`: provider, linear or none."""

    used: float | None
    limit: float | None
    limit_kind: str
    ratio: float | None
    projected: float | None
    projected_ratio: float | None
    exhausted_at: float | None
    projection: str


def usage_standing(
    stated: Stated, configured: float | None, points: Points, account_end: float | None
) -> UsageStatus:
    """Return how a resource stands.

    `configured` is the config's limit, `account_end` when the account's billing period ends, which
    a level has none of its own.
    """
    usage = stated.usage
    sums = summed(usage.used, usage.limit, usage.remaining, usage.ratio, configured)
    if sums.used is None and usage.projected is None and not usage.level:
        return _by_ratio(sums, usage, _data_time(usage, stated.at))
    if usage.level and usage.period is None and usage.projected is None:
        outlook = _of_level(sums, stated.at, account_end, points)
    else:
        outlook = _of_flow(stated, sums, points)
    return _standing(sums, outlook, by_vendor=usage.projected is not None)


def money_standing(charged: Charged, configured: float | None, points: Points) -> UsageStatus:
    """Return how the cost in one currency stands. The base fee does not grow with time."""
    money, at = charged
    sums = summed(money.cost, money.limit, money.remaining, None, configured)
    if money.projected is not None:
        outlook = vendors(
            sums.used, at, money.period, money.projected, limit=sums.limit, history=points
        )
    elif sums.used is not None and money.period is not None:
        floor = money.base or 0.0
        outlook = flow(sums.used, at, money.period, limit=sums.limit, history=points, floor=floor)
    else:
        outlook = NOTHING
    return _standing(sums, outlook, by_vendor=money.projected is not None)


def summed(
    used: float | None,
    limit: LimitFact | None,
    remaining: float | None,
    ratio: float | None,
    configured: float | None,
) -> Sums:
    """Return what the facts come to.

    A limit that the vendor gives wins over the config's, which fills in where the vendor gives none
    or says that there is none. A balance above the limit (carried over, granted) says nothing of
    what was used.
    """
    given = limit.value if isinstance(limit, Known) else None
    if limit is None and used is not None and remaining is not None:
        given = used + remaining
    kind = "provider"
    if given is None and configured is not None:
        given, kind = configured, "config"
    left = None if isinstance(limit, Unlimited) else remaining  # of no end nothing is left over
    if used is None and given is not None and left is not None and left <= given:
        used = given - left
    if given is None:
        kind = "unlimited" if isinstance(limit, Unlimited) else "unknown"
    if used is not None and given is not None and given > 0:
        ratio = used / given
    return Sums(used, given, kind, ratio)


def _data_time(usage: Usage, at: float) -> float:
    """Return the instant that the value is true of: the vendor's own, where it can be."""
    if usage.as_of is None or usage.as_of > at:
        return at
    return at if usage.period is not None and usage.as_of < usage.period.start else usage.as_of


def _of_level(sums: Sums, at: float, account_end: float | None, points: Points) -> Outlook:
    if sums.used is None:
        return NOTHING
    return level(sums.used, at, account_end, limit=sums.limit, history=points)


def _of_flow(stated: Stated, sums: Sums, points: Points) -> Outlook:
    usage, polled = stated
    at = _data_time(usage, polled)
    if usage.projected is not None:
        return vendors(
            sums.used,
            at,
            usage.period,
            usage.projected,
            polled=polled,
            limit=sums.limit,
            history=points,
        )
    if sums.used is None or usage.period is None or usage.level:  # a level here is a peak
        return NOTHING
    return flow(sums.used, at, usage.period, polled=polled, limit=sums.limit, history=points)


def _by_ratio(sums: Sums, usage: Usage, at: float) -> UsageStatus:
    """Return the outlook of a bare percentage, the limit of which is 1."""
    if sums.ratio is None or usage.period is None:
        return _standing(sums, NOTHING, by_vendor=False)
    found = flow(sums.ratio, at, usage.period, limit=1.0)
    kind = "none" if found.projected is None else "linear"
    return UsageStatus(*sums, None, found.projected, found.exhausted_at, kind)


def _standing(sums: Sums, outlook: Outlook, *, by_vendor: bool) -> UsageStatus:
    projected = outlook.projected
    ratio = None
    if projected is not None and sums.limit is not None and sums.limit > 0:
        ratio = projected / sums.limit
    kind = "none" if projected is None else "linear"
    return UsageStatus(
        *sums, projected, ratio, outlook.exhausted_at, "provider" if by_vendor else kind
    )
