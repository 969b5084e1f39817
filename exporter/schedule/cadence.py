"""How often, and at which moment: first phase, interval, alignment, slow cadences.

Everything here moves a poll later than asked for, or keeps it; only `adaptive` makes polls faster,
and never faster than the vendor's minimum.
"""

import hashlib
import math

from exporter.kernel.units import Kind
from exporter.model.reading import Known, Reading
from exporter.model.target import Limit
from exporter.schedule.job import Job

FIRST_PER_SECOND = 20.0  # first polls after a start: values come soon, vendors see no burst
FIRST_WITHIN = 30.0  # when readiness stops waiting for first attempts
FIRST_PER_SECOND_MAX = 200.0  # what a quarter of a core polls
STEADY_PER_SECOND = 2.0  # later the crowd spreads further
AUTH_PAUSES = (900.0, 3600.0, 21_600.0)  # a dead key: 6 tries on the first day, then 4 a day
AUTH_JITTER = 0.1
ALIGN_FROM = 3600.0  # below that a cadence is how long a vendor caches, not when it publishes
ALIGN_PHASE = 0.1  # of the vendor's cadence: come a little after its data, not all at once
ALIGN_PHASE_MAX = 300.0
NEAR_LIMIT = 0.75  # where the status page turns yellow; polls start to come faster
AT_LIMIT = 0.9  # where it turns red
FASTEST = 4.0  # times, at the limit


def phase(*names: str) -> float:
    """Return a number in [0, 1) that looks random and is the same after every start."""
    digest = hashlib.blake2b("\0".join(names).encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2.0**48


def first_spread(jobs: int, interval: float) -> float:
    """Return the seconds over which the first polls of `jobs` are spread."""
    quick = min(FIRST_WITHIN, max(1.0, jobs / FIRST_PER_SECOND))
    return min(interval, max(quick, jobs / FIRST_PER_SECOND_MAX))


def steady_spread(jobs: int, interval: float) -> float:
    """Return the seconds over which polls of `jobs` are spread once all had their first.

    First polls come close together, so that there are values; the gap to the second is stretched
    once, by the difference, so that the crowd does not stay together for ever.
    """
    return min(interval, max(first_spread(jobs, interval), jobs / STEADY_PER_SECOND))


def auth_pause(refusals: int, chance: float) -> float:
    """Return the seconds until a refused credential is tried again after so many refusals."""
    pause = AUTH_PAUSES[min(max(refusals, 1), len(AUTH_PAUSES)) - 1]
    return pause * (1.0 + AUTH_JITTER * chance)


def paced_interval(job: Job, ratio: float | None) -> float:
    """Return the interval for `job`, of which the fullest resource is at `ratio` of its limit.

    An adaptive job comes up to four times as often near its limit, but neither faster than the
    vendor allows nor than its data changes.
    """
    interval = max(job.interval, job.min_interval)
    if not job.adaptive or ratio is None or ratio <= NEAR_LIMIT:
        return interval
    closeness = min(1.0, (ratio - NEAR_LIMIT) / (AT_LIMIT - NEAR_LIMIT))
    faster = interval / (1.0 + closeness * (FASTEST - 1.0))
    return min(interval, max(faster, job.min_interval, job.data_cadence or 0.0))


def pressure(job: Job, reading: Reading) -> float | None:
    """Return used / limit of the fullest resource, by the vendor's limits and the config's."""
    ratios = [*_usage_ratios(job, reading), *_money_ratios(job, reading)]
    return max(ratios, default=None)


def _usage_ratios(job: Job, reading: Reading) -> list[float]:
    ratios = [usage.ratio for usage in reading.usages if usage.ratio is not None]
    for usage in reading.usages:
        limit = job.limits.get(usage.resource)
        own = limit.value if limit is not None and limit.kind in (None, usage.kind) else 0.0
        bound = usage.limit.value if isinstance(usage.limit, Known) else own
        if usage.used is not None and bound > 0.0:
            ratios.append(usage.used / bound)
    return ratios


def _money_ratios(job: Job, reading: Reading) -> list[float]:
    spend = job.limits.get("spend")
    ratios = []
    for money in reading.money:
        bound = money.limit.value if isinstance(money.limit, Known) else _own(spend, money.currency)
        if money.cost is not None and bound > 0.0:
            ratios.append(money.cost / bound)
    return ratios


def _own(limit: Limit | None, currency: str) -> float:
    if limit is None or limit.kind not in (None, Kind.MONEY):
        return 0.0
    return limit.value if limit.currency in ("", currency) else 0.0


def aligned(job: Job, due: float) -> float:
    """Return `due` (epoch seconds), moved to shortly after the vendor's data changes.

    Only where data changes as rarely as we poll (the interval is a multiple of the cadence): a
    poll just before the change would show old data for a whole interval. Later by less than one
    cadence, never earlier. Cadences are taken to begin at midnight UTC; those of minutes have no
    such beginning.
    """
    cadence = job.data_cadence
    if not cadence or cadence < ALIGN_FROM or cadence > job.interval or job.interval % cadence:
        return due
    share = phase(job.target, job.collector, "cadence")
    offset = share * min(cadence * ALIGN_PHASE, ALIGN_PHASE_MAX)
    slack = cadence * ALIGN_PHASE / 2.0  # a poll that started a moment late must not lose a turn
    turn = math.ceil((due - slack - offset) / cadence)
    return max(due, turn * cadence + offset)
