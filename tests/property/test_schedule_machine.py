"""Anything in any order: polls, failures, waits, reloads, secrets, restarts, clocks that jump.

A world of vendors watches every request that the real runner makes, in virtual time, and notes each
one that breaks a law: inside a wait, above the declared rate, below an interval, two polls of one
target at once, a target that left the config, a dead key tried again and again.
"""

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from exporter.kernel.override import override
from exporter.model.events import PollCrashed, RunnerRecovered
from exporter.model.outcome import Failure, Poll, Reason, Unchanged
from exporter.model.reading import RateLimit
from exporter.model.target import Concurrency
from exporter.schedule.job import Job
from exporter.schedule.runner import Runner
from tests.support.schedule import (
    EPOCH,
    CalendarLoop,
    Events,
    a_failure,
    a_job,
    a_poll,
    throttling,
)

pytestmark = pytest.mark.timeout(180)  # a machine of many steps, on whatever machine

NAMES = ("one", "two", "three", "four", "five", "six")
BUDGET_OF = {"one": "open", "two": "open", "three": "open", "four": "rated", "five": "rated"}
COLLECTORS = {"one": ("usage", "costs"), "six": ("usage", "costs")}
RATE, BURST, MAX_PAGES = 0.03, 2, 3
LIMIT, RESERVE, HOUR = 200, 40, 3600.0
MAX_WAIT = 7200.0
REFUSED = 900.0  # seconds after a refused credential
SLACK = 1e-5  # seconds: floats
names = st.sampled_from(NAMES)
modes = st.sampled_from(["ok", "pages", "5xx", "schema", "forbidden", "hang", "crash", "pages"])


def jobs_of(name: str, interval: float) -> Iterator[Job]:
    budget = BUDGET_OF.get(name, "alone")
    rated = {"rate": RATE, "burst": BURST} if budget == "rated" else {}
    for collector in COLLECTORS.get(name, ("usage",)):
        yield a_job(
            name,
            collector,
            interval=interval,
            min_interval=40.0,
            timeout=20.0,
            budget=budget,
            host="host",
            throttling=throttling(max_wait=MAX_WAIT, **rated),
        )


