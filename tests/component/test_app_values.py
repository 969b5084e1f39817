"""When values go, change and stay: stale, over, partial, confirmed."""

from pathlib import Path

import pytest

from exporter.demo.server import Close, Pause, VendorRequest, VendorResponse, json_response
from exporter.model.events import SchemaNote, ValuesExpired
from tests.support.adjustable_clock import adjustable_clock
from tests.support.engine_harness import one_target, plan_of, running
from tests.support.metered_vendor import (
    MONTH_END,
    MONTH_START,
    MeteredVendor,
    row,
    rows,
    target,
    write_config,
)
from tests.support.vendor import NOW

DOWN = json_response({"detail": "maintenance"}, status=503)
HANGS = (Pause(3600.0), Close())


def seats(asked: VendorRequest) -> VendorResponse:
    """Answer with a version, and 304 to who has it."""
    version = (("ETag", '"v1"'),)
    if asked.headers.get("if-none-match") == '"v1"':
        return VendorResponse(status=304, headers=version)
    return VendorResponse(headers=version, body=b'{"used": 3, "limit": 5}')


@adjustable_clock
async def test_values_go_when_they_are_stale_and_health_stays(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with one_target(meter, tmp_path) as harness:
        await harness.first()
        meter.answers["usage"] = DOWN
        kept = await harness.go(3500)
        gone = await harness.go(200)
    assert kept.get("usage_bytes", account="home") == 250
    assert "usage_bytes" not in gone.names()
    assert gone.names(account="home") == {
        "usage_up",
        "usage_last_success_timestamp_seconds",
        "usage_next_poll_timestamp_seconds",
    }
    assert harness.told(ValuesExpired) == [
        ValuesExpired(provider="meter", target="home", collector="usage", cause="stale")
    ]


@adjustable_clock
async def test_only_the_stale_collector_is_told_of(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with one_target(meter, tmp_path, collectors={"seats": True}) as harness:
        await harness.first()
        meter.answers["usage"] = DOWN
        seen = await harness.go(4000)
    assert "usage_bytes" not in seen.names()
    assert seen.get("usage_quantity", resource="seats") == 3
    assert harness.told(ValuesExpired) == [
        ValuesExpired(provider="meter", target="home", collector="usage", cause="stale")
    ]


@adjustable_clock
async def test_values_whose_period_is_over_go_at_once(tmp_path: Path) -> None:
    end = NOW + 700
    meter = MeteredVendor(usage=rows(row("traffic", end=end), row("disk", 7, start=None, end=None)))
    async with one_target(meter, tmp_path) as harness:
        await harness.first()
        meter.answers["usage"] = DOWN
        kept = await harness.go(end - harness.wall() - 2)
        gone = await harness.go(4)
    assert kept.get("usage_bytes", resource="traffic") == 250
    assert gone.get("usage_bytes", resource="traffic") is None
    assert gone.get("usage_bytes", resource="disk") == 7
    assert harness.told(ValuesExpired) == [
        ValuesExpired(provider="meter", target="home", collector="usage", cause="period_over")
    ]


@adjustable_clock
async def test_a_new_period_replaces_the_old_one_without_a_gap(tmp_path: Path) -> None:
    meter = MeteredVendor(usage=rows(row(end=NOW + 700)))
    async with one_target(meter, tmp_path) as harness:
        await harness.first()
        meter.answers["usage"] = rows(row(used=1, start=NOW + 200, end=NOW + 9000))
        seen = await harness.go(900)
    assert seen.get("usage_bytes", resource="traffic") == 1
    assert harness.told(ValuesExpired) == []


@adjustable_clock
async def test_a_series_that_a_complete_answer_lacks_goes(tmp_path: Path) -> None:
    meter = MeteredVendor(usage=rows(row("traffic"), row("disk")))
    async with one_target(meter, tmp_path) as harness:
        await harness.first()
        meter.answers["usage"] = rows(row("traffic", 251))
        seen = await harness.go(320)
    assert [one.labels["resource"] for one in seen.all("usage_bytes")] == ["traffic"]
    assert seen.get("usage_bytes") == 251


@adjustable_clock
async def test_a_partial_answer_publishes_nothing_new(tmp_path: Path) -> None:
    def pages(asked: VendorRequest) -> VendorResponse:
        if asked.argument("page") == "2":
            return second[0]
        return rows(row("traffic", first[0]), next=f"{asked.origin}/usage?page=2")

    first, second = [100.0], [rows(row("traffic", 150.0))]
    meter = MeteredVendor(usage=pages)
    async with one_target(meter, tmp_path) as harness:
        assert (await harness.first()).get("usage_bytes") == 250
        first[0], second[0] = 110.0, DOWN
        seen = await harness.go(320)
        assert seen.get("usage_bytes") == 250
        assert seen.get("usage_up", account="home") == 0
        second[0] = rows(row("traffic", 160.0))
        assert (await harness.go(900)).get("usage_bytes") == 270


@adjustable_clock
async def test_a_period_is_as_long_as_the_vendor_says(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with one_target(meter, tmp_path) as harness:
        seen = await harness.first()
    assert seen.get("usage_period_start_timestamp_seconds") == MONTH_START
    assert seen.get("usage_period_end_timestamp_seconds") == MONTH_END


@adjustable_clock
async def test_an_answer_that_still_holds_renews_the_age(tmp_path: Path) -> None:
    meter = MeteredVendor(seats=seats)
    async with meter.vendor:
        ours = target(meter, collectors={"usage": False, "seats": True})
        plan = plan_of(write_config(tmp_path, ours, state={"file": "state.db"}))
        async with running(plan) as harness:
            before = await harness.first()
            after = await harness.go(600)
            at = harness.wall()
        async with running(plan, start=at) as harness:
            restarted = harness.scrape()
    age = "usage_last_success_timestamp_seconds"
    assert len(meter.asked) == 2
    assert after.get("usage_quantity", resource="seats") == 3
    assert (after.get(age) or 0) - (before.get(age) or 0) == pytest.approx(600, abs=30)
    assert restarted.get("usage_quantity", resource="seats") == 3
    assert restarted.get(age) == after.get(age)


@adjustable_clock
async def test_a_field_that_is_gone_is_told_of_once(tmp_path: Path) -> None:
    meter = MeteredVendor(seats=json_response({"used": 3, "limit": 5}))
    async with one_target(meter, tmp_path, collectors={"usage": False, "seats": True}) as harness:
        await harness.first()
        meter.answers["seats"] = json_response({"used": 3, "limitV2": 5})
        seen = await harness.go(1300)
    assert seen.get("usage_limit_quantity", resource="seats") is None
    path, series = harness.told(SchemaNote)
    assert isinstance(path, SchemaNote)
    assert (path.collector, path.reason, path.detail) == ("seats", "path_gone", "limit")
    assert isinstance(series, SchemaNote)
    assert (series.reason, series.detail) == ("series_gone", "seats: limit")
