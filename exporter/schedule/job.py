"""A job, what the schedule knows of one collector of one target; the limits of a budget.

Both are values made from the config and the definition, and replaced by a reload. Jobs with the
same `budget` share one rate-limit state, which keeps to the strictest of their limits.
"""

import sys
from collections.abc import Iterable
from urllib.parse import urlsplit

import msgspec

from exporter.model.definition.ratelimit import RateLimitRules
from exporter.model.target import Target

NO_RULES = RateLimitRules()
GUARD = 1.0
"""Seconds after its own deadline at which a poll that has not ended by itself is ended."""
SMALLEST_SHARE = 0.01  # a reserve of everything would mean no poll at all


class Job(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One collector of one target, to be polled again and again. Durations are seconds.

    `budget` is the key of the throttling state that it shares, `host` who is asked. `reserve` is
    the share of the vendor's limit that is left to others. `data_cadence` is how often the
    vendor's data changes, where that is known. Polls of an `adaptive` job come faster near a limit.
    """

    target: str
    provider: str
    collector: str
    interval: float
    min_interval: float = 0.0
    timeout: float = 30.0
    budget: str
    host: str = ""
    throttling: RateLimitRules = NO_RULES
    reserve: float = 0.2
    data_cadence: float | None = None
    adaptive: bool = False


def jobs_of(target: Target) -> tuple[Job, ...]:
    """Return the jobs of `target`, one for each collector that it polls.

    An interval below the provider's minimum is raised to it: the config has warned of that.
    """
    definition = target.definition
    # Interned: thousands of targets use one host.
    host = sys.intern(urlsplit(target.base_url).netloc.rpartition("@")[2].lower())
    jobs = []
    for name, interval in target.collectors.items():
        own = definition.collectors[name].min_interval
        minimum = definition.min_interval if own is None else own
        jobs.append(
            Job(
                target=target.name,
                provider=target.provider,
                collector=name,
                interval=max(interval, minimum),
                min_interval=minimum,
                timeout=target.poll_timeout + GUARD,
                budget=target.budget,
                host=host,
                throttling=definition.throttling,
                reserve=target.reserve,
                data_cadence=definition.data_cadence,
                adaptive=target.adaptive,
            )
        )
    return tuple(jobs)


class BudgetLimits(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a budget must keep to: the strictest of the jobs that share it.

    `rate` is requests per second for us, the reserve already taken off; `burst` how many may come
    at once. `one_key`: a refused credential of one job is the credential of all.
    """

    rate: float | None = None
    burst: float = 1.0
    reserve: float = 0.2
    max_wait: float = 86_400.0
    one_key: bool = True


def budget_limits_of(jobs: Iterable[Job]) -> BudgetLimits:
    """Return the strictest terms of `jobs`, at least one, that share a budget."""
    distinct = list({(id(job.throttling), job.reserve): job for job in jobs}.values())
    all_throttling = [job.throttling for job in distinct]
    reserve = min(max(0.0, *(job.reserve for job in distinct)), 1.0)
    share = max(1.0 - reserve, SMALLEST_SHARE)
    rates = [throttling.rate for throttling in all_throttling if throttling.rate]
    return BudgetLimits(
        rate=min(rates) * share if rates else None,
        burst=max(1.0, min(throttling.burst for throttling in all_throttling) * share // 1),
        reserve=reserve,
        max_wait=max(throttling.max_wait for throttling in all_throttling),
        one_key=all(throttling.scope.one_key for throttling in all_throttling),
    )
