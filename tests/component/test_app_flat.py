"""Thousands of polls of which half fail, with scrapes and reloads: nothing grows.

The schedule alone has its hundred thousand in `test_runner_flat`. Here is everything else: fetch,
mapping, cache, ledger, log, self-metrics; and, over real sockets, the descriptors.
"""

import asyncio
import gc
import io
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from exporter.app.observability import Observability
from exporter.app.options import Options
from exporter.demo.faults import FAULTS
from exporter.demo.server import Script, VendorRequest, json_response
from exporter.demo.server import VendorResponse as Reply
from exporter.fetch.http import HttpRequest, HttpResponse
from exporter.kernel.exposition_text import Dialect
from exporter.kernel.override import override
from exporter.kernel.redactor import Redactor
from exporter.model.events import Event, PollFinished
from exporter.model.outcome import Failure, Reason
from exporter.model.target import Plan
from tests.support.adjustable_clock import adjustable_clock
from tests.support.engine_harness import plan_of, running
from tests.support.metered_vendor import DEFINITION, MeteredVendor, rows, target, write_config
from tests.support.schedule import EPOCH
from tests.support.simulation import Clock, Process, plan_from, reply, simulated
from tests.support.vendor import NOW

POLLS = 12_000
TARGETS = 40
SWIFT = (
    "cut_short",
    "reset_midway",
    "close_at_once",
    "bad_gzip",
    "500",
    "html_at_200",
    "next_is_itself",
)


class Size(NamedTuple):
    """What may grow."""

    blocks: int
    tasks: int
    bytes: int  # of the exposition


class Sink(io.StringIO):
    """Forgets what it is told."""

    @override
    def write(self, text: str) -> int:
        return len(text)


