"""The machine was suspended: ages are true, and what came due is polled, not all in one second.

A suspension is an injected one: CLOCK_BOOTTIME and the wall clock jump, CLOCK_MONOTONIC does not.
"""

import asyncio
import io
import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import uvloop

from exporter.app.daemon import serve
from exporter.app.options import Options
from exporter.cli.daemon import suspend_aware
from exporter.config.plan import load_plan
from exporter.demo.server import json_response
from exporter.model.events import ProcessResumed
from exporter.model.outcome import Poll, Unchanged
from exporter.schedule.job import Job
from exporter.schedule.runner import Runner
from tests.support.adjustable_clock import adjustable_clock, advance
from tests.support.engine_harness import plan_of
from tests.support.metered_vendor import MeteredVendor, row, rows, target, write_config
from tests.support.parsed_exposition import ParsedExposition
from tests.support.schedule import Events, a_job, a_poll
from tests.support.serving import ask

HOURS = 8 * 3600.0
SUCCESS = "usage_last_success_timestamp_seconds"
loops = pytest.mark.parametrize("fast", [None, uvloop], ids=["asyncio", "uvloop"])


class Machine:
    """A machine that can be suspended, or have its clock set."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.slept = 0.0
        self.set_by = 0.0
        wall, boot = time.time, time.clock_gettime
        patch.setattr(time, "time", lambda: wall() + self.slept + self.set_by)
        patch.setattr(time, "clock_gettime", lambda number: boot(number) + self.slept)

    def run(self, fast: ModuleType | None, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        with asyncio.Runner(loop_factory=suspend_aware(fast)) as runner:
            runner.run(main())


class Daemon:
    """A daemon in this process, on the clocks of the machine."""

    def __init__(self, port: int, log: io.StringIO) -> None:
        self.port = port
        self._log = log

    @property
    def log(self) -> str:
        return self._log.getvalue()

    async def until(self, holds: Callable[[ParsedExposition], bool]) -> ParsedExposition:
        async with asyncio.timeout(60):  # seconds of this machine, or less after a suspension
            while True:
                seen = ParsedExposition((await ask(self.port, "/metrics")).text)
                if holds(seen):
                    return seen
                await asyncio.sleep(0.1)


async def told(path: Path, story: Callable[[Daemon], Coroutine[Any, Any, None]]) -> str:
    """Run a daemon for a story; return its log."""
    log = io.StringIO()
    bound: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(
            serve(
                plan_of(path),
                Options(listen=("127.0.0.1:0",)),
                load=lambda: load_plan(str(path), environ=os.environ),
                stream=log,
                announce=bound.set_result,
            )
        )
        (address,) = await bound
        await story(Daemon(address.port, log))
        running.cancel()
    return log.getvalue()


@loops
def test_after_a_suspension_ages_are_true_and_polls_come_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: ModuleType | None
) -> None:
    machine = Machine(monkeypatch)

    async def main() -> None:
        meter = MeteredVendor(usage=rows(row(start=None, end=None)))

        async def story(daemon: Daemon) -> None:
            before = (await daemon.until(lambda seen: seen.get("usage_up") == 1)).get(SUCCESS)
            meter.answers["usage"] = json_response({"detail": "down"}, status=500)
            machine.slept = HOURS
            after = await daemon.until(lambda seen: seen.get("usage_up") == 0)
            assert len(meter.asked) >= 2
            assert after.get("usage_bytes") is None  # they are eight hours old, and stale
            assert after.get(SUCCESS) == before
            assert before is not None
            assert time.time() - before >= HOURS

        async with meter.vendor:
            log = await told(write_config(tmp_path, target(meter)), story)
        assert log.count("the process was suspended") == 1
        assert "the clock of this machine was set" not in log

    machine.run(fast, main)


@pytest.mark.slow
@loops
def test_a_wait_that_ran_down_in_a_suspension_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: ModuleType | None
) -> None:
    machine = Machine(monkeypatch)

    async def main() -> None:
        refusal = json_response({"detail": "slow"}, status=429, headers={"Retry-After": "7200"})
        meter = MeteredVendor(usage=refusal)

        async def story(daemon: Daemon) -> None:
            await daemon.until(lambda seen: bool(seen.all("usage_up")))
            meter.answers["usage"] = rows(row(start=None, end=None))
            machine.slept = 3600.0
            await asyncio.sleep(6)
            assert len(meter.asked) == 1  # an hour of two: the vendor's wait is not over
            machine.slept = HOURS
            await daemon.until(lambda seen: seen.get("usage_up") == 1)

        async with meter.vendor:
            await told(write_config(tmp_path, target(meter)), story)

    machine.run(fast, main)


@pytest.mark.parametrize("years", [56.0, pytest.param(-56.0, marks=pytest.mark.slow)])
def test_a_clock_that_is_set_by_years_is_no_suspension(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, years: float
) -> None:
    """Before 1970 and after 2038 included: ages and waits stay what they are."""
    machine = Machine(monkeypatch)
    by = years * 366 * 86_400

    async def main() -> None:
        meter = MeteredVendor(usage=rows(row(start=None, end=None)))

        async def story(daemon: Daemon) -> None:
            before = (await daemon.until(lambda seen: seen.get("usage_up") == 1)).get(SUCCESS)
            assert before is not None
            machine.set_by = by
            seen = await daemon.until(lambda seen: abs((seen.get(SUCCESS) or 0) - before) > 3600)
            assert seen.get(SUCCESS) == pytest.approx(before + by, abs=5)
            assert seen.get("usage_bytes") == 250
            assert len(meter.asked) == 1

        async with meter.vendor:
            log = await told(write_config(tmp_path, target(meter)), story)
        assert log.count("the clock of this machine was set") == 1
        assert "suspended" not in log
        assert "Traceback" not in log

    machine.run(None, main)


@adjustable_clock
async def test_polls_that_came_due_in_a_suspension_are_spread() -> None:
    events = Events()
    starts: list[float] = []
    loop = asyncio.get_running_loop()

    async def poll(job: Job) -> Poll:
        starts.append(loop.time())
        return a_poll(job, Unchanged())

    runner = Runner(poll=poll, emit=events, wall=loop.time, random=lambda: 0.0)
    runner.swap([a_job(f"t{n}", budget=f"host#{n}") for n in range(400)])

    async def go(seconds: float, step: float) -> None:
        for _ in range(round(seconds / step)):
            advance(step)
            for _ in range(30):
                await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        running = group.create_task(runner.run())
        await go(250, 1.0)
        starts.clear()
        advance(HOURS)
        resumed = loop.time()
        await go(60, 0.5)
        running.cancel()
    assert len(starts) == 400
    within = [sum(second <= at - resumed < second + 1 for at in starts) for second in range(60)]
    assert max(within) < 100  # 20 a second on the average
    assert sum(within[:32]) == 400
    (event,) = events.of(ProcessResumed)
    assert event.seconds == pytest.approx(HOURS, abs=40)


@adjustable_clock
async def test_a_poll_whose_time_ran_down_in_a_suspension_is_no_failure_of_ours() -> None:
    events = Events()
    loop = asyncio.get_running_loop()
    started: list[float] = []

    async def poll(job: Job) -> Poll:
        started.append(loop.time())
        if len(started) == 1:
            await asyncio.sleep(10 * HOURS)
        return a_poll(job, Unchanged())

    runner = Runner(poll=poll, emit=events, wall=loop.time, random=lambda: 0.0)
    runner.swap([a_job()])
    async with asyncio.TaskGroup() as group:
        running = group.create_task(runner.run())
        while not started:
            advance(0.5)
            await asyncio.sleep(0.001)
        advance(HOURS)
        for _ in range(200):
            advance(0.5)
            await asyncio.sleep(0.001)
            if len(started) > 1:
                break
        running.cancel()
    assert len(started) == 2
    assert not [event for event in events if "Crashed" in type(event).__name__]
