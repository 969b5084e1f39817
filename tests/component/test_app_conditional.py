"""304 says that the last answer still holds: it must be known whose, and how it was read."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.fetch.http import HttpRequest, HttpResponse
from exporter.model.target import Plan
from tests.support.parsed_exposition import ParsedExposition
from tests.support.simulation import Clock, Process, plan_from, reply, simulated

DEFINITION = """\
title: MeteredVendor
documentation: https://meter.example/docs
credentials: {token: {description: The key.}}
auth: {kind: bearer}
collectors:
  usage: {conditional: true, request: {path: /usage}}
resources:
  - {name: traffic, unit: bytes, used: used}
items:
  - {resource: traffic, group: site, each: sites, item: name, used: used, unit: bytes}
"""
TAG = '"one"'


async def vendor(wire: HttpRequest) -> HttpResponse:
    if wire.headers.get("If-None-Match") == TAG:
        return reply(wire, b"", status=304, etag=TAG)
    return reply(wire, {"used": 5, "sites": [{"name": "north", "used": 5}]}, etag=TAG)


def plan(folder: Path, *names: str, **more: Any) -> Plan:
    (folder / "meter.yaml").write_text(DEFINITION)
    usual = {
        "provider": "meter",
        "base_url": "https://meter.example",
        "credentials": {"token": "x"},
    }
    targets = [{"name": name, **usual, **more} for name in names]
    document = {"providers": {"files": ["meter.yaml"]}, "targets": targets}
    return plan_from(folder, document)


def after_a_reload(first: Plan, *then: Plan) -> ParsedExposition:
    """Return what is published half an hour after the last of some reloads."""

    async def story() -> ParsedExposition:
        process = Process(first, vendor, wall=Clock(), emit=lambda event: None)
        await process.start()
        await asyncio.sleep(1000)
        for plan_ in then:
            process.engine.apply(plan_)
        await asyncio.sleep(1800)
        seen = process.scrape()
        await process.stop()
        return seen

    return simulated(story())


def test_an_answer_that_is_not_modified_keeps_value_and_grows_younger(tmp_path: Path) -> None:
    seen = after_a_reload(plan(tmp_path, "home"))
    assert seen.get("usage_bytes") == 5
    assert (seen.get("usage_last_success_timestamp_seconds") or 0) > Clock().offset + 2500


def test_a_target_that_left_and_comes_again_asks_for_the_whole(tmp_path: Path) -> None:
    both, one = plan(tmp_path, "home", "work"), plan(tmp_path, "work")
    seen = after_a_reload(both, one, both)
    assert seen.get("usage_bytes", account="home") == 5


def test_a_target_of_which_more_is_wanted_asks_for_the_whole(tmp_path: Path) -> None:
    seen = after_a_reload(plan(tmp_path, "home"), plan(tmp_path, "home", items=True))
    assert seen.get("usage_item_bytes", account="home", item="north") == 5


FORECAST = """\
title: MeteredVendor
documentation: https://meter.example/docs
credentials: {token: {description: The key.}}
auth: {kind: bearer}
collectors:
  usage: {conditional: true, request: {path: /usage}}
resources:
  - name: traffic
    unit: bytes
    used: used
    limit: limit
    period: {start: start, end: end}
  - {name: disk, unit: bytes, level: true, used: disk, limit: disk_limit}
"""
DAY = 86_400.0


async def after_days(
    folder: Path, days: float, vendor_: Callable[[HttpRequest], Awaitable[HttpResponse]]
) -> ParsedExposition:
    """Return what is published after some days of polls each three hours, without a state file."""
    plan(folder, "home")
    (folder / "meter.yaml").write_text(FORECAST)
    target = {
        "name": "home",
        "provider": "meter",
        "base_url": "https://meter.example",
        "credentials": {"token": "x"},
        "poll_interval": "3h",
    }
    document = {"providers": {"files": ["meter.yaml"]}, "targets": [target]}
    process = Process(plan_from(folder, document), vendor_, wall=Clock(), emit=lambda event: None)
    await process.start()
    await asyncio.sleep(days * DAY)
    seen = process.scrape()
    await process.stop()
    return seen


def facts(**more: float) -> dict[str, float]:
    """Return an answer on day 5 of 30 of a period."""
    start = Clock().offset - 5 * DAY
    usual = {"used": 100, "limit": 300, "start": start, "end": start + 30 * DAY}
    return usual | {"disk": 50, "disk_limit": 100} | more


def test_a_value_that_stays_unchanged_is_projected_from_the_last_confirmation(
    tmp_path: Path,
) -> None:
    async def unchanging(wire: HttpRequest) -> HttpResponse:
        if wire.headers.get("If-None-Match") == TAG:
            return reply(wire, b"", status=304, etag=TAG)
        return reply(wire, facts(), etag=TAG)

    at_first = simulated(after_days(tmp_path, 0.1, unchanging))
    assert at_first.get("usage_projected_bytes", resource="traffic") == pytest.approx(600, rel=0.02)
    assert at_first.get("usage_exhaustion_timestamp_seconds", resource="traffic") is not None
    seen = simulated(after_days(tmp_path, 24, unchanging))
    assert seen.get("usage_projected_bytes", resource="traffic") == pytest.approx(100, rel=0.05)
    assert seen.get("usage_exhaustion_timestamp_seconds", resource="traffic") is None


def test_without_a_state_file_history_is_kept_in_memory(tmp_path: Path) -> None:
    async def growing(wire: HttpRequest) -> HttpResponse:
        days = asyncio.get_running_loop().time() / DAY
        return reply(wire, facts(disk=50 + 4 * days))

    seen = simulated(after_days(tmp_path, 6, growing))
    full = seen.get("usage_exhaustion_timestamp_seconds", resource="disk")
    assert full == pytest.approx(Clock().offset + 12.5 * DAY, abs=DAY / 2)
