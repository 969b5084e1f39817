"""The engine on a vendor over real sockets: what is published, and when it goes."""

from pathlib import Path

import pytest

from exporter.demo.server import Close, Pause, Send, VendorResponse, json_response, response_head
from exporter.mapping.status import TargetStatus
from exporter.model.events import PollCrashed, PollFinished, SeriesDropped, TargetBack, TargetDown
from exporter.model.families import Sample
from exporter.model.outcome import Failure, Reason
from tests.support.adjustable_clock import adjustable_clock, advance
from tests.support.engine_harness import one_target, plan_of, running
from tests.support.metered_vendor import MeteredVendor, row, rows, target, write_config
from tests.support.vendor import NOW

DOWN = json_response({"detail": "maintenance"}, status=503)
HANGS = (Pause(3600.0), Close())


@adjustable_clock
async def test_the_first_poll_brings_values_and_health(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with one_target(meter, tmp_path) as harness:
        assert harness.scrape().series == ()  # and no zeros
        seen = await harness.first()
    labels = {"provider": "meter", "account": "home"}
    assert seen.get("usage_bytes", **labels, resource="traffic") == 250
    assert seen.get("usage_limit_bytes", **labels, resource="traffic") == 1000
    assert seen.get("usage_ratio", **labels, resource="traffic") == 0.25
    assert seen.get("usage_percent", **labels, resource="traffic") == 25
    assert seen.get("usage_up", **labels, collector="usage") == 1
    success = seen.get("usage_last_success_timestamp_seconds", **labels, collector="usage")
    assert success == pytest.approx(NOW, abs=31)
    soon = seen.get("usage_next_poll_timestamp_seconds", **labels, collector="usage")
    assert soon == pytest.approx((success or 0) + 300, abs=1)


@adjustable_clock
async def test_a_failed_first_poll_publishes_health_alone(tmp_path: Path) -> None:
    meter = MeteredVendor(usage=DOWN)
    async with one_target(meter, tmp_path) as harness:
        seen = await harness.first()
    assert seen.get("usage_up", account="home") == 0
    assert seen.names() == {"usage_up", "usage_next_poll_timestamp_seconds"}


@adjustable_clock
async def test_a_failed_poll_keeps_the_values_and_shows_their_age(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with one_target(meter, tmp_path) as harness:
        before = await harness.first()
        meter.answers["usage"] = DOWN
        seen = await harness.go(1200)
    assert seen.get("usage_bytes", account="home") == 250
    assert seen.get("usage_up", account="home") == 0
    age = "usage_last_success_timestamp_seconds"
    assert seen.get(age, account="home") == before.get(age, account="home")
    down = harness.told(TargetDown)
    assert [event.reason for event in down if isinstance(event, TargetDown)] == [Reason.HTTP_5XX]


@adjustable_clock
async def test_a_vendor_that_is_back_is_told_of_once(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with one_target(meter, tmp_path) as harness:
        await harness.first()
        meter.answers["usage"] = DOWN
        await harness.go(400)
        meter.answers["usage"] = rows(row(used=300))
        seen = await harness.go(1200)
    assert seen.get("usage_up", account="home") == 1
    assert seen.get("usage_bytes", account="home") == 300
    assert len(harness.told(TargetDown)) == len(harness.told(TargetBack)) == 1


@adjustable_clock
async def test_a_collector_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with one_target(meter, tmp_path, collectors={"seats": True}) as harness:
        await harness.first()
        meter.answers |= {"usage": rows(row(used=260)), "seats": json_response({}, status=500)}
        seen = await harness.go(1300)
    assert seen.get("usage_bytes") == 260
    assert seen.get("usage_quantity", resource="seats") == 3
    assert seen.get("usage_up", collector="usage") == 1
    assert seen.get("usage_up", collector="seats") == 0


@adjustable_clock
async def test_a_vendor_that_hangs_holds_up_nobody_else(tmp_path: Path) -> None:
    slow, quick = MeteredVendor(usage=HANGS), MeteredVendor()
    async with slow.vendor, quick.vendor:
        path = write_config(tmp_path, target(slow, "slow"), target(quick, "quick"))
        async with running(plan_of(path)) as harness:
            while not (slow.asked and quick.asked):
                advance(0.1)
                await harness.turn()
            assert (await harness.until("usage_up", account="quick")) == 1
            assert harness.scrape().get("usage_up", account="slow") is None
            advance(31.0)
            assert (await harness.until("usage_up", account="slow")) == 0
            assert harness.reasons() == {"slow": Reason.TIMEOUT, "quick": None}


@adjustable_clock
async def test_an_answer_that_drips_ends_at_the_deadline_of_the_whole_poll(tmp_path: Path) -> None:
    body = b'{"rows": []}'
    drips = (
        Send(response_head(VendorResponse(), length=len(body))),
        *[step for byte in body for step in (Send(bytes([byte])), Pause(20.0))],
    )
    meter = MeteredVendor(usage=drips)
    async with one_target(meter, tmp_path) as harness:
        while not meter.asked:
            advance(0.1)
            await harness.turn()
        for _ in range(4):
            await harness.turn(0.01)
            advance(10.0)
        assert (await harness.until("usage_up", account="home")) == 0
    (finished,) = harness.told(PollFinished)
    assert isinstance(finished, PollFinished)
    assert isinstance(finished.poll.outcome, Failure)
    assert finished.poll.outcome.reason is Reason.TIMEOUT
    assert "poll_timeout" in finished.poll.outcome.detail


@adjustable_clock
async def test_a_crash_in_a_poll_is_counted_and_the_next_poll_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*arguments: object) -> None:
        raise ZeroDivisionError("secret values stand here")

    meter = MeteredVendor()
    async with one_target(meter, tmp_path) as harness:
        with monkeypatch.context() as patch:
            patch.setattr("exporter.pipeline.read_payload", crash)
            seen = await harness.first()
        assert seen.get("usage_up", account="home") == 0
        assert harness.reasons() == {"home": Reason.INTERNAL}
        assert (await harness.go(900)).get("usage_up", account="home") == 1
    assert "secret values" not in str(harness.events)


@adjustable_clock
async def test_a_crash_before_the_poll_is_counted_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*arguments: object) -> None:
        raise SystemExit(3)

    meter = MeteredVendor()
    async with one_target(meter, tmp_path) as harness:
        with monkeypatch.context() as patch:
            patch.setattr("exporter.pipeline.Pipeline.collect", crash)
            await harness.first()
        assert harness.reasons() == {"home": Reason.INTERNAL}
        assert (await harness.go(900)).get("usage_up", account="home") == 1
    (crashed,) = harness.told(PollCrashed)
    assert "SystemExit" in str(crashed)


@adjustable_clock
async def test_a_listener_that_raises_stops_nothing(tmp_path: Path) -> None:
    def grumble(event: object) -> None:
        raise RuntimeError("I do not want to know")

    meter = MeteredVendor()
    async with one_target(meter, tmp_path, also=grumble) as harness:
        await harness.first()
        meter.answers["usage"] = rows(row(used=333))
        assert (await harness.go(320)).get("usage_bytes") == 333


@pytest.mark.parametrize("step", ["target_status", "samples"])
@adjustable_clock
async def test_a_fault_while_publishing_does_not_hide_the_poll(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*arguments: object) -> None:
        raise ZeroDivisionError

    meter = MeteredVendor()
    monkeypatch.setattr(f"exporter.app.publisher.{step}", crash)
    async with one_target(meter, tmp_path) as harness:
        await harness.first()
    assert len(harness.told(PollFinished)) == 1


@adjustable_clock
async def test_the_vendors_own_throttle_is_published(tmp_path: Path) -> None:
    headers = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "59", "X-RateLimit-Reset": "30"}
    meter = MeteredVendor(usage=json_response({"rows": [row()]}, headers=headers))
    async with one_target(meter, tmp_path) as harness:
        seen = await harness.first()
    assert seen.get("usage_api_rate_limit", account="home") == 60
    assert seen.get("usage_api_rate_limit_remaining", account="home") == 59
    reset = seen.get("usage_api_rate_limit_reset_timestamp_seconds", account="home")
    assert reset == pytest.approx(NOW + 30, abs=31)