class Life:
    """An engine with all its observers, for days."""

    def __init__(self, folder: Path) -> None:
        (folder / "meter.yaml").write_text(DEFINITION)
        self.folder = folder
        self.clock = Clock()
        self.polls = 0
        self.requests = 0
        self.failures = 0
        self.sizes: list[Size] = []

    async def vendor(self, wire: HttpRequest) -> HttpResponse | Failure:
        self.requests += 1
        turn = self.requests
        await asyncio.sleep(0.05)
        if turn % 2:
            return self.break_(wire, turn // 2)
        names = ("traffic", f"disk{turn // 500 % 7}")  # some vanish, some are new
        period = {"start": EPOCH - 1e6, "end": EPOCH + 1e7}
        found = [{"name": name, "used": turn, "limit": 1e9, **period} for name in names]
        return reply(wire, {"rows": found}, X_RateLimit_Limit="5000", X_RateLimit_Remaining="4000")

    def break_(self, wire: HttpRequest, turn: int) -> HttpResponse | Failure:
        match turn % 6:
            case 0:
                return reply(wire, {"detail": f"no, for the {turn}th time"}, status=500)
            case 1:
                return reply(wire, b"<html>Sign in</html>")
            case 2:
                return reply(wire, {"lines": []})
            case 3:
                return reply(wire, {}, status=429, Retry_After="2")
            case 4:
                return Failure(reason=Reason.CONNECT, detail="the connection was refused")
            case _:
                return reply(wire, b'{"rows": [')

    def plan(self, generation: int) -> Any:
        def one(number: int) -> dict[str, Any]:
            return {
                "name": f"t{number}",
                "provider": "meter",
                "base_url": "https://meter.example",
                "credentials": {"token": f"token-{number // 2}"},
                "poll_interval": "1m",
                "labels": {"generation": str(generation)},
            }

        first = generation * 2
        document = {
            "state": {"file": "state.db"},
            "providers": {"files": ["meter.yaml"]},
            "targets": [one(number) for number in range(first, first + TARGETS)],
        }
        return plan_from(self.folder, document)

    async def live(self) -> None:
        clock = asyncio.get_running_loop().time
        options = Options(listen=())
        telling = Observability(
            options, stream=Sink(), wall=self.clock, clock=clock, redactor=Redactor()
        )
        tell = telling.emit

        def emit(event: Event) -> None:
            if isinstance(event, PollFinished):
                self.polls += 1
                self.failures += isinstance(event.poll.outcome, Failure)
            tell(event)

        process = Process(self.plan(0), self.vendor, wall=self.clock, emit=emit)
        telling.attach(process.engine.runner, process.engine.exposition)
        telling.track(process.engine.plan.targets.values())
        await process.start()
        generation = 0
        while self.polls < POLLS:
            await asyncio.sleep(1800.0)
            generation += 1
            process.engine.apply(self.plan(generation))
            telling.track(process.engine.plan.targets.values())
            text = process.engine.exposition.body() + telling.metrics.render(Dialect.TEXT)
            gc.collect()
            tasks = len(asyncio.all_tasks())
            self.sizes.append(Size(sys.getallocatedblocks(), tasks, len(text)))
        await process.stop()


@pytest.mark.slow
def test_nothing_grows_over_twelve_thousand_polls_of_which_half_fail(tmp_path: Path) -> None:
    life = Life(tmp_path)
    simulated(life.live())
    quarter = len(life.sizes) // 4
    early = Size(*map(max, zip(*life.sizes[quarter : 2 * quarter], strict=True)))
    late = Size(*map(max, zip(*life.sizes[-quarter:], strict=True)))
    assert 0.3 < life.failures / life.polls < 0.7
    assert late.blocks < 1.03 * early.blocks
    assert late.tasks <= 3
    assert late.bytes < 1.1 * early.bytes
    assert (tmp_path / "state.db").stat().st_size < 4_000_000


@pytest.mark.slow
@adjustable_clock
async def test_no_descriptor_is_left_over_by_connections_that_break(tmp_path: Path) -> None:
    turns = [0]

    def usage(asked: VendorRequest) -> Reply | Script:
        turns[0] += 1
        if turns[0] % 2:
            return rows()
        fault = FAULTS[SWIFT[turns[0] // 2 % len(SWIFT)]]
        return fault(asked, json_response({"rows": []}), NOW)

    meter = MeteredVendor(usage=usage)
    counts: list[int] = []
    async with meter.vendor:
        path = write_config(tmp_path, *(target(meter, f"t{n}") for n in range(8)))
        async with running(plan_of(path)) as harness:
            await harness.first()
            while turns[0] < 600:
                await harness.go(300, step=30)
                counts.append(len(os.listdir("/dev/fd")))  # noqa: PTH208 - only their number counts
    quarter = len(counts) // 4
    assert max(counts[-quarter:]) <= max(counts[quarter : 2 * quarter]) + 1


@pytest.mark.slow
@adjustable_clock
async def test_nothing_grows_over_a_thousand_reloads(tmp_path: Path) -> None:
    meter = MeteredVendor()
    state = {"file": "state.db"}
    meter.accepted.update(f"token-{number}" for number in range(1000))

    def plan(generation: int) -> Plan:
        fresh = {"credentials": {"token": f"token-{generation}"}}
        targets = [target(meter), target(meter, f"t{generation}", **fresh)]
        return plan_of(write_config(tmp_path, *targets, state=state))

    sizes: list[tuple[int, int]] = []
    async with meter.vendor, running(plan(0)) as harness:
        await harness.first()
        for generation in range(1000):
            harness.engine.apply(plan(generation))
            if generation % 10 == 0:
                await harness.go(330, step=330)
            if generation % 50 == 0:
                gc.collect()
                files = len(os.listdir("/dev/fd"))  # noqa: PTH208 - only their number counts
                harness.events.clear()
                meter.asked.clear()
                sizes.append((sys.getallocatedblocks(), files))
    early, late = sizes[5:10], sizes[-5:]
    assert max(blocks for blocks, _ in late) < 1.03 * max(blocks for blocks, _ in early)
    assert max(files for _, files in late) <= max(files for _, files in early) + 1
    assert (tmp_path / "state.db").stat().st_size < 1_000_000
