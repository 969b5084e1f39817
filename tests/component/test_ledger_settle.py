"""What must be on the disk before the next step: asked for, shared, never waited for long."""

import asyncio
import threading
import time
from pathlib import Path

import pytest

from exporter.model.events import Event
from exporter.store.file_ledger import GATHER, FileLedger
from exporter.store.ledger import NoLedger
from exporter.store.sqlite import Batch
from tests.support.ledgers import opened, restored, until


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def counted(ledger: FileLedger) -> list[int]:
    """Return the list that will hold the size of every batch that is written."""
    sizes: list[int] = []
    write = ledger._file.write

    def counting(batch: Batch) -> int:
        sizes.append(len(batch.writes))
        return write(batch)

    ledger._file.write = counting  # type: ignore[method-assign]
    return sizes


async def test_what_was_settled_is_there_after_a_kill(file: Path) -> None:
    async with opened(file, pause=60.0) as ledger:
        ledger.save_schedule({"job": b"1"})
        assert await ledger.settle(5.0)
        assert (await restored(file)).schedule == {"job": b"1"}


async def test_nothing_to_settle_takes_no_time(file: Path) -> None:
    async with opened(file) as ledger:
        assert await ledger.settle(0.0)


async def test_who_settles_waits_with_others(file: Path) -> None:
    async with opened(file, pause=60.0) as ledger:
        sizes = counted(ledger)

        async def poll(number: int) -> None:
            ledger.save_schedule({f"job {number}": b"1"})
            assert await ledger.settle(5.0)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(poll(number))
                await asyncio.sleep(0.002)
        most = 2 + (time.perf_counter() - began) / GATHER
    assert sum(sizes) == 100
    assert len(sizes) <= most


async def test_a_disk_that_hangs_is_not_waited_for(file: Path) -> None:
    gate = threading.Event()
    async with opened(file) as ledger:
        write = ledger._file.write

        def waiting(batch: Batch) -> int:
            gate.wait(10)
            return write(batch)

        ledger._file.write = waiting  # type: ignore[method-assign]
        ledger.save_schedule({"job": b"1"})
        assert not await ledger.settle(0.02)
        gate.set()
        assert await ledger.settle(5.0)


async def test_in_trouble_nobody_waits(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    events: list[Event] = []
    async with opened(tmp_path / "file" / "state.db", events) as ledger:
        ledger.save_schedule({"job": b"1"})
        await until(lambda: events)
        began = time.perf_counter()
        assert not await ledger.settle(5.0)
        assert time.perf_counter() - began < 1.0


async def test_a_ledger_that_closes_lets_them_go(file: Path) -> None:
    async with opened(file, pause=60.0) as ledger:
        ledger.save_schedule({"job": b"1"})
        await ledger.settle(5.0)
        ledger.save_schedule({"job": b"2"})  # so soon that it has to wait for others
        async with asyncio.TaskGroup() as group:
            waits = group.create_task(ledger.settle(5.0))
            await asyncio.sleep(0)
            await ledger.close()
        assert waits.result()
    assert (await restored(file)).schedule == {"job": b"2"}


async def test_without_a_ledger_nothing_is_settled() -> None:
    assert not await NoLedger().settle(1.0)
