"""The exporter as a whole, with anything in any order, against vendors that watch it.

The machine that only has the schedule is `test_schedule_machine`. Here the engine is the real one:
requests, verdicts, paging, mapping, the cache and the ledger on its file. It is reloaded,
restarted, killed, its clock jumps, its secrets are renewed, and its vendors fail in every page.
After each step all that it publishes is read and compared with what was answered.
"""

import asyncio
import contextlib
import itertools
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from exporter.app.engine import MOVED
from exporter.kernel.override import override
from exporter.model.events import Event, LedgerStatus, PollCrashed, PollFinished, RunnerRecovered
from exporter.model.outcome import Failure, Reason
from exporter.model.reading import Reading
from tests.support.checking_vendors import (
    BURST,
    MAX_WAIT,
    MODES,
    PAGES,
    REFUSED,
    Key,
    Vendors,
)
from tests.support.simulation import Clock, Process, SimulatedLoop, plan_from

pytestmark = pytest.mark.timeout(180)  # a machine of many steps, on whatever machine

DEFINITION = """\
title: {name}
documentation: https://{name}.example/docs
interval: 5m
min_interval: 1m
credentials: {{token: {{description: The key.}}}}
params: {{site: {{description: One of the accounts.}}}}
auth: {{kind: bearer}}
throttling: {{max_wait: 2h{rate}}}
collectors:
  usage:
    request: {{path: /usage, query: {{site: "{{params.site}}"}}}}
    paging: {{kind: next_url, next: next, max_pages: 3}}
    success: {{error: [detail], quota_exhausted: [402]}}
  seats:
    conditional: true
    request: {{path: /seats, query: {{site: "{{params.site}}"}}}}
resources:
  - {{name: traffic, each: rows, unit: bytes, reduce: sum, used: used}}
  - {{name: seats, collector: seats, level: true, used: used}}
"""
NAMES = ("one", "two", "three", "four", "five")
KEY_OF = {"one": "a", "two": "a", "three": "a", "four": "b", "five": "b"}
PROVIDER_OF = {"a": "mill", "b": "rated"}
SITES = ("north", "south")
AGE = "usage_last_success_timestamp_seconds"
STALE = 3600.0
LOST = 1.0  # seconds before a kill of which nothing may be known

names = st.sampled_from(NAMES)
intervals = st.sampled_from([60, 90, 300])


