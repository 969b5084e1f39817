"""What is said of a target's polls is what became of them: nothing before, nothing of others."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from exporter.fetch.http import HttpRequest, HttpResponse
from exporter.model.events import Event, TargetBack, TargetDown
from tests.support.metered_vendor import DEFINITION
from tests.support.parsed_exposition import ParsedExposition
from tests.support.simulation import Clock, Process, plan_from, reply, simulated

UP, SUCCESS = "usage_up", "usage_last_success_timestamp_seconds"
SLOW = 20.0


class World:
    """Vendors in memory that answer as `status` says, after `latency` seconds."""

    def __init__(self, folder: Path) -> None:
        (folder / "meter.yaml").write_text(DEFINITION)
        self.folder = folder
        self.clock = Clock()
        self.events: list[Event] = []
        self.status: dict[str, int] = {}
        self.latency = 0.1
        self.headers: dict[str, str] = {}
        self.asked = 0

    async def vendor(self, wire: HttpRequest) -> HttpResponse:
        self.asked += 1
        await asyncio.sleep(self.latency)
        status = self.status.get(wire.headers["Authorization"], 200)
        document = {"rows": [{"name": "traffic", "used": 250}]} if status == 200 else {}
        return reply(wire, document, status=status, **self.headers)

    def target(self, name: str = "home", **more: Any) -> dict[str, Any]:
        usual = {"name": name, "provider": "meter", "base_url": "https://meter.example"}
        return {**usual, "credentials": {"token": "one"}, "poll_timeout": "1m", **more}

    def plan(self, *targets: dict[str, Any]) -> Any:
        document = {
            "state": {"file": "state.db"},
            "providers": {"files": ["meter.yaml"]},
            "targets": list(targets) or [self.target()],
        }
        return plan_from(self.folder, document)

    async def begin(self, *targets: dict[str, Any]) -> Process:
        plan = self.plan(*targets)
        process = Process(plan, self.vendor, wall=self.clock, emit=self.events.append)
        await process.start()
        return process

    def told(self, kind: type[Event]) -> int:
        return sum(isinstance(event, kind) for event in self.events)


def run(story: Coroutine[Any, Any, None]) -> None:
    simulated(story)


def health(seen: ParsedExposition, account: str = "home") -> tuple[float | None, bool]:
    """Return `usage_up`, and whether an age is shown."""
    return seen.get(UP, account=account), seen.get(SUCCESS, account=account) is not None


def test_a_first_poll_that_was_called_off_is_neither_up_nor_down(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        world.latency, world.status = SLOW, {"Bearer one": 429}
        world.headers = {"Retry_After": "600"}
        process = await world.begin(world.target("home"), world.target("work"))
        await asyncio.sleep(60)
        seen = process.scrape()
        waited = sorted(health(seen, name) for name in ("home", "work") if health(seen, name)[0])
        assert waited == []
        assert [health(seen, name) for name in ("home", "work")].count((0, False)) == 1
        assert [health(seen, name) for name in ("home", "work")].count((None, False)) == 1
        await process.stop()

    run(story())


@pytest.mark.parametrize("killed", [False, True])
def test_a_first_poll_that_the_end_cut_off_is_neither_up_nor_down_afterwards(
    tmp_path: Path,
    killed: bool,  # noqa: FBT001 - a column
) -> None:
    async def story() -> None:
        world = World(tmp_path)
        world.latency = SLOW
        process = await world.begin()
        await asyncio.sleep(10)
        await (process.kill() if killed else process.stop())
        again = await world.begin()
        assert health(again.scrape()) == (None, False)
        await again.stop()
        assert world.asked == 1

    run(story())


def test_a_changed_key_keeps_what_is_known_until_the_next_poll(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        process = await world.begin()
        await asyncio.sleep(60)
        assert health(process.scrape()) == (1, True)
        world.status["Bearer one"] = 401
        await asyncio.sleep(400)
        before = process.scrape()
        assert health(before) == (0, True)
        process.engine.apply(world.plan(world.target(credentials={"token": "two"})))
        after = process.scrape()
        assert health(after) == (0, True)
        assert after.get("usage_bytes") == 250
        assert after.get(SUCCESS) == before.get(SUCCESS)
        await asyncio.sleep(60)
        assert health(process.scrape()) == (1, True)
        assert (world.told(TargetDown), world.told(TargetBack)) == (1, 1)
        await process.stop()

    run(story())


def test_a_changed_key_that_is_refused_too_is_no_news(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        world.status = {"Bearer one": 401, "Bearer two": 401}
        process = await world.begin()
        await asyncio.sleep(2 * 3600)
        assert world.asked == 3  # 15 minutes, then an hour
        process.engine.apply(world.plan(world.target(credentials={"token": "two"})))
        await asyncio.sleep(1000)
        assert world.asked == 5  # the pauses begin anew
        assert world.told(TargetDown) == 1
        await process.stop()

    run(story())


def test_another_account_has_no_health_before_its_first_poll(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        process = await world.begin(world.target("home"), world.target("work"))
        await asyncio.sleep(60)
        moved = world.target("home", params={"site": "south"})
        world.latency = SLOW
        process.engine.apply(world.plan(moved, world.target("work")))
        process.engine._show("home")  # as when the key has to wait
        assert health(process.scrape()) == (None, False)
        await process.stop()

    run(story())


def test_another_account_since_the_restart_has_no_health_either(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        process = await world.begin()
        await asyncio.sleep(60)
        await process.stop()
        again = await world.begin(world.target(params={"site": "south"}))
        assert health(again.scrape()) == (None, False)
        await again.stop()

    run(story())


def test_another_account_since_a_reload_before_the_kill_has_no_health_either(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        world = World(tmp_path)
        process = await world.begin(world.target("home", poll_interval="1h"))
        await asyncio.sleep(60)
        moved = world.target("home", params={"site": "south"}, poll_interval="1h")
        world.latency = SLOW
        process.engine.apply(world.plan(moved))
        await asyncio.sleep(0.35)
        await process.kill()
        again = await world.begin(moved)
        assert health(again.scrape()) == (None, False)
        await again.stop()

    run(story())


def test_an_account_that_was_given_up_for_a_moment_begins_anew_after_a_restart(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        world = World(tmp_path)
        north, south = (world.target(params={"site": site}) for site in ("north", "south"))
        process = await world.begin(north)
        await asyncio.sleep(60)
        process.engine.apply(world.plan(south))
        process.engine.apply(world.plan(north))
        await process.stop()
        again = await world.begin(north)
        assert again.scrape().get("usage_bytes") is None  # as without a restart
        await again.stop()

    run(story())


def test_a_target_that_left_before_a_restart_has_no_health_when_it_comes_again(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        world = World(tmp_path)
        both = (world.target("home", poll_interval="1h"), world.target("work", poll_interval="1h"))
        process = await world.begin(*both)
        await asyncio.sleep(60)
        process.engine.apply(world.plan(both[1]))
        await asyncio.sleep(0.35)
        await process.kill()
        asked = world.asked
        again = await world.begin(*both)
        assert health(again.scrape()) == (None, False)
        await asyncio.sleep(3400)
        assert world.asked == asked  # and has not won a poll by it
        await again.stop()

    run(story())


def test_a_target_that_left_and_comes_again_has_no_health_before_its_poll(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        process = await world.begin(world.target("home"), world.target("work"))
        await asyncio.sleep(60)
        process.engine.apply(world.plan(world.target("work")))
        assert process.scrape().names(account="home") == set()
        process.engine.apply(world.plan(world.target("home"), world.target("work")))
        process.engine._show("home")
        assert health(process.scrape()) == (None, False)
        await asyncio.sleep(300)
        assert health(process.scrape()) == (1, True)
        await process.stop()

    run(story())