@dataclass
class Vendor:
    """One budget as the vendor sees it."""

    rated: bool = False
    windowed: bool = False
    wait: float | None = None  # the next request is refused with this Retry-After
    waits_until: float = -1.0
    dead: bool = False
    level: float = 0.0  # of a leaky bucket
    counted: float = 0.0
    used: int = 0
    hour: int = 0
    refused_keys: list[float] = field(default_factory=list)

    def request(self, now: float) -> tuple[Failure | None, list[str]]:
        """Answer a request: a refusal or None, and the laws that it breaks."""
        broken = [*self.laws(now)]
        if self.wait is not None:
            wait, self.wait = self.wait, None
            return a_failure(Reason.RATE_LIMITED, wait), broken
        if self.dead:
            self.refused_keys = [at for at in self.refused_keys if at > now - 2 * HOUR] + [now]
            if len(self.refused_keys) > 7:
                broken.append(f"a dead key was tried {len(self.refused_keys)} times in two hours")
            return a_failure(Reason.AUTH), broken
        return None, broken

    def laws(self, now: float) -> Iterator[str]:
        if now < self.waits_until - SLACK:
            yield f"{self.waits_until - now:.3f} s inside a wait"
        if self.rated:
            self.level = max(0.0, self.level - RATE * (now - self.counted)) + 1.0
            self.counted = now
            if self.level > BURST + MAX_PAGES + SLACK:
                yield f"above the rate: {self.level:.1f} requests at once"
        if self.hour != int(now // HOUR):
            self.used, self.hour = 0, int(now // HOUR)
        self.used += 1
        if self.windowed and self.used > LIMIT - RESERVE + MAX_PAGES:
            yield f"the reserve was touched: {self.used} requests of {LIMIT}"

    def headers(self, now: float, wall: float) -> RateLimit | None:
        if not self.windowed:
            return None
        reset_at = wall + (self.hour + 1) * HOUR - now
        return RateLimit(limit=LIMIT, remaining=LIMIT - self.used, reset_at=reset_at)

    def told(self, refusal: Failure, now: float) -> None:
        """Note that a refusal arrived: only now can anybody keep to it."""
        if refusal.wait is not None:
            self.waits_until = max(self.waits_until, now + min(refusal.wait, MAX_WAIT))


@dataclass
class Ledger:
    """What the world knows of one job: when it may be polled again."""

    started: float
    interval: float  # that the next poll must keep; 0 after a failure
    minimum: float


class Schedules(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.aio = asyncio.Runner(loop_factory=CalendarLoop)
        self.loop = self.aio.get_loop()
        self.offset = EPOCH
        self.events = Events()
        self.broken: list[str] = []
        self.modes: dict[str, str] = {}
        self.vendors = {
            "open": Vendor(windowed=True),
            "rated": Vendor(rated=True),
            "alone": Vendor(),
        }
        self.plan: dict[str, float] = {}
        self.ledgers: dict[tuple[str, str], Ledger] = {}
        self.rotated: dict[str, float] = {}
        self.running: set[str] = set()
        self.good: set[str] = set()
        self.rng = itertools.cycle([0.0, 0.25, 0.5, 0.75, 0.99])

    # ------------------------------------------------------------------------------- the vendors

    async def poll(self, job: Job) -> Poll:
        now = self.loop.time()
        self.watch(job, now)
        self.running.add(job.target)
        outcome: Failure | Unchanged = Unchanged()
        requests = 0
        mode = self.modes.get(job.target, "ok")
        try:
            for _ in range(MAX_PAGES if mode == "pages" else 1):
                requests += 1
                refusal, broken = self.vendors[job.budget].request(self.loop.time())
                self.broken += [f"{job.target} at {self.loop.time():.3f}: {law}" for law in broken]
                await asyncio.sleep(0.5)
                if refusal is not None:
                    outcome = refusal
                    self.vendors[job.budget].told(refusal, self.loop.time())
                    break
            else:
                outcome = await self.answer(mode)
        finally:
            self.running.discard(job.target)
        self.keep(job, now, outcome)
        rate = self.vendors[job.budget].headers(self.loop.time(), self.wall())
        return a_poll(job, outcome, at=self.wall(), rate=rate, requests=requests)

    async def answer(self, mode: str) -> Failure | Unchanged:
        match mode:
            case "5xx":
                return a_failure(Reason.HTTP_5XX)
            case "schema":
                return a_failure(Reason.SCHEMA)
            case "forbidden":
                return a_failure(Reason.FORBIDDEN)
            case "hang":
                await asyncio.sleep(1e6)
            case "crash":
                raise ZeroDivisionError
            case _:
                pass
        return Unchanged()

    def watch(self, job: Job, now: float) -> None:
        """Note what the start of a poll breaks."""
        if job.target in self.running:
            self.broken.append(f"{job.target} was polled twice at once")
        if job.target not in self.plan:
            self.broken.append(f"{job.target} was polled although it left the config")
        kept = self.ledgers.get((job.target, job.collector))
        if kept is not None:
            gap = now - kept.started
            if gap < max(kept.interval, kept.minimum) - SLACK:
                self.broken.append(f"{job.target}/{job.collector} came again after {gap:.3f} s")
        self.ledgers[job.target, job.collector] = Ledger(now, 0.0, job.min_interval)

    def keep(self, job: Job, started: float, outcome: Failure | Unchanged) -> None:
        """Note how long the job must stay away after the end of its poll."""
        kept = self.ledgers[job.target, job.collector]
        refused = isinstance(outcome, Failure) and outcome.reason in (
            Reason.AUTH,
            Reason.FORBIDDEN,
        )
        if kept.started == started and self.rotated.get(job.target, -1.0) >= started:
            kept.minimum = 1.0 if refused else kept.minimum
        elif kept.started == started and refused:
            kept.interval = REFUSED
        elif kept.started == started and isinstance(outcome, Unchanged):
            kept.interval = min(job.interval, self.plan.get(job.target, job.interval))
        if isinstance(outcome, Unchanged):
            self.good.add(job.target)

    def ledgers_of(self, name: str) -> list[Ledger]:
        return [kept for (target, _), kept in self.ledgers.items() if target == name]

    def wall(self) -> float:
        return self.loop.time() + self.offset

    # -------------------------------------------------------------------------------- the runner

    def make(self) -> Runner:
        async def inside() -> Runner:
            return Runner(
                poll=self.poll,
                emit=self.events,
                wall=self.wall,
                random=lambda: next(self.rng),
                concurrency=Concurrency(polls=4),
            )

        return self.aio.run(inside())

    def swap(self, changed: tuple[str, ...] = ()) -> None:
        jobs = [job for name, interval in self.plan.items() for job in jobs_of(name, interval)]
        self.runner.swap(jobs, changed=changed)

    def go(self) -> None:
        async def start() -> "asyncio.Task[None]":
            return asyncio.create_task(self.runner.run())  # noqa: TID251 - the test is its owner

        self.task = self.aio.run(start())

    @initialize(
        interval=st.sampled_from([60.0, 90.0, 300.0]), mode=st.sampled_from(["ok", "pages"])
    )
    def begin(self, interval: float, mode: str) -> None:
        self.modes = dict.fromkeys(NAMES, mode)
        self.plan = dict.fromkeys(NAMES[:5], interval)
        self.runner = self.make()
        self.swap()
        self.go()

    @rule(seconds=st.sampled_from([0.3, 1.0, 7.0, 60.0, 61.0, 400.0, 1800.0]))
    def time_passes(self, seconds: float) -> None:
        self.aio.run(asyncio.sleep(seconds))

    @rule(name=names, mode=modes)
    def the_weather_changes(self, name: str, mode: str) -> None:
        self.modes[name] = mode

    @rule(
        budget=st.sampled_from(["open", "rated", "alone"]),
        wait=st.sampled_from([0.0, 1.5, 30.0, 600.0, 5000.0, 1e9]),
    )
    def a_vendor_throttles(self, budget: str, wait: float) -> None:
        self.vendors[budget].wait = wait

    @rule(budget=st.sampled_from(["open", "alone"]))
    def a_key_dies(self, budget: str) -> None:
        self.vendors[budget].dead = True

    @rule(name=names)
    def a_secret_is_rotated(self, name: str) -> None:
        vendor = self.vendors[BUDGET_OF.get(name, "alone")]
        vendor.dead, vendor.refused_keys = False, []
        for other in NAMES:
            if BUDGET_OF.get(other, "alone") == BUDGET_OF.get(name, "alone"):
                self.rotated[other] = self.loop.time()
                for kept in self.ledgers_of(other):
                    refused = kept.interval == REFUSED or other in self.running
                    kept.minimum = 1.0 if refused else kept.minimum
                    kept.interval = 0.0
                self.runner.wake(other)

    @rule(name=names)
    def a_target_leaves(self, name: str) -> None:
        self.plan.pop(name, None)
        self.swap()

    @rule(name=names, interval=st.sampled_from([60.0, 90.0, 300.0]))
    def a_target_comes_or_has_a_new_interval(self, name: str, interval: float) -> None:
        for kept in self.ledgers_of(name):
            kept.interval = min(kept.interval, interval)
        self.plan[name] = interval
        self.swap()

    @rule(name=names)
    def a_target_is_changed(self, name: str) -> None:
        for kept in self.ledgers_of(name):
            kept.interval = 0.0
        self.swap(changed=(name,))

    @rule(away=st.sampled_from([0.0, 5.0, 200.0, 3000.0]), killed=st.booleans())
    def the_process_restarts(self, away: float, killed: bool) -> None:  # noqa: FBT001 - drawn
        snapshot = self.runner.snapshot()
        self.stop()
        if not killed:
            snapshot = self.runner.snapshot()
        self.aio.run(asyncio.sleep(away))
        self.runner = self.make()
        self.runner.restore(snapshot)
        self.swap()
        self.go()

    @rule(jump=st.sampled_from([-3600.0, -1.0, 3600.0]))
    def the_clock_jumps(self, jump: float) -> None:
        self.offset += jump

    def stop(self) -> None:
        async def end() -> None:
            began = self.loop.time()
            self.task.cancel()
            await asyncio.wait([self.task])
            assert self.task.cancelled()
            assert self.loop.time() - began < 1.0

        self.aio.run(end())

    @invariant()
    def no_law_is_broken(self) -> None:
        assert not self.broken, self.broken

    @invariant()
    def only_crashes_that_were_asked_for(self) -> None:
        errors = {event.error for event in self.events.of(PollCrashed)}
        assert all(error.startswith("ZeroDivisionError in ") for error in errors)
        assert self.events.of(RunnerRecovered) == []

    @override
    def teardown(self) -> None:
        try:
            self.aio.run(asyncio.sleep(3 * HOUR))  # in whatever weather there is
            self.no_law_is_broken()
            self.everybody_is_polled_in_good_weather()
        finally:
            self.stop()
            self.aio.close()

    def everybody_is_polled_in_good_weather(self) -> None:
        """Nothing waits for ever."""
        self.modes.clear()
        for vendor in self.vendors.values():
            vendor.dead, vendor.wait = False, None
        self.good.clear()
        self.aio.run(asyncio.sleep(8 * HOUR))
        self.no_law_is_broken()
        assert self.good == set(self.plan)


Schedules.TestCase.settings = settings(max_examples=12, stateful_step_count=25)
TestSchedules = Schedules.TestCase