class Everything(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.aio = asyncio.Runner(loop_factory=SimulatedLoop)
        self.loop = self.aio.get_loop()
        self.scratch = tempfile.TemporaryDirectory(prefix="machine-")
        self.folder = Path(self.scratch.name)
        self.clock = Clock()
        self.vendors = Vendors()
        self.plan: dict[str, dict[str, Any]] = {}
        self.known: dict[tuple[str, str], float] = {}  # the last value, by target and collector
        self.won: dict[tuple[str, str], float] = {}  # when the last success began, loop time
        self.shown: dict[tuple[str, str], float] = {}  # that of which the age was shown last
        self.left: dict[tuple[str, str], tuple[float, float]] = {}  # when forgotten, and `won`
        self.faults: list[Event] = []
        self.killed = False
        self.rng = itertools.cycle([0.0, 0.25, 0.5, 0.75, 0.99])

    # ------------------------------------------------------------------------------- the exporter

    def hear(self, event: Event) -> None:
        """Keep what the exporter tells of itself, and what its polls learned."""
        if isinstance(event, PollCrashed | RunnerRecovered | LedgerStatus):
            self.faults.append(event)
        if not isinstance(event, PollFinished) or event.poll.target not in self.plan:
            return
        key = (event.poll.target, event.poll.collector)
        match event.poll.outcome:
            case Failure(reason=Reason.AUTH | Reason.FORBIDDEN):
                self.vendors.jobs[key].floor = REFUSED
            case Failure():
                pass
            case outcome:
                self.won[key] = self.loop.time() - event.poll.seconds
                self.vendors.jobs[key].floor = self.plan[key[0]]["interval"]
                if isinstance(outcome, Reading):
                    (usage,) = outcome.usages
                    assert usage.used is not None
                    self.known[key] = usage.used

    def document(self) -> dict[str, Any]:
        return {
            "state": {"file": "state.db"},
            "providers": {"files": ["mill.yaml", "rated.yaml"]},
            "targets": [self.target(name, **settings) for name, settings in self.plan.items()],
        }

    def target(self, name: str, *, interval: int, site: str, seats: bool) -> dict[str, Any]:
        return {
            "name": name,
            "provider": PROVIDER_OF[KEY_OF[name]],
            "base_url": "https://mill.example",
            "credentials": {"token_file": f"key-{KEY_OF[name]}"},
            "params": {"site": f"{name}-{site}"},
            "poll_interval": f"{interval}s",
            "poll_timeout": "20s",
            "collectors": {"seats": seats},
            "http": {"http_headers": {"X-Target": {"values": [name]}}},
        }

    def live(self) -> None:
        """Begin a life of the process."""

        async def begin() -> None:
            plan = plan_from(self.folder, self.document())
            self.process = Process(
                plan, self.vendors, wall=self.clock, emit=self.hear, random=lambda: next(self.rng)
            )
            await self.process.start()

        self.aio.run(begin())

    def reload(self) -> None:
        async def apply() -> None:
            self.process.engine.apply(plan_from(self.folder, self.document()))

        self.vendors.targets = set(self.plan)
        self.aio.run(apply())

    # ------------------------------------------------------------------------------------- rules

    @initialize(interval=intervals)
    def begin(self, interval: int) -> None:
        for name, rate in (("mill", ""), ("rated", f", rate: 12/1m, burst: {BURST}")):
            (self.folder / f"{name}.yaml").write_text(DEFINITION.format(name=name, rate=rate))
        for key in "ab":
            (self.folder / f"key-{key}").write_text(f"{key}0")
        for name in NAMES[:4]:
            self.plan[name] = {"interval": interval, "site": "north", "seats": name == "one"}
        self.vendors.targets = set(self.plan)
        self.live()

    @rule(seconds=st.sampled_from([0.3, 1.0, 7.0, 61.0, 400.0, 1800.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.aio.run(asyncio.sleep(seconds))

    @rule(
        name=names,
        page=st.integers(1, PAGES),
        mode=st.sampled_from(MODES),
        size=st.integers(1, PAGES),
    )
    def a_page_breaks_or_mends(self, name: str, page: int, mode: str, size: int) -> None:
        for site in SITES:
            self.vendors.modes[f"{name}-{site}", page] = mode
            self.vendors.sizes[f"{name}-{site}"] = size

    @rule(name=names)
    def seats_are_bought(self, name: str) -> None:
        for site in SITES:
            account = f"{name}-{site}"
            self.vendors.seats[account] = self.vendors.seats.get(account, 1) + 1

    @rule(
        key=st.sampled_from("ab"),
        wait=st.sampled_from([0, 1.5, 30, 600, 5000, 10**9]),
        status=st.sampled_from([429, 503, 402, 200]),
    )
    def a_vendor_says_wait(self, key: str, wait: float, status: int) -> None:
        self.present(key).refusal = (status, {"Retry_After": f"{wait:.10g}"}, wait)

    @rule(key=st.sampled_from("ab"), left=st.sampled_from([20.0, 900.0]))
    def a_vendor_tells_a_reset(self, key: str, left: float) -> None:
        headers = {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": f"{left:.0f}"}
        self.present(key).refusal = (429, headers, left)

    @rule(key=st.sampled_from("ab"))
    def a_key_dies(self, key: str) -> None:
        self.present(key).dead = True

    @rule(key=st.sampled_from("ab"))
    def a_secret_is_renewed(self, key: str) -> None:
        file = self.folder / f"key-{key}"
        file.write_text(f"{key}{int(file.read_text()[1:]) + 1}")
        for (name, _), job in self.vendors.jobs.items():
            if KEY_OF[name] == key:
                job.floor = 1.0  # a refused caller with another key is another caller

        async def notice() -> None:
            self.process.engine.wake_renewed()

        self.aio.run(notice())

    @rule(name=names)
    def a_target_leaves(self, name: str) -> None:
        self.plan.pop(name, None)
        self.forget(name)
        self.reload()

    @rule(name=names, interval=intervals, seats=st.booleans())
    def a_target_comes_or_changes(self, name: str, interval: int, seats: bool) -> None:  # noqa: FBT001 - drawn
        before = self.plan.get(name, {"site": "north"})
        self.plan[name] = {**before, "interval": interval, "seats": seats}
        self.vendors.lower_floors(name)
        self.reload()

    @rule(name=names, site=st.sampled_from(SITES))
    def a_target_becomes_another_account(self, name: str, site: str) -> None:
        if name in self.plan and self.plan[name]["site"] != site:
            self.plan[name] = {**self.plan[name], "site": site}
            self.vendors.lower_floors(name)
            self.forget(name)
            self.reload()

    @rule(away=st.sampled_from([0.0, 5.0, 200.0, 3000.0]))
    def the_process_restarts(self, away: float) -> None:
        self.aio.run(self.process.stop())
        self.aio.run(asyncio.sleep(away))
        self.live()

    @rule(away=st.sampled_from([0.0, 5.0, 200.0]))
    def the_process_is_killed(self, away: float) -> None:
        self.aio.run(self.process.kill())
        since = self.loop.time() - LOST
        self.vendors.forgive(since)
        for key, (forgotten, won) in self.left.items():
            if forgotten > since:  # the next process need not know that it was
                self.won.setdefault(key, won)
        self.killed = True
        self.aio.run(asyncio.sleep(away))
        self.live()

    @rule(into=st.sampled_from([0.0, 0.05, 0.2, 0.35, 0.5]), times=st.integers(1, 3))
    def the_process_dies_of_its_polls(self, into: float, times: int) -> None:
        for _ in range(times):
            self.aio.run(self.until_asked())
            self.aio.run(asyncio.sleep(into))
            self.the_process_is_killed(away=0.0)

    async def until_asked(self) -> None:
        self.vendors.asked.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(400.0):
                await self.vendors.asked.wait()

    @rule(jump=st.sampled_from([-3600.0, -1.0, 3600.0]))
    def the_clock_jumps(self, jump: float) -> None:
        async def notice() -> None:
            self.process.engine.check_clock()

        self.clock.offset += jump
        self.aio.run(notice())  # as every few seconds
        self.time_passes(seconds=1.0)

    def present(self, key: str) -> Key:
        return self.vendors.key((self.folder / f"key-{key}").read_text())

    def forget(self, name: str) -> None:
        now = self.loop.time()
        self.left |= {key: (now, won) for key, won in self.won.items() if key[0] == name}
        for memory in (self.known, self.won, self.shown):
            for key in [key for key in memory if key[0] == name]:
                del memory[key]

    # -------------------------------------------------------------------------------- invariants

    @invariant()
    def no_law_is_broken(self) -> None:
        assert not self.vendors.broken, self.vendors.broken
        assert not self.faults, self.faults

    @invariant()
    def what_is_published_was_answered(self) -> None:
        seen = self.process.scrape()
        assert {one.labels["account"] for one in seen.series} <= self.plan.keys()
        for one in seen.all("usage_bytes"):
            self.check_traffic(one.labels["account"], int(one.value))
        for one in seen.all("usage_quantity"):
            name = one.labels["account"]
            bought = self.vendors.seats.get(f"{name}-{self.plan[name]['site']}", 1)
            assert 1 <= one.value <= bought
        self.check_ages()
        self.killed = False

    def check_traffic(self, name: str, value: int) -> None:
        assert value in self.vendors.complete, f"{name}: {value} was never answered as a whole"
        account = f"{name}-{self.plan[name]['site']}"
        assert self.vendors.account_of[value // 1000] == account
        if not self.killed:
            latest = self.known.get((name, "usage"))
            assert value == latest, f"{name}: {value} is shown, {latest} is known"
        self.known[name, "usage"] = value

    def check_ages(self) -> None:
        """Ages are true, fall with a success alone, and end at `STALE`."""
        seen = self.process.scrape()
        offset = self.clock.offset
        for one in seen.all(AGE):
            key = (one.labels["account"], one.labels["collector"])
            at = one.value - offset  # when that was in loop time
            won = self.won.get(key, -1.0)
            assert at <= won + MOVED, f"{key} is shown {at - won:.3f} s too young"
            if not self.killed:
                assert at >= won - MOVED, f"{key} is shown {won - at:.3f} s too old"
            assert at >= self.shown.get(key, at) - MOVED or self.killed
            self.shown[key] = self.won[key] = at
        for one in seen.all("usage_bytes"):
            at = self.shown[one.labels["account"], "usage"]
            assert self.loop.time() - at <= STALE + MOVED, f"stale: {one}"

    @override
    def teardown(self) -> None:
        try:
            if hasattr(self, "process"):
                self.all_is_well_in_good_weather()
                self.aio.run(self.process.stop())
        finally:
            self.aio.close()
            self.scratch.cleanup()

    def all_is_well_in_good_weather(self) -> None:
        """Nothing waits for ever, and nothing is forgotten."""
        self.vendors.modes.clear()
        for name in "ab":
            self.a_secret_is_renewed(name)
        for key in self.vendors.keys.values():
            key.dead, key.refusal = False, None
        self.aio.run(asyncio.sleep(MAX_WAIT + 1800.0))
        self.no_law_is_broken()
        self.what_is_published_was_answered()
        seen = self.process.scrape()
        assert {one.labels["account"] for one in seen.all("usage_bytes")} == self.plan.keys()
        assert all(one.value == 1 for one in seen.all("usage_up"))
        for name, chosen in self.plan.items():
            bought = self.vendors.seats.get(f"{name}-{chosen['site']}", 1)
            found = seen.get("usage_quantity", account=name, resource="seats")
            assert found == (bought if chosen["seats"] else None)


Everything.TestCase.settings = settings(max_examples=10, stateful_step_count=25)
TestEverything = Everything.TestCase
