"""The machine's clock is set, forward and back: what is shown and written is in its time."""

import asyncio
from pathlib import Path

import pytest

from exporter.fetch.http import HttpRequest, HttpResponse
from exporter.model.events import ClockMoved, Event, ValuesExpired
from exporter.model.target import Plan
from tests.support.metered_vendor import DEFINITION
from tests.support.simulation import Clock, Process, plan_from, reply, simulated

SUCCESS, NEXT = "usage_last_success_timestamp_seconds", "usage_next_poll_timestamp_seconds"
jumps = pytest.mark.parametrize("by", [3600.0, -3600.0])


class World:
    """One target of a vendor whose next answers are `status` with `headers`."""

    def __init__(self, folder: Path) -> None:
        (folder / "meter.yaml").write_text(DEFINITION)
        self.folder = folder
        self.clock = Clock()
        self.events: list[Event] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.latency = 0.1
        self.asked: list[float] = []

    async def vendor(self, wire: HttpRequest) -> HttpResponse:
        self.asked.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.latency)
        document = {"rows": [{"name": "traffic", "used": 250}]}
        return reply(wire, document, status=self.status, **self.headers)

    def plan(self) -> Plan:
        target = {
            "name": "home",
            "provider": "meter",
            "base_url": "https://meter.example",
            "credentials": {"token": "one"},
        }
        return plan_from(
            self.folder,
            {
                "state": {"file": "state.db"},
                "providers": {"files": ["meter.yaml"]},
                "targets": [target],
            },
        )

    async def begin(self) -> Process:
        process = Process(self.plan(), self.vendor, wall=self.clock, emit=self.events.append)
        await process.start()
        return process

    def told(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def age(self, process: Process) -> float | None:
        """Return how old the last success is said to be, by the machine's clock."""
        at = process.scrape().get(SUCCESS)
        return None if at is None else self.clock() - at


@jumps
def test_ages_stay_true_when_the_clock_is_set(tmp_path: Path, by: float) -> None:
    async def story() -> None:
        world = World(tmp_path)
        process = await world.begin()
        await asyncio.sleep(30)
        world.status = 500
        await asyncio.sleep(1000)
        before = world.age(process)
        world.clock.offset += by
        process.engine.check_clock()
        await asyncio.sleep(10)
        assert before is not None
        assert world.age(process) == pytest.approx(before + 10, abs=0.01)
        due = process.scrape().get(NEXT)
        assert due is not None
        assert 0 < due - world.clock() <= 900
        await process.stop()

    simulated(story())


@jumps
def test_values_go_when_they_are_old_and_not_when_the_clock_says_so(
    tmp_path: Path, by: float
) -> None:
    async def story() -> None:
        world = World(tmp_path)
        process = await world.begin()
        await asyncio.sleep(30)
        world.status = 500
        await asyncio.sleep(1000)
        world.clock.offset += by
        process.engine.check_clock()
        await asyncio.sleep(2400)
        assert process.scrape().get("usage_bytes") == 250
        assert world.told(ValuesExpired) == []
        await asyncio.sleep(200)
        assert process.scrape().get("usage_bytes") is None
        assert len(world.told(ValuesExpired)) == 1
        await process.stop()

    simulated(story())


@jumps
def test_a_clock_that_was_set_before_a_kill_changes_no_wait(tmp_path: Path, by: float) -> None:
    async def story() -> None:
        world = World(tmp_path)
        world.status, world.headers = 429, {"Retry_After": "7200"}
        process = await world.begin()
        await asyncio.sleep(600)
        world.clock.offset += by
        process.engine.check_clock()
        await asyncio.sleep(2)
        await process.kill()
        again = await world.begin()
        await asyncio.sleep(8000)
        await again.stop()
        first, second = world.asked[:2]
        assert 7200 <= second - first <= 7300

    simulated(story())


@jumps
def test_a_clock_that_was_set_before_a_kill_leaves_the_age_true(tmp_path: Path, by: float) -> None:
    async def story() -> None:
        world = World(tmp_path)
        process = await world.begin()
        await asyncio.sleep(200)
        before = world.age(process)
        world.clock.offset += by
        process.engine.check_clock()
        await asyncio.sleep(2)
        await process.kill()
        again = await world.begin()
        assert before is not None
        assert world.age(again) == pytest.approx(before + 2, abs=0.1)
        assert again.scrape().get("usage_bytes") == 250
        await again.stop()

    simulated(story())


@jumps
def test_a_poll_notices_and_it_is_told_once(tmp_path: Path, by: float) -> None:
    async def story() -> None:
        world = World(tmp_path)
        process = await world.begin()
        await asyncio.sleep(200)
        world.clock.offset += by
        await asyncio.sleep(1000)
        world.clock.offset += 0.5  # what time servers do all day
        await asyncio.sleep(1000)
        await process.stop()
        assert len(world.asked) == 8
        (told,) = world.told(ClockMoved)
        assert isinstance(told, ClockMoved)
        assert told.by == pytest.approx(by, abs=0.01)

    simulated(story())


@jumps
def test_a_poll_that_the_clock_was_set_in_is_as_old_as_it_is(tmp_path: Path, by: float) -> None:
    async def story() -> None:
        world = World(tmp_path)
        process = await world.begin()
        await asyncio.sleep(200)
        world.latency = 20.0
        while len(world.asked) < 2:  # noqa: ASYNC110 - it is the vendor's list
            await asyncio.sleep(1)
        world.clock.offset += by
        process.engine.check_clock()
        await asyncio.sleep(30)
        age = world.age(process)
        assert age is not None
        assert 30 <= age <= 32
        assert process.scrape().get("usage_bytes") == 250
        await process.stop()

    simulated(story())


def test_a_clock_that_begins_in_1970_makes_nothing_fresh(tmp_path: Path) -> None:
    """A machine without a battery for its clock: restarted in 1970, put right a minute later."""

    async def story() -> None:
        world = World(tmp_path)
        process = await world.begin()
        await asyncio.sleep(200)
        before = world.age(process)
        await process.stop()
        right = world.clock.offset
        world.clock.offset = -asyncio.get_running_loop().time()  # 1 January 1970
        world.status = 500
        again = await world.begin()
        assert before is not None
        assert world.age(again) == pytest.approx(before, abs=1)
        await asyncio.sleep(60)
        world.clock.offset = right
        again.engine.check_clock()
        await asyncio.sleep(10)
        assert world.age(again) == pytest.approx(before + 70, abs=2)
        assert again.scrape().get("usage_bytes") == 250
        await asyncio.sleep(3600)
        assert again.scrape().get("usage_bytes") is None
        await again.stop()

    simulated(story())
