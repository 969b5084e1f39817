"""A month of 500 targets on 20 keys of noisy vendors, in virtual time, by the real runner.

Each vendor keeps a limit that its users share with others, refuses above it, and tells of it in its
own dialect: by headers, by Retry-After, by a reset, or not at all beforehand. What is counted is
what vendors see: requests against the least that the config needs, and whether anybody was refused
twice in one window.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, auto

import pytest

from exporter.model.events import PollFinished
from exporter.model.outcome import Failure, Poll, Reason, Unchanged
from exporter.model.reading import RateLimit
from exporter.schedule.job import Job
from exporter.schedule.runner import Runner
from tests.support.schedule import (
    DAY,
    EPOCH,
    Events,
    a_failure,
    a_job,
    a_poll,
    simulate,
    throttling,
)

pytestmark = pytest.mark.slow  # they share one month, which takes seconds

MONTH = 30 * DAY
HOUR = 3600.0
KEYS, TARGETS = 20, 500
PER_KEY = TARGETS // KEYS


class Dialect(Enum):
    HEADERS = auto()  # limit, remaining and reset on every answer
    RETRY_AFTER = auto()  # nothing until it refuses
    RESET = auto()  # the refusal tells the reset, which jitters
    DECLARED = auto()  # its documentation tells the rate; a refusal says nothing


@dataclass
class Vendor:
    """A limit of `limit` requests per `window` seconds, of which others use some."""

    dialect: Dialect
    limit: int
    window: float
    noise: random.Random
    trouble: float  # the share of requests that fail for no reason of ours
    number: int = -1
    used: int = 0
    made: int = 0
    refused: Counter[int] = field(default_factory=Counter)

    def request(self, now: float) -> tuple[Failure | Unchanged, RateLimit | None]:
        self.made += 1
        number = int(now // self.window)
        if number != self.number:
            self.number, self.used = number, 0
        self.used += self.noise.choice((0, 0, 0, 1, 1, 2))  # the key's other users
        left = (number + 1) * self.window - now
        rate = None
        if self.used >= self.limit:
            self.refused[number] += 1
            if self.dialect is Dialect.DECLARED:
                return a_failure(Reason.RATE_LIMITED), None
            if self.dialect is Dialect.RESET:
                jitter = self.noise.uniform(-0.4, 0.4)
                rate = RateLimit(remaining=0.0, reset_at=EPOCH + now + left + jitter)
                return a_failure(Reason.RATE_LIMITED), rate
            return a_failure(Reason.RATE_LIMITED, float(int(left))), None
        self.used += 1
        if self.dialect is Dialect.HEADERS:
            rest = float(self.limit - self.used)
            rate = RateLimit(limit=self.limit, remaining=rest, reset_at=EPOCH + now + left)
        if self.noise.random() < self.trouble:
            return a_failure(self.noise.choice((Reason.HTTP_5XX, Reason.TIMEOUT))), rate
        return Unchanged(), rate


def jobs() -> list[Job]:
    made = []
    for number in range(TARGETS):
        key = number % KEYS
        declared = dialect_of(key) is Dialect.DECLARED
        made.append(
            a_job(
                f"target-{number}",
                budget=f"key-{key}",
                host=f"host-{key % 10}",
                interval=(4 * HOUR, 6 * HOUR, 12 * HOUR, DAY)[number // KEYS % 4],
                throttling=throttling(rate=20 / HOUR, burst=4) if declared else throttling(),
            )
        )
    return made


def dialect_of(key: int) -> Dialect:
    return list(Dialect)[key % len(Dialect)]


@dataclass
class Month:
    vendors: dict[str, Vendor]
    good: Counter[str]
    finished: int
    queued: int


async def a_month() -> Month:
    loop = asyncio.get_running_loop()
    noise = random.Random(20261115)  # noqa: S311 - a simulation
    vendors = {
        f"key-{key}": Vendor(
            dialect=dialect_of(key),
            limit=20,
            window=HOUR,
            noise=random.Random(key),  # noqa: S311 - a simulation
            trouble=0.02,
        )
        for key in range(KEYS)
    }
    good: Counter[str] = Counter()

    async def poll(job: Job) -> Poll:
        outcome: Failure | Unchanged = Unchanged()
        rate = None
        pages = 2 if job.target.endswith("7") else 1
        requests = 0
        for _ in range(pages):
            requests += 1
            await asyncio.sleep(0.1)
            outcome, rate = vendors[job.budget].request(loop.time())
            await asyncio.sleep(0.1)
            if isinstance(outcome, Failure):
                break
        good[job.target] += isinstance(outcome, Unchanged)
        return a_poll(job, outcome, at=EPOCH + loop.time(), rate=rate, requests=requests)

    events = Events()
    runner = Runner(poll=poll, emit=events, wall=lambda: EPOCH + loop.time(), random=noise.random)
    runner.swap(jobs())
    task = asyncio.create_task(runner.run())  # noqa: TID251 - the test is its owner
    await asyncio.sleep(MONTH)
    task.cancel()
    await asyncio.wait([task])
    queued = sum(status.budget.queued > 0 for status in runner.statuses())
    return Month(vendors, good, len(events.of(PollFinished)), queued)


@pytest.fixture(scope="module")
def month() -> Month:
    result: list[Month] = []

    async def main() -> None:
        result.append(await a_month())

    simulate(main())
    return result[0]


def pages_of(job: Job) -> int:
    return 2 if job.target.endswith("7") else 1


def test_no_vendor_refuses_twice_in_one_window(month: Month) -> None:
    for vendor in month.vendors.values():
        assert max(vendor.refused.values(), default=0) <= 1


def test_vendors_that_tell_their_limit_hardly_ever_refuse(month: Month) -> None:
    for vendor in month.vendors.values():
        if vendor.dialect is Dialect.HEADERS:
            assert vendor.refused.total() <= 2


def test_requests_are_close_to_the_least_that_the_config_needs(month: Month) -> None:
    least = sum(MONTH / job.interval * pages_of(job) for job in jobs())
    made = sum(vendor.made for vendor in month.vendors.values())
    assert made <= 1.06 * least


def test_every_target_is_polled_nearly_as_often_as_it_asked(month: Month) -> None:
    for job in jobs():
        assert month.good[job.target] >= 0.9 * MONTH / job.interval


def test_nothing_is_left_behind_at_the_end(month: Month) -> None:
    assert month.queued < PER_KEY
