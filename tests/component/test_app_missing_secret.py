"""A secret that cannot be read is one target's trouble, at the start and at a reload."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.model.outcome import Reason
from tests.support.adjustable_clock import adjustable_clock, advance
from tests.support.daemon import exporting
from tests.support.engine_harness import plan_of, running
from tests.support.metered_vendor import TOKEN, MeteredVendor, target, write_config

BUDGET = "usage_exporter_backoff_seconds"


def nothing(path: Path) -> None:
    """Leave the file away."""


def empty(path: Path) -> None:
    path.touch()


def folder(path: Path) -> None:
    path.mkdir()


def large(path: Path) -> None:
    path.write_bytes(b"x" * 100_000)


def no_text(path: Path) -> None:
    path.write_bytes("key".encode("utf-16"))


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def below_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.touch()


KINDS = (nothing, empty, folder, large, no_text, dangling, loop, below_a_file)


@pytest.mark.parametrize("break_", KINDS)
@adjustable_clock
async def test_at_the_start_one_target_waits_for_its_secret_and_the_others_are_polled(
    tmp_path: Path, break_: Callable[[Path], None]
) -> None:
    meter = MeteredVendor()
    (tmp_path / "secrets").mkdir()
    break_(tmp_path / "secrets" / "key")
    async with meter.vendor:
        bad = target(meter, "bad", credentials={"token_file": "secrets/key"})
        async with running(plan_of(write_config(tmp_path, target(meter, "good"), bad))) as harness:
            seen = await harness.first()
            reasons = harness.reasons()
    assert seen.get("usage_bytes", account="good") == 250
    assert seen.get("usage_up", account="bad") == 0
    assert reasons == {"good": None, "bad": Reason.AUTH}
    assert len(meter.asked) == 1


@adjustable_clock
async def test_a_variable_that_is_not_set_is_its_targets_trouble_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("METER_TEST_KEY", raising=False)
    meter = MeteredVendor()
    async with meter.vendor:
        bad = target(meter, "bad", credentials={"token_env": "METER_TEST_KEY"})
        async with running(plan_of(write_config(tmp_path, target(meter, "good"), bad))) as harness:
            await harness.first()
            assert harness.reasons() == {"good": None, "bad": Reason.AUTH}


@adjustable_clock
async def test_the_target_is_polled_within_seconds_when_its_secret_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        bad = target(meter, "bad", credentials={"token_file": "key"})
        path = write_config(tmp_path, target(meter, "good"), bad)
        async with exporting(path, monkeypatch) as exporter:
            seen = await exporter.first("good", "bad")
            assert seen.get("usage_up", account="bad") == 0
            assert seen.get(BUDGET, account="bad")
            (tmp_path / "key").write_text(f" {TOKEN} \n")
            for _ in range(12):
                advance(0.5)
                await asyncio.sleep(0.01)
            seen = await exporter.scrape()
            log = exporter.log
    assert seen.get("usage_bytes", account="bad") == 250
    assert seen.get(BUDGET, account="bad") == 0
    assert "secret changed, polling at once" in log
    assert "reason=auth" in log


@adjustable_clock
async def test_a_secret_that_is_missing_at_a_reload_keeps_no_other_change_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor()
    (tmp_path / "key").write_text(TOKEN)
    async with meter.vendor:
        old = target(meter, "old", credentials={"token_file": "key"})
        path = write_config(tmp_path, old)
        async with exporting(path, monkeypatch, lifecycle=True) as exporter:
            await exporter.first("old")
            (tmp_path / "key").unlink()
            write_config(tmp_path, old, target(meter, "new"))
            answer = await exporter.post("/-/reload")
            seen = await exporter.first("new")
            kept = seen.get("usage_bytes", account="old")
    assert answer.status == 200
    assert seen.get("usage_bytes", account="new") == 250
    assert kept == 250  # a failed poll keeps the values


@adjustable_clock
async def test_a_secret_that_arrives_finds_the_budget_of_those_that_use_it(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        late = target(meter, "late", credentials={"token_file": "key"})
        async with running(plan_of(write_config(tmp_path, target(meter, "good"), late))) as harness:
            await harness.first()
            targets = harness.engine.plan.targets
            assert targets["late"].budget != targets["good"].budget
            (tmp_path / "key").write_text(TOKEN)
            assert harness.engine.wake_renewed() == ["late"]
            await harness.go(2, step=0.5)
            targets = harness.engine.plan.targets
            assert targets["late"].budget == targets["good"].budget
            assert harness.reasons() == {"good": None, "late": None}
            assert harness.engine.apply(plan_of(tmp_path / "config.yaml")).changed == ()
