"""How often a target is polled, and what a user sees of it."""

import asyncio
import itertools
from pathlib import Path

import pytest

from exporter.demo.server import Close, Pause, json_response
from exporter.fetch.http import HttpRequest, HttpResponse
from tests.support.adjustable_clock import adjustable_clock, advance
from tests.support.daemon import exporting
from tests.support.engine_harness import plan_of, running
from tests.support.metered_vendor import DEFINITION, MeteredVendor, row, rows, target, write_config
from tests.support.parsed_exposition import ParsedExposition
from tests.support.schedule import DAY, EPOCH
from tests.support.simulation import Clock, Process, plan_from, reply, simulated
from tests.support.vendor import NOW

INTERVAL = "usage_exporter_poll_interval_seconds"
LATE = "usage_exporter_poll_lateness_seconds"
NEXT = "usage_next_poll_timestamp_seconds"
HOUR = 3600.0


def polled(times: int, seen: ParsedExposition) -> bool:
    return (seen.get("usage_exporter_polls_total", account="home") or 0) >= times


@adjustable_clock
async def test_an_adaptive_target_comes_faster_near_its_limit_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        path = write_config(tmp_path, target(meter, adaptive=True), target(meter, "work"))
        async with exporting(path, monkeypatch) as exporter:
            calm = await exporter.first("home", "work")
            meter.answers["usage"] = rows(row(used=950))
            near = await exporter.until(lambda seen: polled(2, seen), step=5)
            soon = near.get(NEXT, account="home") or 0
            began = len(meter.asked)
            await exporter.until(lambda seen: polled(6, seen), step=5)
            meter.answers["usage"] = rows(row(used=10))
            over = await exporter.until(lambda seen: seen.get(INTERVAL, account="home") == 300)
    assert calm.get(INTERVAL, account="home") == 300
    assert near.get(INTERVAL, account="home") == 75
    assert near.get(INTERVAL, account="work") == 300
    assert soon - NOW < 300 + 75 + 60
    assert len(meter.asked) - began <= 4 + 3  # of "home" four, the others of "work"
    assert over.get("usage_ratio", account="home") == 0.01


@adjustable_clock
async def test_what_is_left_of_a_limit_makes_an_adaptive_target_come_faster(tmp_path: Path) -> None:
    answer = {"rows": [{"name": "traffic", "left": 50, "limit": 1000}]}
    meter = MeteredVendor(usage=json_response(answer))
    async with meter.vendor:
        path = write_config(tmp_path, target(meter, adaptive=True))
        left = DEFINITION.replace("used: line.used", "remaining: line.left")
        (tmp_path / "meter.yaml").write_text(left)
        async with running(plan_of(path)) as harness:
            await harness.first()
            (status,) = harness.engine.runner.statuses()
    assert status.interval == 75


@adjustable_clock
async def test_what_the_schedule_owes_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = [f"meter-token-{n}" for n in range(18)]  # of which one host may have 16 polls
    meter = MeteredVendor(usage=(Pause(3600.0), Close()))
    meter.accepted.update(tokens)
    async with meter.vendor:
        targets = [
            target(meter, f"t{n}", credentials={"token": token}) for n, token in enumerate(tokens)
        ]
        async with exporting(write_config(tmp_path, *targets), monkeypatch) as exporter:
            none = await exporter.scrape()
            while len(meter.asked) < 16:
                advance(0.1)
                await asyncio.sleep(0.002)
            advance(5)
            seen = await exporter.until(lambda seen: (seen.get(LATE) or 0) > 4, step=0.1)
    assert (none.get(LATE) or 0) < 1
    assert (seen.get(LATE) or 0) < 30


@adjustable_clock
async def test_a_wait_that_is_cut_is_logged_and_asked_again_after_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor(usage=json_response({}, status=429, headers={"Retry-After": "864000"}))
    path = write_config
    async with meter.vendor, exporting(path(tmp_path, target(meter)), monkeypatch) as exporter:
        await exporter.first("home")
        advance(DAY - 300)
        await asyncio.sleep(0.05)
        assert len(meter.asked) == 1
        advance(600)
        await exporter.until(lambda seen: polled(2, seen))
        log = exporter.log
    cut = 'msg="the vendor asked for a longer wait than max_wait" provider=meter account=home'
    assert log.count(f"{cut} asked=10d applied=1d") == 2


