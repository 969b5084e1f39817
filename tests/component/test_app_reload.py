"""A new plan while the engine runs: what stays, what goes, what begins anew."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporter.demo.server import Close, Pause, json_response
from exporter.model.target import Plan
from tests.support.adjustable_clock import adjustable_clock, advance
from tests.support.engine_harness import plan_of, running
from tests.support.metered_vendor import MeteredVendor, row, rows, target, write_config

NEXT = "usage_next_poll_timestamp_seconds"


def plan(folder: Path, *targets: Mapping[str, Any]) -> Plan:
    return plan_of(write_config(folder, *targets))


@adjustable_clock
async def test_a_target_that_is_removed_is_gone_at_the_next_scrape(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        home, work = target(meter, "home"), target(meter, "work")
        async with running(plan(tmp_path, home, work)) as harness:
            await harness.first()
            change = harness.engine.apply(plan(tmp_path, home))
            seen = harness.scrape()
            count = len(meter.asked)
            await harness.go(200)
    assert change.removed == ("work",)
    assert {one.labels["account"] for one in seen.series} == {"home"}
    assert len(meter.asked) == count


@adjustable_clock
async def test_unchanged_targets_keep_their_timers_and_series(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        home = target(meter, "home")
        async with running(plan(tmp_path, home)) as harness:
            before = await harness.first()
            count = len(meter.asked)
            harness.engine.apply(plan(tmp_path, home, target(meter, "work")))
            seen = harness.scrape()
            assert seen.get("usage_bytes", account="home") == 250
            assert seen.get(NEXT, account="home") == before.get(NEXT, account="home")
            after = await harness.go(20, step=1)
    assert len(meter.asked) == count + 1
    assert after.get("usage_bytes", account="work") == 250


@adjustable_clock
async def test_a_reload_without_a_change_changes_nothing(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        home = target(meter)
        async with running(plan(tmp_path, home)) as harness:
            before = await harness.first()
            change = harness.engine.apply(plan(tmp_path, home))
            assert harness.scrape().text == before.text
    assert (change.added, change.removed, change.changed) == ((), (), ())


@adjustable_clock
async def test_another_account_begins_without_the_old_ones_values(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        there, here = (target(meter, params={"site": site}) for site in "ab")
        async with running(plan(tmp_path, there)) as harness:
            await harness.first()
            meter.answers["usage"] = rows(row(used=7))
            change = harness.engine.apply(plan(tmp_path, here))
            assert harness.scrape().get("usage_bytes") is None
            seen = await harness.go(30)
    assert change.changed == ("home",)
    assert seen.get("usage_bytes") == 7
    assert meter.asked[-1].argument("site") == "b"


@adjustable_clock
async def test_a_poll_under_way_does_not_bring_back_a_removed_target(tmp_path: Path) -> None:
    slow, quick = MeteredVendor(usage=(Pause(20.0), Close())), MeteredVendor()
    async with slow.vendor, quick.vendor:
        home, work = target(quick, "home"), target(slow, "work")
        async with running(plan(tmp_path, home, work)) as harness:
            while not slow.asked:
                advance(0.1)
                await harness.turn()
            harness.engine.apply(plan(tmp_path, home))
            seen = await harness.go(600)
    assert {one.labels["account"] for one in seen.series} == {"home"}
    assert len(slow.asked) == 1


@adjustable_clock
async def test_a_target_that_leaves_and_comes_again_is_not_asked_sooner(tmp_path: Path) -> None:
    refusal = json_response({}, status=429, headers={"Retry-After": "600"})
    meter, other = MeteredVendor(usage=refusal), MeteredVendor()
    async with meter.vendor, other.vendor:
        home, work = target(other, "home"), target(meter, "work")
        async with running(plan(tmp_path, home, work)) as harness:
            await harness.first()
            harness.engine.apply(plan(tmp_path, home))
            await harness.go(60)
            harness.engine.apply(plan(tmp_path, home, work))
            await harness.go(450)
            assert len(meter.asked) == 1
            await harness.go(200)
    assert len(meter.asked) == 2


@adjustable_clock
async def test_another_interval_counts_from_the_last_poll(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with meter.vendor, running(plan(tmp_path, target(meter))) as harness:
        await harness.first()
        harness.engine.apply(plan(tmp_path, target(meter, poll_interval="20m")))
        seen = harness.scrape()
        await harness.go(1100)
        assert len(meter.asked) == 1
        await harness.go(200)
    assert seen.get("usage_bytes") == 250
    assert len(meter.asked) == 2


@adjustable_clock
async def test_a_limit_from_the_config_is_in_force_at_once(tmp_path: Path) -> None:
    meter = MeteredVendor(usage=rows(row(limit=None)))
    async with meter.vendor, running(plan(tmp_path, target(meter))) as harness:
        seen = await harness.first()
        assert seen.get("usage_limit_bytes") is None
        harness.engine.apply(plan(tmp_path, target(meter, limits={"traffic": "500 B"})))
        seen = harness.scrape()
        assert len(meter.asked) == 1
    assert seen.get("usage_bytes") == 250
    assert seen.get("usage_limit_bytes") == 500
