"""What a disk can do to the ledger, what is told of it, and that only persistence suffers."""

import asyncio
from pathlib import Path

import pytest

from exporter.model.events import Event
from exporter.store.file_ledger import FileLedger
from exporter.store.ledger import Restored
from exporter.store.sqlite import Batch
from tests.support.ledgers import NOW, PAUSE, a_point, a_reading, oks, opened, restored, until


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def events() -> list[Event]:
    return []


# ------------------------------------------------------------------------------------- trouble


async def pages(ledger: FileLedger, limit: int) -> None:
    """Make the disk as large as `limit` pages of 4 kB."""
    await ledger._loop.run_in_executor(
        ledger._thread,
        lambda: ledger._file.ask(
            lambda c: c.execute(f"PRAGMA max_page_count = {limit}").fetchone()
        ),
    )


async def test_a_full_disk_is_told_once_and_once_when_it_is_over(
    file: Path, events: list[Event]
) -> None:
    async with opened(file, events) as ledger:
        await ledger.load({})
        ledger.save_schedule({"small": b"1"})
        assert await ledger.settle(10.0)
        await pages(ledger, 20)
        ledger.save_schedule({"large": b"x" * 200_000})
        assert not await ledger.settle(10.0)
        for turn in range(20):
            ledger.save_schedule({f"row {turn}": b"1", "latest": bytes([turn])})
            ledger.save_reading("a", "f", a_reading(turn), NOW)
            await asyncio.sleep(PAUSE)
        assert not await ledger.settle(10.0)
        assert oks(events) == [False]
        assert ledger.troubles == 1
        await pages(ledger, 10_000)
        await until(lambda: len(events) == 2)
        assert await ledger.settle(10.0)
    assert oks(events) == [False, True]
    trouble = str(events[0])
    assert f"{file}: database or disk is full. Values stay in memory" in trouble
    found = await restored(file, a="f")
    assert found.schedule["large"] == b"x" * 200_000
    assert found.schedule["latest"] == bytes([19])
    assert len(found.schedule) == 23
    assert found.readings == {"a": ((a_reading(19), NOW),)}


async def test_reading_goes_on_while_the_disk_is_full(file: Path, events: list[Event]) -> None:
    async with opened(file, events) as ledger:
        ledger.save_reading("a", "f", a_reading(), NOW)
        ledger.save_history([a_point(1.0)])
        assert await ledger.settle(10.0)
        await pages(ledger, 20)
        ledger.save_schedule({"large": b"x" * 200_000})
        assert not await ledger.settle(10.0)
        assert (await ledger.load({"a": "f"})).readings == {"a": ((a_reading(), NOW),)}


async def test_a_place_that_cannot_be_written_costs_persistence_alone(
    tmp_path: Path, events: list[Event]
) -> None:
    blocked = tmp_path / "blocked"
    blocked.touch()
    async with opened(blocked / "state.db", events) as ledger:
        assert await ledger.load({"a": "f"}) == Restored()
        ledger.save_reading("a", "f", a_reading(1), NOW)
        assert not await ledger.settle(10.0)
        assert oks(events) == [False]
        blocked.unlink()
        ledger.save_reading("a", "f", a_reading(2), NOW)
        await until(lambda: len(events) == 2)
    assert oks(events) == [False, True]
    assert (await restored(blocked / "state.db", a="f")).readings == {"a": ((a_reading(2), NOW),)}


async def test_tries_become_rarer_while_the_trouble_lasts(
    tmp_path: Path, events: list[Event]
) -> None:
    (tmp_path / "blocked").touch()
    async with opened(tmp_path / "blocked" / "state.db", events, pause=0.001) as ledger:
        ledger.save_schedule({"job": b"1"})
        await until(lambda: ledger._retry_in > 0.1)
        assert oks(events) == [False]
        for _ in range(20):
            ledger._fail(OSError("still"))
        assert ledger._retry_in == 60.0
    assert oks(events) == [False]


async def test_what_is_saved_in_trouble_is_written_by_the_last_try_at_the_end(
    tmp_path: Path, events: list[Event]
) -> None:
    blocked = tmp_path / "blocked"
    blocked.touch()
    async with opened(blocked / "state.db", events, pause=30.0) as ledger:
        ledger.save_schedule({"job": b"1"})
        assert not await ledger.settle(10.0)
        blocked.unlink()
    assert (await restored(blocked / "state.db")).schedule == {"job": b"1"}


async def test_an_error_that_nobody_thought_of_loses_nothing(
    file: Path, events: list[Event]
) -> None:
    async with opened(file, events) as ledger:
        write = ledger._file.write

        def buggy(batch: Batch) -> int:
            ledger._file.write = write  # type: ignore[method-assign]
            raise ZeroDivisionError

        ledger._file.write = buggy  # type: ignore[method-assign]
        ledger.save_schedule({"job": b"1"})
        await until(lambda: len(events) == 2)
    assert oks(events) == [False, True]
    assert "ZeroDivisionError" in str(events[0])
    assert (await restored(file)).schedule == {"job": b"1"}


async def test_records_that_no_disk_can_take_are_counted(file: Path) -> None:
    async with opened(file) as ledger:
        ledger.save_reading("lone \ud800", "f", a_reading(), NOW)
        ledger.save_reading("a", "f", a_reading(), NOW)
        assert await ledger.settle(10.0)
        assert ledger.refused == 1
    assert (await restored(file, a="f")).readings == {"a": ((a_reading(), NOW),)}


# ------------------------------------------------------------------------------- broken files


def write_diary(file: Path) -> None:
    file.write_text("this is my diary\n" * 100)


def overwrite_from(file: Path, start: int) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:start] + b"\xff" * (len(content) - start))


async def test_a_foreign_file_is_set_aside_and_the_ledger_starts_anew(
    file: Path, events: list[Event]
) -> None:
    write_diary(file)
    async with opened(file, events) as ledger:
        assert await ledger.load({"a": "f"}) == Restored()
        ledger.save_reading("a", "f", a_reading(), NOW)
        assert await ledger.settle(10.0)
        assert ledger.troubles == 1
    assert oks(events) == [False, True]
    aside = file.with_name("state.db.corrupt-20251115T120000Z")
    assert f"file is not a database; it was set aside as {aside}" in str(events[0])
    assert aside.read_text().startswith("this is my diary")
    assert (await restored(file, a="f")).readings == {"a": ((a_reading(), NOW),)}


async def test_a_file_that_breaks_while_it_is_open_is_set_aside(
    file: Path, events: list[Event]
) -> None:
    async with opened(file) as ledger:
        ledger.save_schedule({f"row {n}": b"x" * 1000 for n in range(1000)})
    async with opened(file, events) as ledger:
        await pages(ledger, 10_000)  # opens it, without reading much
        overwrite_from(file, 40_000)
        assert await ledger.load({}) == Restored()
        ledger.save_schedule({"job": b"1"})
        assert await ledger.settle(10.0)
    assert oks(events) == [False, True]
    assert (await restored(file)).schedule == {"job": b"1"}
