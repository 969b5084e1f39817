"""An engine that polls fake vendors over real sockets, with a clock that the test controls."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from exporter.app.engine import Engine, World
from exporter.config.credentials import SecretReader
from exporter.config.plan import load_plan
from exporter.model.events import Event
from exporter.model.outcome import Reason
from exporter.model.target import Plan, Rejected
from tests.support.adjustable_clock import advance
from tests.support.metered_vendor import MeteredVendor, target, write_config
from tests.support.parsed_exposition import ParsedExposition
from tests.support.vendor import NOW


def plan_of(path: Path) -> Plan:
    """Load a configuration that has to be good."""
    plan = load_plan(str(path), environ=os.environ, secrets_required=False)
    assert not isinstance(plan, Rejected), [str(problem) for problem in plan.problems]
    return plan


class EngineHarness:
    """A running engine, what it told, and its clock; the wall clock begins at `NOW`."""

    def __init__(
        self, plan: Plan, *, start: float, also: Callable[[Event], None] | None = None
    ) -> None:
        self.events: list[Event] = []
        self.skew = 0.0
        self._also = also
        self._start = start
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self.engine = Engine(
            plan,
            World(
                wall=self.wall,
                clock=self._clock,
                random=lambda: 0.0,
                read_secret=SecretReader(os.environ).read,
                emit=self._emit,
            ),
        )

    def wall(self) -> float:
        """Return the time of day of the test, epoch seconds."""
        return self._start + self._clock() - self._began + self.skew

    def scrape(self) -> ParsedExposition:
        """Return what is published now."""
        return ParsedExposition(self.engine.exposition.body().decode())

    def reasons(self) -> dict[str, Reason | None]:
        """Return why the last poll of each target failed, None where it did not."""
        return {status.target: status.reason for status in self.engine.runner.statuses()}

    async def quiet(self) -> None:
        """Return when no poll is running and none is due."""
        runner = self.engine.runner
        for _ in range(20):
            await asyncio.sleep(0)
        while any(status.running for status in runner.statuses()) or runner.lateness() > 0:
            await self.turn()

    async def turn(self, seconds: float = 0.001) -> None:
        """Let the loop turn for some real milliseconds."""
        await asyncio.sleep(seconds)

    async def until(self, name: str, **labels: str) -> float:
        """Return the value of a series as soon as it is there; the clock is left alone."""
        while (value := self.scrape().get(name, **labels)) is None:
            await self.turn()
        return value

    async def first(self) -> ParsedExposition:
        """Return what is published when every collector had its first poll."""
        await self.go(30.0, step=1.0)
        assert self.engine.runner.attempted()
        return self.scrape()

    async def go(self, seconds: float, *, step: float = 15.0) -> ParsedExposition:
        """Let time pass, step by step, and return what is published then."""
        left = seconds
        while left > 0:
            advance(min(step, left))
            left -= step
            await self.quiet()
        return self.scrape()

    def told(self, kind: type[Event]) -> list[Event]:
        """Return the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def _emit(self, event: Event) -> None:
        self.events.append(event)
        if self._also is not None:
            self._also(event)


@contextlib.asynccontextmanager
async def running(
    plan: Plan, *, start: float = NOW, also: Callable[[Event], None] | None = None
) -> AsyncIterator[EngineHarness]:
    """Start an engine on `plan`, and stop it in order."""
    harness = EngineHarness(plan, start=start, also=also)
    await harness.engine.start()
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(harness.engine.run())
            try:
                yield harness
            finally:
                task.cancel()
    finally:
        await harness.engine.stop()


@contextlib.asynccontextmanager
async def one_target(
    meter: MeteredVendor, folder: Path, also: Callable[[Event], None] | None = None, **more: Any
) -> AsyncIterator[EngineHarness]:
    """Poll one target of a vendor; `also` is told every event."""
    async with meter.vendor:
        plan = plan_of(write_config(folder, target(meter, **more)))
        async with running(plan, also=also) as harness:
            yield harness
