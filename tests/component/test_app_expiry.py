"""Values that go are told of, once, whatever it was that showed it."""

import asyncio
from pathlib import Path

import pytest

from exporter.fetch.http import HttpRequest, HttpResponse
from exporter.model.events import Event, ValuesExpired
from exporter.model.target import Plan
from tests.support.metered_vendor import DEFINITION
from tests.support.schedule import EPOCH
from tests.support.simulation import Clock, Process, plan_from, reply, simulated


class World:
    """A vendor that answers until it is down; its period ends at `end`."""

    def __init__(self, folder: Path, end: float = EPOCH + 1e6) -> None:
        (folder / "meter.yaml").write_text(DEFINITION)
        self.folder = folder
        self.down = False
        self.end = end
        self.events: list[Event] = []

    async def __call__(self, wire: HttpRequest) -> HttpResponse:
        if self.down:
            return reply(wire, {}, status=500)
        row = {"name": "traffic", "used": 1, "start": EPOCH - 1e6, "end": self.end}
        return reply(wire, {"rows": [row]})

    def plan(self, **more: object) -> Plan:
        target = {
            "name": "home",
            "provider": "meter",
            "base_url": "https://meter.example",
            "credentials": {"token": "one"},
            **more,
        }
        return plan_from(self.folder, {"providers": {"files": ["meter.yaml"]}, "targets": [target]})

    def causes(self) -> list[str]:
        return [event.cause for event in self.events if isinstance(event, ValuesExpired)]

    async def begin(self, **more: object) -> Process:
        process = Process(self.plan(**more), self, wall=Clock(), emit=self.events.append)
        await process.start()
        return process


@pytest.mark.parametrize("stale_after", ["20m", "1205s", "1210s", "1h"])
def test_stale_values_are_told_of_once(tmp_path: Path, stale_after: str) -> None:
    async def story() -> None:
        world = World(tmp_path)
        process = await world.begin(stale_after=stale_after, poll_interval="10m")
        await asyncio.sleep(100)
        world.down = True
        await asyncio.sleep(8000)
        assert process.scrape().get("usage_bytes") is None
        assert world.causes() == ["stale"]
        await process.stop()

    simulated(story())


@pytest.mark.parametrize("left", [299.0, 300.0, 301.0, 700.0])
def test_a_period_that_is_over_is_told_of_once(tmp_path: Path, left: float) -> None:
    async def story() -> None:
        world = World(tmp_path, end=EPOCH + left)
        process = await world.begin(poll_interval="5m")
        await asyncio.sleep(100)
        world.down = True
        await asyncio.sleep(2000)
        assert process.scrape().get("usage_bytes") is None
        assert world.causes() == ["period_over"]
        await process.stop()

    simulated(story())


def test_a_failed_poll_that_finds_values_stale_tells_of_it(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        process = await world.begin(stale_after="20m", poll_interval="5m")
        await asyncio.sleep(100)
        publisher = process.engine.publisher
        assert publisher._timer is not None
        publisher._timer.cancel()  # as if the loop were late
        world.down = True
        await asyncio.sleep(4000)
        assert world.causes() == ["stale"]
        await process.stop()

    simulated(story())


def test_a_collector_that_is_switched_off_is_no_loss(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        process = await world.begin(collectors={"seats": True})
        await asyncio.sleep(100)
        process.engine.apply(world.plan())
        await asyncio.sleep(100)
        assert world.causes() == []
        await process.stop()

    simulated(story())


def test_values_that_come_back_may_go_again(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        process = await world.begin()
        for _ in range(3):
            world.down = False
            await asyncio.sleep(2000)
            assert process.scrape().get("usage_bytes") == 1
            world.down = True
            await asyncio.sleep(6000)
            assert process.scrape().get("usage_bytes") is None
        assert world.causes() == ["stale"] * 3
        await process.stop()

    simulated(story())
