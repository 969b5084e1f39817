"""What the store costs: one table, printed and never asserted.

Two shapes of 100,000 series: 100 targets of 1,000 each, and 10,000 of 10. Times are the best of
several runs; memory is what the allocator was asked for (tracemalloc), besides the lines' text.
"""

import asyncio
import gc
import importlib
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from exporter.kernel.cycles import Span
from exporter.kernel.units import Kind
from exporter.model.reading import Known, Reading, Usage
from exporter.model.sample import Sample
from exporter.store import deflate as deflate_module
from exporter.store.deflate import assemble_gzip, deflate
from exporter.store.exposition import Format, PrefixCache, render
from exporter.store.ledger import Ledger
from exporter.store.records import PointRecord
from exporter.store.shelf import Shelf

SERIES = 100_000
FAMILIES = (
    "usage_bytes",
    "usage_limit_bytes",
    "usage_projected_bytes",
    "usage_ratio",
    "usage_percent",
    "usage_projected_ratio",
    "usage_period_start_timestamp_seconds",
    "usage_period_end_timestamp_seconds",
    "usage_exhaustion_timestamp_seconds",
    "usage_data_timestamp_seconds",
)
SHAPES = {"100 x 1,000": 1_000, "10,000 x 10": 10}


def the_samples(target: int, count: int, turn: int = 0) -> list[Sample]:
    account = f"account-{target:05}"
    found = []
    for resource in range(count // len(FAMILIES)):
        labels = ("tpstreams", account, f"resource_{resource:03}")
        for position, family in enumerate(FAMILIES):
            value = float((resource * 7919 + position * 104_729 + target + turn) % 1_000_003)
            value *= 1.0 if position < 3 else 0.37
            found.append(Sample(family=family, labels=labels, value=value))
    return found


def filled(count: int) -> tuple[Shelf, list[PrefixCache]]:
    shelf, caches = Shelf(), []
    for target in range(SERIES // count):
        caches.append(PrefixCache())
        shelf.put(str(target), caches[-1].render(the_samples(target, count)))
    return shelf, caches


def best(work: Callable[[], object], rounds: int = 10) -> float:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


@pytest.fixture(scope="module")
def table() -> Iterator[list[tuple[str, str, str]]]:
    rows: list[tuple[str, str, str]] = []
    yield rows
    print()  # noqa: T201 - the table is the point
    for row in rows:
        print("{:34} {:14} {:>14}".format(*row))  # noqa: T201 - the table is the point


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_render(shape: str, table: list[tuple[str, str, str]]) -> None:
    count = SHAPES[shape]
    turns = [the_samples(1, count, turn) for turn in range(2)]
    cache = PrefixCache()
    rounds = 20_000 // count
    fresh = best(lambda: render(turns[0]), rounds)
    cached = best(lambda: [cache.render(turn) for turn in turns], rounds) / 2
    table.append(("render, fresh", shape, f"{fresh / count * 1e9:.0f} ns/series"))
    table.append(("render, only values new", shape, f"{cached / count * 1e9:.0f} ns/series"))


def test_join(shape: str, table: list[tuple[str, str, str]]) -> None:
    shelf, caches = filled(SHAPES[shape])
    turn = iter(range(1, 1_000))

    def change() -> None:
        shelf.put("1", caches[1].render(the_samples(1, SHAPES[shape], next(turn))))

    def change_and_join() -> None:
        change()
        shelf.body()

    both, change_only = best(change_and_join), best(change)
    size = len(shelf.body())
    table.append(("body", shape, f"{size / 1e6:.1f} MB"))
    table.append(("join after one change", shape, f"{(both - change_only) * 1e3:.2f} ms"))
    table.append(("body, nothing changed", shape, f"{best(shelf.body) * 1e9:.0f} ns"))
    table.append(("probe of one target", shape, f"{best(lambda: shelf.probe('1')) * 1e6:.1f} us"))


@pytest.mark.parametrize("name", ["isal.isal_zlib", "zlib"])
def test_gzip(
    shape: str, name: str, table: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine: ModuleType = importlib.import_module(name)
    monkeypatch.setattr(deflate_module, "_engine", lambda: engine)
    shelf, _ = filled(SHAPES[shape])
    parts = shelf._parts(Format.TEXT)
    piece = deflate(parts)
    tail = b'usage_exporter_polls_total{provider="tpstreams"} 12\n' * 200
    cost = best(lambda: deflate(parts), 3)
    appended = best(lambda: assemble_gzip(piece.segment, piece.crc, piece.size, tail))
    table.append((f"gzip by {name}", shape, f"{cost * 1e3:.1f} ms"))
    table.append((f"size by {name}", shape, f"{len(piece.segment) / 1e3:.0f} kB"))
    table.append((f"scrape: append 10 kB by {name}", shape, f"{appended * 1e3:.2f} ms"))


def test_memory(shape: str, table: list[tuple[str, str, str]]) -> None:
    gc.collect()
    tracemalloc.start()
    try:
        shelf, caches = filled(SHAPES[shape])
        gc.collect()
        text = sum(len(part) for part in shelf._parts(Format.TEXT))
        kept = tracemalloc.get_traced_memory()[0] - text
        shelf.body()
        joined = tracemalloc.get_traced_memory()[0] - text
    finally:
        tracemalloc.stop()
    assert shelf.series() == SERIES
    assert len(caches) == SERIES // SHAPES[shape]
    table.append(("text", shape, f"{text / SERIES:.0f} B/series"))
    table.append(("kept besides the text", shape, f"{kept / SERIES:.0f} B/series"))
    table.append(("the same with the joined body", shape, f"{joined / SERIES:.0f} B/series"))


async def test_the_longest_hold_of_the_loop(shape: str, table: list[tuple[str, str, str]]) -> None:
    shelf, caches = filled(SHAPES[shape])
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            started = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - started)

    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(tick())
        for turn in range(1, 20):
            shelf.put("1", caches[1].render(the_samples(1, SHAPES[shape], turn)))
            await shelf.gzip()
            await shelf.text()
        ticking.cancel()
    shelf.close()
    table.append(("longest hold of the loop", shape, f"{longest * 1e3:.1f} ms"))


POLLS = 10_000
RESOURCES = 8
NOW = 1_763_208_000.0


def a_reading(at: float) -> Reading:
    usages = tuple(
        Usage(
            resource=f"resource_{n}",
            kind=Kind.BYTES,
            unit="GB",
            used=at * n,
            limit=Known(1e12),
            period=Span(NOW, NOW + 86_400.0 * 30),
        )
        for n in range(RESOURCES)
    )
    return Reading(collector="usage", at=at, usages=usages)


def save_all(ledger: Ledger, turn: float, readings: list[Reading]) -> None:
    for poll, reading in enumerate(readings):
        name = f"account-{poll:05}"
        ledger.save_reading(name, "fingerprint", reading, turn)
        ledger.save_schedule({f"job {name}": bytes(80)})
        ledger.save_history(
            PointRecord(name, "fingerprint", name, f"resource_{n}", turn, turn * n)
            for n in range(RESOURCES)
        )


async def timed(work: Awaitable[object]) -> float:
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


async def test_ledger(tmp_path: Path, table: list[tuple[str, str, str]]) -> None:
    path = tmp_path / "state.db"
    rows = [("shape", f"{POLLS:,} polls", f"{RESOURCES} resources")]
    ledger = Ledger(str(path), emit=print, wall=lambda: NOW)
    await ledger.load({})
    for turn in range(2):
        readings = [a_reading(NOW + turn * 300) for _ in range(POLLS)]
        started = time.perf_counter()
        save_all(ledger, NOW + turn * 300, readings)
        rows.append(("save, on the loop", f"turn {turn}", per_poll(time.perf_counter() - started)))
        written = await timed(ledger.flush())
        rows.append(("write, in the thread", f"turn {turn}", per_poll(written)))
    one = await timed(ledger.history("account-00007", "fingerprint"))
    rows.append(("history of one target", "", f"{one * 1e3:.2f} ms"))
    ledger.save_schedule({"job": b"1"})
    rows.append(("one small batch, synced", "", f"{await timed(ledger.flush()) * 1e3:.2f} ms"))
    await ledger.close()
    rows.append(("file", "", f"{path.stat().st_size / POLLS:.0f} B/poll"))
    ledger = Ledger(str(path), emit=print, wall=lambda: NOW)
    prints = {f"account-{poll:05}": "fingerprint" for poll in range(POLLS)}
    load = await timed(ledger.load(prints, since=0.0, step=6 * 3600.0))
    rows.append(("load with histories", "", per_poll(load)))
    await ledger.close()
    table.extend(rows)


def per_poll(seconds: float) -> str:
    return f"{seconds / POLLS * 1e6:.1f} us/poll"