@adjustable_clock
async def test_a_clock_that_is_put_back_loses_no_value_and_adds_no_poll(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with one_target(meter, tmp_path) as harness:
        await harness.first()
        harness.skew = -7200.0
        await harness.go(1500)
        assert len(meter.asked) == 6
        harness.skew = 0.0
        seen = await harness.go(1500)
    assert len(meter.asked) == 11
    assert seen.get("usage_bytes") == 250


@adjustable_clock
async def test_series_that_cannot_be_written_cost_the_target_its_values_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = [Sample(family="usage_bytes", labels=("meter", "home", "a"), value=n) for n in (1, 2)]
    good, bad = MeteredVendor(), MeteredVendor()

    def found(status: TargetStatus) -> tuple[list[Sample], tuple[()]]:
        return (twice if status.target.name == "home" else twice[:0], ())

    monkeypatch.setattr("exporter.app.publisher.samples", found)
    async with good.vendor, bad.vendor:
        path = write_config(tmp_path, target(bad, "home"), target(good, "work"))
        async with running(plan_of(path)) as harness:
            seen = await harness.first()
    assert seen.all("usage_bytes") == []
    assert [one.value for one in seen.all("usage_up")] == [1, 1]
    (dropped,) = harness.told(SeriesDropped)
    assert isinstance(dropped, SeriesDropped)
    assert (dropped.target, dropped.reason) == ("home", "duplicate")
