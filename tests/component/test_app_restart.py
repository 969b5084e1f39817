"""What a restart brings back from the state file, and what it must not."""

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exporter.demo.server import json_response
from exporter.model.events import LedgerStatus
from exporter.model.outcome import Reason
from exporter.model.target import Plan
from tests.support.adjustable_clock import adjustable_clock
from tests.support.engine_harness import plan_of, running
from tests.support.metered_vendor import TOKEN, MeteredVendor, row, rows, target, write_config
from tests.support.vendor import NOW

DOWN = json_response({"detail": "maintenance"}, status=503)
NEXT = "usage_next_poll_timestamp_seconds"
SUCCESS = "usage_last_success_timestamp_seconds"


def plan(folder: Path, meter: MeteredVendor, **more: Any) -> Plan:
    state = {"file": "state.db"}
    return plan_of(write_config(folder, target(meter, **more), state=state))


def content(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("state.db*"))


@adjustable_clock
async def test_values_come_back_with_their_true_age_and_no_early_poll(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        async with running(plan(tmp_path, meter)) as harness:
            before = await harness.first()
            stopped = harness.wall()
        async with running(plan(tmp_path, meter), start=stopped + 60) as harness:
            seen = harness.scrape()
            assert seen.get("usage_bytes") == 250
            assert seen.get("usage_up") == 1
            assert seen.get(SUCCESS) == before.get(SUCCESS)
            await harness.go(150)
            assert len(meter.asked) == 1
            await harness.go(100)
    assert len(meter.asked) == 2


@adjustable_clock
async def test_a_crash_loop_polls_no_faster_than_the_interval(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        at = NOW
        for _ in range(10):
            async with running(plan(tmp_path, meter), start=at) as harness:
                await harness.go(20, step=5)
                at = harness.wall() + 5
    assert len(meter.asked) == 1


@adjustable_clock
async def test_values_that_grew_stale_meanwhile_do_not_come_back(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        async with running(plan(tmp_path, meter)) as harness:
            await harness.first()
        meter.answers["usage"] = DOWN
        async with running(plan(tmp_path, meter), start=NOW + 2 * 3600) as harness:
            seen = harness.scrape()
    assert "usage_bytes" not in seen.names()
    assert seen.get(SUCCESS) == pytest.approx(NOW, abs=31)


@adjustable_clock
async def test_values_whose_period_ended_meanwhile_do_not_come_back(tmp_path: Path) -> None:
    meter = MeteredVendor(usage=rows(row(end=NOW + 600), row("disk", start=None, end=None)))
    async with meter.vendor:
        async with running(plan(tmp_path, meter)) as harness:
            await harness.first()
        async with running(plan(tmp_path, meter), start=NOW + 700) as harness:
            seen = harness.scrape()
    assert [one.labels["resource"] for one in seen.all("usage_bytes")] == ["disk"]


@adjustable_clock
async def test_another_accounts_values_do_not_come_back(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        async with running(plan(tmp_path, meter, params={"site": "a"})) as harness:
            await harness.first()
        there = plan(tmp_path, meter, params={"site": "b"})
        async with running(there, start=NOW + 60) as harness:
            assert "usage_bytes" not in harness.scrape().names()


@adjustable_clock
async def test_a_throttled_target_waits_on_after_a_restart(tmp_path: Path) -> None:
    meter = MeteredVendor(usage=json_response({}, status=429, headers={"Retry-After": "1800"}))
    async with meter.vendor:
        async with running(plan(tmp_path, meter)) as harness:
            await harness.first()
        async with running(plan(tmp_path, meter), start=NOW + 100) as harness:
            await harness.go(1600)
            assert len(meter.asked) == 1
            await harness.go(400)
    assert len(meter.asked) == 2


@adjustable_clock
async def test_a_target_in_trouble_is_still_down_after_a_restart(tmp_path: Path) -> None:
    meter = MeteredVendor()
    meter.accepted.clear()
    async with meter.vendor:
        async with running(plan(tmp_path, meter)) as harness:
            await harness.first()
        meter.accepted.add(TOKEN)
        async with running(plan(tmp_path, meter), start=NOW + 100) as harness:
            assert harness.scrape().get("usage_up") == 0  # the alert on it must not end here
            assert harness.reasons() == {"home": Reason.AUTH}
            await harness.go(700)
            assert len(meter.asked) == 1
            seen = await harness.go(300)
    assert seen.get("usage_up") == 1


@adjustable_clock
async def test_history_comes_back_for_the_forecast(tmp_path: Path) -> None:
    meter = MeteredVendor(usage=lambda asked: rows(row(used=len(meter.asked))))
    async with meter.vendor:
        async with running(plan(tmp_path, meter)) as harness:
            await harness.first()
            await harness.go(7 * 3600, step=290)
            before, at = harness.engine.usage_history.of("home"), harness.wall()
        async with running(plan(tmp_path, meter), start=at) as harness:
            after = harness.engine.usage_history.of("home")
    assert len(after["home", "traffic"]) == 2
    assert after == before


@adjustable_clock
async def test_a_restart_and_a_reload_show_the_same(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        async with running(plan(tmp_path, meter)) as harness:
            await harness.first()
            harness.engine.apply(plan(tmp_path, meter, labels={"team": "video"}))
            reloaded, at = harness.scrape(), harness.wall()
        async with running(plan(tmp_path, meter, labels={"team": "video"}), start=at) as harness:
            restarted = harness.scrape()
    assert reloaded.get("usage_account_info", team="video") == 1
    assert [one for one in restarted.series if one.name != NEXT] == [
        one for one in reloaded.series if one.name != NEXT
    ]
    assert restarted.get(NEXT) == pytest.approx(reloaded.get(NEXT), abs=0.1)


@adjustable_clock
async def test_a_schedule_that_no_one_understands_does_not_stop_the_start(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        async with running(plan(tmp_path, meter)) as harness:
            await harness.first()
        strange = [b"\xc1", msgspec.msgpack.encode({"due": "tomorrow"}), b""]
        with sqlite3.connect(tmp_path / "state.db") as connection:
            keys = [key for (key,) in connection.execute("SELECT key FROM schedule")]
            for number, key in enumerate([*keys, "job\0gone\0usage", "budget\0x", "what\0is"]):
                row_ = (key, strange[number % len(strange)])
                connection.execute("INSERT OR REPLACE INTO schedule VALUES (?, ?, NULL)", row_)
        connection.close()
        async with running(plan(tmp_path, meter), start=NOW + 60) as harness:
            assert harness.scrape().get("usage_bytes") == 250
            assert (await harness.go(40)).get("usage_up") == 1


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100], ids=["empty", "garbage"])
def test_a_state_file_that_is_none_is_set_aside(tmp_path: Path, content: bytes) -> None:
    @adjustable_clock
    async def begin() -> None:
        (tmp_path / "state.db").write_bytes(content)
        meter = MeteredVendor()
        async with meter.vendor:
            async with running(plan(tmp_path, meter)) as harness:
                assert (await harness.first()).get("usage_bytes") == 250
            async with running(plan(tmp_path, meter), start=NOW + 60) as harness:
                assert harness.scrape().get("usage_bytes") == 250

    begin()


@adjustable_clock
async def test_without_a_place_for_the_state_polling_goes_on(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        state = {"file": "config.yaml/state.db"}
        path = write_config(tmp_path, target(meter), state=state)
        async with running(plan_of(path)) as harness:
            assert (await harness.first()).get("usage_bytes") == 250
            troubles = harness.told(LedgerStatus)
    assert [event.ok for event in troubles if isinstance(event, LedgerStatus)] == [False]
    assert "config.yaml/state.db" in str(troubles)


@adjustable_clock
async def test_a_removed_target_leaves_nothing_in_the_state(tmp_path: Path) -> None:
    meter = MeteredVendor()
    state = {"file": "state.db"}
    async with meter.vendor:
        home, work = target(meter, "home"), target(meter, "work")
        async with running(plan_of(write_config(tmp_path, home, work, state=state))) as harness:
            await harness.first()
            harness.engine.apply(plan_of(write_config(tmp_path, home, state=state)))
    with sqlite3.connect(tmp_path / "state.db") as connection:
        names = connection.execute("SELECT name FROM targets").fetchall()
    connection.close()
    assert names == [("home",)]


@adjustable_clock
async def test_no_secret_is_in_the_state(tmp_path: Path) -> None:
    meter = MeteredVendor(usage=rows(row(name=f"traffic {TOKEN}"), echo=TOKEN))
    async with meter.vendor:
        async with running(plan(tmp_path, meter)) as harness:
            await harness.first()
            meter.answers["usage"] = json_response({"detail": f"{TOKEN} is worn out"}, status=400)
            await harness.go(400)
        written = content(tmp_path)
    assert b"traffic" in written
    assert TOKEN.encode() not in written
