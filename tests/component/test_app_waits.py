"""What a user sees of waits and paces: the status page, the self-metrics, the log."""

import asyncio
import json
from pathlib import Path

import pytest

from exporter.demo.server import VendorRequest, VendorResponse, json_response
from tests.support.adjustable_clock import adjustable_clock, advance
from tests.support.daemon import exporting
from tests.support.engine_harness import plan_of, running
from tests.support.metered_vendor import TOKEN, MeteredVendor, row, rows, target, write_config
from tests.support.parsed_exposition import ParsedExposition
from tests.support.vendor import NOW

NEXT = "usage_next_poll_timestamp_seconds"
LEFT = "usage_exporter_backoff_seconds"


def left(seen: ParsedExposition, account: str = "home") -> float:
    return seen.get(LEFT, account=account) or 0.0


@adjustable_clock
async def test_a_retry_after_on_a_good_answer_holds_all_polls_of_the_key(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        path = write_config(tmp_path, target(meter, "home"), target(meter, "work"))
        async with running(plan_of(path)) as harness:
            await harness.first()
            again = {"Retry-After": "1800"}
            meter.answers["usage"] = json_response({"rows": [row(used=300)]}, headers=again)
            seen = await harness.go(1700)
            assert len(meter.asked) == 3
            assert min(one.value for one in seen.all(NEXT)) >= NOW + 1800
            meter.answers["usage"] = rows()
            await harness.go(600)
            assert len(meter.asked) > 3
    assert 300 in [one.value for one in seen.all("usage_bytes")]
    assert [one.value for one in seen.all("usage_up")] == [1, 1]


@adjustable_clock
@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        (
            {
                "X-Organization-Rate-Limit-Remaining": "0",
                "X-Organization-Rate-Limit-Reset": "1000",
                "X-Other-Rate-Limit-Remaining": "0",
                "X-Other-Rate-Limit-Reset": "3000",
            },
            {},
            3000,
        ),
        ({"Retry-After": "1000", "retry-after-ms": "3000000"}, {}, 3000),
        ({}, {"error": {"message": "Please try again in 50 minutes."}}, 3000),
    ],
)
async def test_a_refusal_is_waited_for_as_long_as_any_part_of_it_says(
    tmp_path: Path, headers: dict[str, str], body: dict[str, object], seconds: int
) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        definition = tmp_path / "meter.yaml"
        declared = {
            "limit": "X-Organization-Rate-Limit-Limit",
            "remaining": "X-Organization-Rate-Limit-Remaining",
            "reset": "X-Organization-Rate-Limit-Reset",
        }
        throttling = json.dumps({"headers": declared})
        definition.write_text(f"{definition.read_text()}\nthrottling: {throttling}\n")
        async with running(plan_of(path)) as harness:
            await harness.first()
            meter.answers["usage"] = json_response(body, status=429, headers=headers)
            await harness.go(600)
            refused = len(meter.asked)
            meter.answers["usage"] = rows()
            await harness.go(seconds - 600)
            assert len(meter.asked) == refused
            await harness.go(600)
            assert len(meter.asked) > refused


@adjustable_clock
async def test_the_wait_after_a_good_answer_is_shown_to_all_whom_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = {"Retry-After": "1800"}
    meter = MeteredVendor(usage=json_response({"rows": [row()]}, headers=again))
    async with meter.vendor:
        path = write_config(
            tmp_path, target(meter, "home"), target(meter, "work"), state={"file": "state.db"}
        )
        async with exporting(path, monkeypatch) as exporter:
            first = await exporter.until(lambda seen: left(seen) > 0)
            advance(100)
            second = await exporter.scrape()
            page = await exporter.targets()
        async with exporting(path, monkeypatch, start=NOW + 200) as exporter:
            after = await exporter.until(lambda seen: left(seen) > 0)
            advance(2000)
            meter.answers["usage"] = rows()
            over = await exporter.until(lambda seen: left(seen) == left(seen, "work") == 0, step=10)
    assert left(first) == pytest.approx(1800, abs=60)
    assert left(first) - left(second) == pytest.approx(100, abs=1)
    assert left(second, "work") == pytest.approx(left(second), abs=0.1)
    assert page["home"]["wait_cause"] == page["work"]["wait_cause"] == "throttled"
    assert page["home"]["wait"] == "throttled"
    assert (page["home"]["health"], page["home"]["collectors"][0]["freshness"]) == ("up", "fresh")
    assert left(after) == pytest.approx(1600, abs=60)
    assert over.get("usage_up", account="home") == 1


@adjustable_clock
async def test_a_good_answer_that_leaves_nothing_is_the_last_until_the_reset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def usage(asked: VendorRequest) -> VendorResponse:
        left = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0"}
        return json_response({"rows": [row()]}, headers={**left, "X-RateLimit-Reset": "1800"})

    meter = MeteredVendor(usage=usage)
    async with meter.vendor:
        path = write_config(
            tmp_path, target(meter, reserve="10%"), target(meter, "work"), **{"global": {}}
        )
        async with exporting(path, monkeypatch) as exporter:
            seen = await exporter.until(lambda seen: left(seen) > 0)
            page = await exporter.targets()
            shown = (await exporter.get("/")).text
            advance(1500)
            await asyncio.sleep(0.05)
            assert len(meter.asked) == 1
            advance(400)
            await exporter.until(lambda seen: len(meter.asked) > 1)
    assert left(seen) == left(seen, "work") > 1700
    assert page["home"]["wait_cause"] == "reserve reached"
    assert page["home"]["wait"] == "backing_off"
    assert page["home"]["api"]["reserve"] == page["work"]["api"]["reserve"] == 0.2
    assert (page["work"]["api"]["limit"], page["work"]["api"]["remaining"]) == (60, 0)
    assert page["work"]["api"]["reset"] == pytest.approx(NOW + 1800, abs=60)
    assert "0 of 60 requests left" in shown
    assert "20 % of it is left to others" in shown


@adjustable_clock
async def test_a_refusal_is_shown_to_all_whom_it_holds_and_to_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor(
        usage=lambda asked: (
            json_response({}, status=429, headers={"Retry-After": "900"})
            if asked.headers["authorization"].endswith(TOKEN)
            else rows()
        )
    )
    meter.accepted.add("meter-token-2")
    async with meter.vendor:
        other = target(meter, "shop", credentials={"token": "meter-token-2"})
        path = write_config(tmp_path, target(meter, "home"), target(meter, "work"), other)
        async with exporting(path, monkeypatch) as exporter:
            await exporter.first("shop")
            seen = await exporter.until(lambda seen: left(seen) > 0)
            page = await exporter.targets()
    assert left(seen) == pytest.approx(900, abs=30)
    assert left(seen, "work") == pytest.approx(left(seen), abs=0.1)
    assert left(seen, "shop") == 0
    assert page["work"]["wait_seconds"] == pytest.approx(left(seen), abs=30)
    assert (page["shop"]["wait"], page["shop"]["wait_cause"]) == (None, "")
    assert {page["home"]["health"], page["work"]["health"]} == {"throttled", "never_polled"}
    assert page["shop"]["health"] == "up"
