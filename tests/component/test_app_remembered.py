"""What the state file holds of budgets and of those who left: over crashes, and for how long."""

import asyncio
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from exporter.app.engine import PRUNED_EVERY
from exporter.fetch.http import HttpRequest, HttpResponse
from exporter.model.target import Plan
from exporter.store.file_ledger import GATHER
from tests.support.metered_vendor import DEFINITION
from tests.support.schedule import DAY
from tests.support.simulation import Clock, Process, plan_from, reply, simulated

LATENCY = 0.4
GOOD = {"rows": [{"name": "traffic", "used": 250}]}
REFUSAL: dict[str, Any] = {"detail": "who are you?"}


class World:
    """Targets of one key, and a vendor that notes who asks and when."""

    def __init__(self, folder: Path, definition: str = DEFINITION) -> None:
        (folder / "meter.yaml").write_text(definition)
        self.folder = folder
        self.clock = Clock()
        self.asked: list[float] = []
        self.bell = asyncio.Event()
        self.status = 200
        self.headers: dict[str, str] = {}

    async def vendor(self, wire: HttpRequest) -> HttpResponse:
        self.asked.append(asyncio.get_running_loop().time())
        self.bell.set()
        await asyncio.sleep(LATENCY)
        document = GOOD if self.status == 200 else REFUSAL
        return reply(wire, document, status=self.status, **self.headers)

    def plan(self, names: Iterable[str], key: str = "one") -> Plan:
        targets = [
            {
                "name": name,
                "provider": "meter",
                "base_url": "https://meter.example",
                "credentials": {"token": key},
            }
            for name in names
        ]
        state = {"file": "state.db"}
        providers = {"files": ["meter.yaml"]}
        return plan_from(self.folder, {"state": state, "providers": providers, "targets": targets})

    async def begin(self, *names: str) -> Process:
        process = Process(self.plan(names), self.vendor, wall=self.clock, emit=lambda event: None)
        await process.start()
        return process

    async def dies_of_its_polls(self, seconds: float, *names: str) -> None:
        """Start the process, and kill it in the midst of its next poll; again and again."""
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            process = await self.begin(*names)
            self.bell.clear()
            try:
                async with asyncio.timeout_at(end):
                    await self.bell.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(LATENCY / 2)
            await process.kill()

    def rows(self) -> list[str]:
        """Return the keys of the schedule in the file."""
        connection = sqlite3.connect(self.folder / "state.db")
        found = connection.execute("SELECT key FROM schedule ORDER BY key").fetchall()
        connection.close()
        return [key for (key,) in found]


def test_a_dead_key_is_tried_a_few_times_a_day_by_a_process_that_dies_of_its_polls(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        world = World(tmp_path)
        world.status = 401
        names = [f"t{number}" for number in range(5)]
        process = await world.begin(*names)
        await asyncio.sleep(600)
        await process.kill()
        known = len(world.asked)
        await world.dies_of_its_polls(2 * DAY, *names)
        first = [at for at in world.asked[known:] if at < DAY]
        assert len(first) <= 5
        assert 1 <= len(world.asked) - known - len(first) <= 5

    simulated(story())


def test_a_declared_rate_is_kept_by_a_process_that_dies_of_its_polls(tmp_path: Path) -> None:
    async def story() -> None:
        rated = DEFINITION.replace(
            "auth:", "throttling: {rate: 6/1m, burst: 2, reserve: 0%}\nauth:"
        )
        world = World(tmp_path, rated)
        await world.dies_of_its_polls(240, *(f"t{number}" for number in range(30)))
        for begin in world.asked:
            assert sum(begin <= at < begin + 60 for at in world.asked) <= 6 + 2
        assert len(world.asked) > 10

    simulated(story())


def test_a_wait_holds_all_targets_of_a_key_over_restarts(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        world.status, world.headers = 429, {"Retry_After": "3600"}
        process = await world.begin("one", "two", "three")
        await asyncio.sleep(60)
        (refused,) = world.asked
        for _ in range(5):
            await process.kill()
            await asyncio.sleep(30)
            process = await world.begin("one", "two", "three", "new")
            await asyncio.sleep(300)
        world.status = 200
        await asyncio.sleep(3600)
        await process.stop()
        assert world.asked[1] - refused >= 3600

    simulated(story())


def test_a_wait_that_was_told_a_moment_before_a_kill_is_known(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        world.status, world.headers = 429, {"Retry_After": "3600"}
        process = await world.begin("one", "two")
        await world.bell.wait()
        await asyncio.sleep(LATENCY + 2 * GATHER)
        await process.kill()
        again = await world.begin("one", "two")
        await asyncio.sleep(3500)
        await again.stop()
        assert len(world.asked) == 1

    simulated(story())


def test_targets_that_left_are_forgotten_when_nothing_holds_them_back(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        process = await world.begin("one", "two")
        await asyncio.sleep(100)
        world.status, world.headers = 429, {"Retry_After": "7200"}
        await asyncio.sleep(500)
        process.engine.apply(world.plan(["one"], key="two"))
        await asyncio.sleep(PRUNED_EVERY)
        assert "job/usage/two" in world.rows()  # who comes again has not won a poll
        assert "account/two" in world.rows()
        await asyncio.sleep(3 * PRUNED_EVERY + 7200)
        about_two = [key for key in world.rows() if key.endswith("/two")]
        assert about_two == []
        assert sum(key.startswith("budget/") for key in world.rows()) == 1
        await process.stop()

    simulated(story())


@pytest.mark.slow
def test_the_state_does_not_grow_with_targets_that_come_and_go(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        process = await world.begin("t0")
        for number in range(1, 200):
            await asyncio.sleep(900)
            process.engine.apply(world.plan([f"t{number}"], key=f"key-{number}"))
        await asyncio.sleep(2 * PRUNED_EVERY)
        assert world.rows() == ["account/t199", "job/usage/t199"]
        await process.stop()

    simulated(story())