def at_noon(definition: str, folder: Path, **more: object) -> object:
    (folder / "meter.yaml").write_text(definition)
    one = {
        "name": "home",
        "provider": "meter",
        "base_url": "https://meter.example",
        "credentials": {"token": "one"},
        **more,
    }
    return {"providers": {"files": ["meter.yaml"]}, "targets": [one]}


def test_polls_come_shortly_after_the_vendors_data(tmp_path: Path) -> None:
    definition = DEFINITION.replace("interval: 5m\n", "interval: 6h\ndata_cadence: 6h\n", 1)
    asked: list[float] = []

    async def vendor(wire: HttpRequest) -> HttpResponse:
        asked.append(clock())
        return reply(wire, {"rows": [{"name": "traffic", "used": 1}]})

    clock = Clock()

    async def story() -> None:
        plan = plan_from(tmp_path, at_noon(definition, tmp_path))  # type: ignore[arg-type]
        process = Process(plan, vendor, wall=clock, emit=lambda event: None)
        await process.start()
        await asyncio.sleep(3 * DAY)
        await process.stop()

    simulated(story())
    assert 0 <= asked[0] - EPOCH < 30  # the first comes at once
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert 6 * HOUR <= gaps[0] < 12 * HOUR
    assert set(map(round, gaps[1:])) == {6 * HOUR}
    assert all(at % (6 * HOUR) < 300 for at in asked[1:])


def test_a_used_up_quota_waits_for_the_period_and_says_why(tmp_path: Path) -> None:
    definition = DEFINITION.replace("error: [detail]", "error: [detail], quota_exhausted: [402]")
    end = EPOCH + 10 * HOUR
    asked: list[float] = []

    async def vendor(wire: HttpRequest) -> HttpResponse:
        asked.append(clock())
        if len(asked) > 1 and clock() < end:
            return reply(wire, {"detail": "upgrade"}, status=402)
        row = {
            "name": "traffic",
            "used": 1,
            "start": EPOCH - DAY,
            "end": end + DAY * (clock() >= end),
        }
        return reply(wire, {"rows": [row]})

    clock = Clock()

    async def story() -> None:
        plan = plan_from(tmp_path, at_noon(definition, tmp_path))  # type: ignore[arg-type]
        process = Process(plan, vendor, wall=clock, emit=lambda event: None)
        await process.start()
        await asyncio.sleep(2 * HOUR)
        (status,) = process.engine.runner.statuses()
        assert status.cause == "quota exhausted"
        assert status.next_poll == pytest.approx(end, abs=60)
        assert process.scrape().get("usage_up") == 0
        await asyncio.sleep(9 * HOUR)
        assert process.scrape().get("usage_up") == 1
        await process.stop()

    simulated(story())
    assert sum(at < end for at in asked) == 2
    assert 0 <= asked[2] - end < 60


NEAR, CALM = 75, 300  # seconds: a quarter of the interval of five minutes, and all of it


@pytest.mark.parametrize(
    ("limits", "used", "cost", "interval"),
    [
        ({"traffic": "1 kB"}, 950, 0, NEAR),
        ({"traffic": "1000"}, 950, 0, NEAR),
        ({"traffic": "1000 s"}, 950, 0, CALM),  # a limit in another unit is none
        ({}, 950, 0, CALM),
        ({}, 0, 4.75, CALM),  # money without a budget
        ({"spend": "5 USD"}, 0, 4.75, NEAR),
        ({"spend": "5 EUR"}, 0, 4.75, CALM),
        ({"spend": "5 USD"}, 0, 4.125, 120),  # half of the way from 0.75 to 0.9
        ({"spend": "50 USD"}, 0, 4.75, CALM),
        ({"spend": "5 USD", "traffic": "1 kB"}, 950, 1, NEAR),  # the fullest counts
    ],
    ids=str,
)
@adjustable_clock
async def test_an_adaptive_target_knows_the_limits_of_the_config(
    limits: dict[str, object], used: float, cost: float, interval: float, tmp_path: Path
) -> None:
    costs = "costs:\n  - {cost: cost, currency: USD}\n"
    answer = {"rows": [{"name": "traffic", "used": used}], "cost": cost}
    meter = MeteredVendor(usage=json_response(answer))
    async with meter.vendor:
        path = write_config(tmp_path, target(meter, adaptive=True, limits=limits))
        (tmp_path / "meter.yaml").write_text(DEFINITION + costs)
        async with running(plan_of(path)) as harness:
            await harness.first()
            (status,) = harness.engine.runner.statuses()
    assert status.interval == pytest.approx(interval)
