"""Targets that share a key share its fate: one is throttled, all wait."""

from pathlib import Path

from exporter.demo.server import VendorRequest, VendorResponse, json_response
from exporter.model.outcome import Reason
from tests.support.adjustable_clock import adjustable_clock
from tests.support.engine_harness import plan_of, running
from tests.support.metered_vendor import (
    DEFINITION,
    TOKEN,
    MeteredVendor,
    row,
    rows,
    target,
    write_config,
)

NEXT = "usage_next_poll_timestamp_seconds"


def refused(seconds: int = 900) -> VendorResponse:
    return json_response({"detail": "slow down"}, status=429, headers={"Retry-After": str(seconds)})


@adjustable_clock
async def test_two_targets_of_one_key_wait_together(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        path = write_config(tmp_path, target(meter, "home"), target(meter, "work"))
        async with running(plan_of(path)) as harness:
            await harness.first()
            meter.answers["usage"] = refused()
            seen = await harness.go(330)
            assert len(meter.asked) == 3  # the first refusal held the other back
            await harness.go(500)
            assert len(meter.asked) == 3
            meter.answers["usage"] = rows(row(used=300))
            after = await harness.go(500)
    assert sorted(one.value for one in seen.all("usage_up")) == [0, 1]
    assert [one.value for one in after.all("usage_bytes")] == [300, 300]


@adjustable_clock
async def test_both_targets_of_a_throttled_key_say_when_they_come_again(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        path = write_config(tmp_path, target(meter, "home"), target(meter, "work"))
        async with running(plan_of(path)) as harness:
            await harness.first()
            meter.answers["usage"] = refused()
            seen = await harness.go(330)
            now = harness.wall()
    assert min(one.value for one in seen.all(NEXT)) > now + 800


@adjustable_clock
async def test_another_key_of_the_vendor_is_not_held_back(tmp_path: Path) -> None:
    def answer(asked: VendorRequest) -> VendorResponse:
        throttled = asked.headers["authorization"].endswith(TOKEN)
        return refused() if throttled else rows()

    meter = MeteredVendor(usage=answer)
    meter.accepted.add("meter-token-2")
    async with meter.vendor:
        other = target(meter, "work", credentials={"token": "meter-token-2"})
        async with running(plan_of(write_config(tmp_path, target(meter), other))) as harness:
            await harness.first()
            seen = await harness.go(700)
    asked = [asked.headers["authorization"].endswith(TOKEN) for asked in meter.asked]
    assert (asked.count(True), asked.count(False)) == (1, 3)
    assert seen.get("usage_up", account="home") == 0
    assert seen.get("usage_up", account="work") == 1


@adjustable_clock
async def test_a_refused_key_is_not_tried_by_its_other_targets(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        path = write_config(tmp_path, *(target(meter, f"t{n}") for n in range(5)))
        async with running(plan_of(path)) as harness:
            await harness.first()
            count = len(meter.asked)
            meter.accepted.clear()
            await harness.go(600)
    assert len(meter.asked) - count <= 2


@adjustable_clock
async def test_a_wait_is_a_floor_and_not_a_guess(tmp_path: Path) -> None:
    meter = MeteredVendor(usage=refused(100))
    async with meter.vendor, running(plan_of(write_config(tmp_path, target(meter)))) as harness:
        await harness.first()
        while len(meter.asked) < 2:
            await harness.go(1, step=1)
        polls = [status.last_attempt for status in harness.engine.runner.statuses()]
        first = harness.events[0].poll.at  # type: ignore[union-attr]
    assert polls[0] is not None
    assert polls[0] - first >= 100


@adjustable_clock
async def test_a_403_that_means_throttling_holds_the_key_and_is_waited_for(tmp_path: Path) -> None:
    """As GitHub does it: 403, nothing remains, and when it begins anew."""
    meter = MeteredVendor()
    none_left = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1500"}
    throttled = """error: [detail], throttled: [{statuses: [403],
      headers: '"x-ratelimit-remaining" == `"0"`'}]"""
    async with meter.vendor:
        path = write_config(tmp_path, target(meter, "home"), target(meter, "work"))
        (tmp_path / "meter.yaml").write_text(DEFINITION.replace("error: [detail]", throttled))
        async with running(plan_of(path)) as harness:
            await harness.first()
            meter.answers["usage"] = json_response({}, status=403, headers=none_left)
            await harness.go(1700)
            assert len(meter.asked) == 3
            assert Reason.RATE_LIMITED in harness.reasons().values()
            meter.answers["usage"] = rows()
            seen = await harness.go(600)
    assert [one.value for one in seen.all("usage_up")] == [1, 1]


@adjustable_clock
async def test_a_throttled_page_asks_for_no_further_page(tmp_path: Path) -> None:
    def pages(asked: VendorRequest) -> VendorResponse:
        page = int(asked.argument("page", "1"))
        if page == 3:
            return refused()
        return rows(row(used=page), next=f"{asked.origin}/usage?page={page + 1}")

    meter = MeteredVendor(usage=pages)
    async with meter.vendor, running(plan_of(write_config(tmp_path, target(meter)))) as harness:
        await harness.first()
        seen = await harness.go(800)
    assert len(meter.asked) == 3
    assert "usage_bytes" not in seen.names()
