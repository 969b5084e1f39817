"""Reloads of many targets take time in proportion, and many reloads take no memory."""

import asyncio
import contextlib
import gc
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.config.plan import load_text
from exporter.model.target import Plan
from tests.support.adjustable_clock import adjustable_clock
from tests.support.engine_harness import EngineHarness, plan_of, running
from tests.support.metered_vendor import MeteredVendor, target, write_config
from tests.support.vendor import NOW

FEW, MANY = 1_000, 8_000
PROPORTION = 14  # MANY / FEW is 8; what looks at all targets for each of them is beyond 20
WARM, MEASURED, CHANGING = 12, 16, 8


def rotated(number: int, version: int) -> dict[str, Any]:
    return {"name": f"t{number}", "credentials": {"token": f"key-{version}-{number}"}}


def renamed(number: int, version: int) -> dict[str, Any]:
    return {"name": f"t{version}-{number}", "credentials": {"token": f"key-{number}"}}


def moved(number: int, version: int) -> dict[str, Any]:
    """Another account: the same name at another address."""
    base_url = f"http://127.0.0.1:9/v{version}"
    return {"name": f"t{number}", "base_url": base_url, "credentials": {"token": f"key-{number}"}}


def plans(count: int, write: Callable[[int, int], dict[str, Any]]) -> list[Plan]:
    """Return one plan after another in which every target is another one."""
    found = []
    for version in range(3):
        usual = {"provider": "billing_usage", "base_url": "http://127.0.0.1:9"}
        targets = [{**usual, **write(number, version)} for number in range(count)]
        plan = load_text(json.dumps({"targets": targets}), name="c", directory="/", environ={})
        assert isinstance(plan, Plan)
        found.append(plan)
    return found


@contextlib.contextmanager
def inside_a_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Let plain code run as if a loop had called it: what it takes is measured, not forbidden."""
    loop = asyncio.new_event_loop()
    asyncio._set_running_loop(loop)
    try:
        yield loop
    finally:
        asyncio._set_running_loop(None)
        loop.close()


def seconds(count: int, write: Callable[[int, int], dict[str, Any]]) -> float:
    """Return the CPU time of two reloads that change every target; nothing is polled."""
    nothing, (first, *others) = Plan(targets={}), plans(count, write)
    with inside_a_loop():
        harness = EngineHarness(nothing, start=NOW)
        harness.engine.apply(first)
        gc.disable()
        try:
            began = time.thread_time()
            for plan in others:
                change = harness.engine.apply(plan)
                assert len(change.added) + len(change.changed) == count
            return time.thread_time() - began
        finally:
            gc.enable()


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(rotated, marks=pytest.mark.slow),
        renamed,
        pytest.param(moved, marks=pytest.mark.slow),
    ],
)
def test_a_reload_takes_time_in_proportion_to_its_targets(
    write: Callable[[int, int], dict[str, Any]],
) -> None:
    few = min(seconds(FEW, write) for _ in range(2))
    assert seconds(MANY, write) < PROPORTION * few


@pytest.mark.slow
@adjustable_clock
async def test_many_reloads_with_other_targets_take_no_memory(tmp_path: Path) -> None:
    meter = MeteredVendor()
    sizes = []
    async with meter.vendor:

        def plan(version: int) -> Plan:
            changing = [target(meter, f"t{version}-{number}") for number in range(CHANGING)]
            return plan_of(write_config(tmp_path, target(meter), *changing))

        async with running(plan(0)) as harness:
            tracemalloc.start()
            try:
                for version in range(1, WARM + MEASURED + 1):
                    harness.engine.apply(plan(version))
                    await harness.go(400, step=200)  # all are polled; those that left are forgotten
                    harness.events.clear()
                    meter.asked.clear()
                    gc.collect()
                    sizes.append(tracemalloc.get_traced_memory()[0])
            finally:
                tracemalloc.stop()
            assert len(harness.engine.runner.statuses()) == 1 + CHANGING
    early, late = sizes[WARM : WARM + MEASURED // 2], sizes[WARM + MEASURED // 2 :]
    grown = (min(late) - min(early)) / (MEASURED // 2)
    assert grown < 500 * CHANGING  # bytes for each reload; the fault took 4,700 for each target
