"""The ledger as the daemon sees it: saving never waits, nothing is lost but in trouble."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.kernel.units import Kind
from exporter.model.event import Event, LedgerTrouble
from exporter.model.reading import Reading, Usage
from exporter.store.board import Board
from exporter.store.ledger import Ledger
from exporter.store.ledger_file import TIDY_EVERY, LedgerFile
from exporter.store.recall import Restored
from exporter.store.records import PointRecord, ReadingRecord, Record
from exporter.store.waiting import Batch, Key

NOW = 1_763_208_000.0
PAUSE = 0.01


def a_reading(used: float = 1.0, collector: str = "usage") -> Reading:
    usage = Usage(resource="bandwidth", kind=Kind.BYTES, used=used)
    return Reading(collector=collector, at=NOW, usages=(usage,))


def a_point(used: float, at: float = NOW) -> PointRecord:
    return PointRecord("a", "f", "", "bandwidth", at, used)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def events() -> list[Event]:
    return []


@asynccontextmanager
async def opened(
    file: Path | str, events: list[Event] | None = None, *, pause: float = PAUSE
) -> AsyncIterator[Ledger]:
    told = [] if events is None else events
    ledger = Ledger(str(file), emit=told.append, wall=lambda: NOW, pause=pause)
    try:
        yield ledger
    finally:
        await ledger.close()
        assert events is not None or told == []


async def restored(file: Path, **fingerprints: str) -> Restored:
    async with opened(file) as ledger:
        return await ledger.load(fingerprints)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the ledger has no event for each of these
            await asyncio.sleep(0.005)


def oks(events: list[Event]) -> list[bool]:
    return [event.ok for event in events if isinstance(event, LedgerTrouble)]


# ------------------------------------------------------------------------- saving and restoring


async def test_what_was_saved_is_there_after_a_restart(file: Path) -> None:
    async with opened(file) as ledger:
        assert await ledger.load({"a": "f"}) == Restored()
        ledger.save_reading("a", "f", a_reading(), NOW)
        ledger.save_reading("a", "f", a_reading(collector="quotas"), NOW)
        ledger.renew("a", "usage", NOW + 60)
        ledger.save_schedule({"job": b"1", "gone": b"2"})
        ledger.save_schedule({"gone": None})
        ledger.save_history([a_point(1.0), a_point(2.0, NOW + 60)])
    async with opened(file) as ledger:
        found = await ledger.load({"a": "f"})
        assert set(found.readings["a"]) == {
            (a_reading(), NOW + 60),
            (a_reading(collector="quotas"), NOW),
        }
        assert found.schedule == {"job": b"1"}
        assert found.written_at == NOW
        assert await ledger.history("a", "f") == {("", "bandwidth"): ((NOW, 1.0), (NOW + 60, 2.0))}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.integers(0, 3))))
def test_restored_is_live(polls: list[tuple[str, str, int]]) -> None:
    async def live_and_restored() -> None:
        board, again = Board(), Board()
        ledger = Ledger("", emit=lambda event: None, wall=lambda: NOW, pause=PAUSE)
        for turn, (target, collector, used) in enumerate(polls):
            at = NOW + turn
            if used == 0:
                board.unchanged(target, collector, at)
                ledger.renew(target, collector, at)
            else:
                board.accept(target, a_reading(used, collector), at)
                ledger.save_reading(target, "f", a_reading(used, collector), at)
            if used == 3:
                assert await ledger.flush()
        assert await ledger.flush()
        for target, readings in (await ledger.load({"a": "f", "b": "f"})).readings.items():
            for reading, at in readings:
                again.accept(target, reading, at)
        await ledger.close()
        ages = {"x": 3.0, "y": 0.0}
        for now in (NOW, NOW + len(polls), NOW + 100):
            for target in "ab":
                alive = board.readings(target, now, ages)
                assert again.readings(target, now, ages) == alive
                assert again.next_change(target, now, ages) == board.next_change(target, now, ages)
                assert [again.last_success(target, c) for c in ages] == [
                    board.last_success(target, c) for c in ages
                ]

    asyncio.run(live_and_restored())


async def test_records_gather_and_are_written_soon_without_being_asked(file: Path) -> None:
    async with opened(file, pause=0.1) as ledger:
        await ledger.load({})
        for used in range(100):
            ledger.save_reading("a", "f", a_reading(used), NOW)
        assert (await restored(file, a="f")).readings == {}
        await until(lambda: ledger._written)
        assert (await restored(file, a="f")).readings == {"a": ((a_reading(99), NOW),)}


async def test_saving_does_not_wait_for_the_disk(file: Path) -> None:
    async with opened(file) as ledger:
        gate = threading.Event()
        write = ledger._file.write
        ledger._file.write = lambda batch: gate.wait(10) and write(batch)  # type: ignore[method-assign]
        ledger.save_reading("a", "f", a_reading(1), NOW)
        await asyncio.sleep(5 * PAUSE)  # now the disk is at it
        started = time.perf_counter()
        for used in range(1000):
            ledger.save_reading("a", "f", a_reading(used), NOW)
        assert time.perf_counter() - started < 0.5
        gate.set()
        assert await ledger.flush()
    assert (await restored(file, a="f")).readings == {"a": ((a_reading(999), NOW),)}


async def test_flushes_at_the_same_time_share_the_writing(file: Path) -> None:
    async with opened(file, pause=60.0) as ledger:
        sizes: list[int] = []
        write = ledger._file.write

        def counted(batch: Batch) -> int:
            sizes.append(len(batch.records))
            return write(batch)

        ledger._file.write = counted  # type: ignore[method-assign]

        async def save_and_flush(number: int) -> None:
            ledger.save_schedule({f"job {number}": b"1"})
            assert await ledger.flush()

        async with asyncio.TaskGroup() as group:
            for number in range(50):
                group.create_task(save_and_flush(number))
        assert await ledger.flush()
        assert sum(sizes) == 50
        assert len(sizes) == 2  # the first alone, then all that had come meanwhile
    assert len((await restored(file)).schedule) == 50


async def test_a_flush_that_is_cancelled_harms_nobody(file: Path) -> None:
    async with opened(file, pause=60.0) as ledger:
        ledger.save_schedule({"job": b"1"})
        async with asyncio.TaskGroup() as group:
            gone = group.create_task(ledger.flush())
            stays = group.create_task(ledger.flush())
            await asyncio.sleep(0)
            gone.cancel()
        assert stays.result()
        assert gone.cancelled()


async def test_history_holds_what_was_saved_just_before(file: Path) -> None:
    async with opened(file, pause=60.0) as ledger:
        ledger.save_reading("a", "f", a_reading(), NOW)
        ledger.save_history([a_point(1.0)])
        assert await ledger.history("a", "f") == {("", "bandwidth"): ((NOW, 1.0),)}
        assert await ledger.history("a", "other") == {}


async def test_a_forgotten_target_does_not_come_back(file: Path) -> None:
    async with opened(file) as ledger:
        ledger.save_reading("a", "f", a_reading(), NOW)
        ledger.save_history([a_point(1.0)])
        ledger.forget("a")
    assert (await restored(file, a="f")).readings == {}


async def test_without_a_file_the_process_remembers() -> None:
    async with opened("") as ledger:
        ledger.save_reading("a", "f", a_reading(), NOW)
        ledger.save_history([a_point(1.0)])
        assert await ledger.history("a", "f") == {("", "bandwidth"): ((NOW, 1.0),)}


async def test_closing_writes_the_rest_and_leaves_one_file(file: Path) -> None:
    async with opened(file, pause=60.0) as ledger:
        ledger.save_reading("a", "f", a_reading(), NOW)
        started = time.perf_counter()
        await ledger.close()
        assert time.perf_counter() - started < 1.0
        ledger.save_reading("a", "f", a_reading(2), NOW)  # too late, and no harm
        assert not await ledger.flush()
        assert await ledger.load({"a": "f"}) == Restored()
        await ledger.close()
    assert [path.name for path in file.parent.iterdir()] == ["state.db"]
    assert (await restored(file, a="f")).readings == {"a": ((a_reading(), NOW),)}


async def test_a_disk_that_never_answers_delays_the_end_by_a_second_at_most(
    file: Path, events: list[Event]
) -> None:
    gate = threading.Event()
    async with opened(file, events) as ledger:
        ledger._file.write = lambda batch: int(gate.wait(10))  # type: ignore[method-assign]
        ledger.save_reading("a", "f", a_reading(), NOW)
        started = time.perf_counter()
        await ledger.close()
        assert time.perf_counter() - started < 2.0
        gate.set()
    assert oks(events) == [False]
    assert "the disk does not answer" in str(events[0])


# ------------------------------------------------------------------------------------- trouble


async def pages(ledger: Ledger, limit: int) -> None:
    """Make the disk as large as `limit` pages of 4 kB."""
    await ledger._ask(lambda c: c.execute(f"PRAGMA max_page_count = {limit}").fetchone(), None)


async def test_a_full_disk_is_told_once_and_once_when_it_is_over(
    file: Path, events: list[Event]
) -> None:
    async with opened(file, events) as ledger:
        await ledger.load({})
        ledger.save_schedule({"small": b"1"})
        assert await ledger.flush()
        await pages(ledger, 20)
        ledger.save_schedule({"large": b"x" * 200_000})
        assert not await ledger.flush()
        for turn in range(20):
            ledger.save_schedule({f"row {turn}": b"1", "latest": bytes([turn])})
            ledger.save_reading("a", "f", a_reading(turn), NOW)
            await asyncio.sleep(PAUSE)
        assert not await ledger.flush()
        assert oks(events) == [False]
        assert ledger.troubles == 1
        await pages(ledger, 10_000)
        await until(lambda: len(events) == 2)
        assert await ledger.flush()
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
        assert await ledger.flush()
        await pages(ledger, 20)
        ledger.save_schedule({"large": b"x" * 200_000})
        assert not await ledger.flush()
        assert await ledger.history("a", "f") == {("", "bandwidth"): ((NOW, 1.0),)}


async def test_a_place_that_cannot_be_written_costs_persistence_alone(
    tmp_path: Path, events: list[Event]
) -> None:
    blocked = tmp_path / "blocked"
    blocked.touch()
    async with opened(blocked / "state.db", events) as ledger:
        assert await ledger.load({"a": "f"}) == Restored()
        ledger.save_reading("a", "f", a_reading(1), NOW)
        assert not await ledger.flush()
        assert await ledger.history("a", "f") == {}
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
        assert not await ledger.flush()
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
        assert await ledger.flush()
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
        assert await ledger.flush()
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
        assert await ledger.flush()
    assert oks(events) == [False, True]
    assert (await restored(file)).schedule == {"job": b"1"}


# ------------------------------------------------------------------------------------ the file


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def test_tidying_takes_one_round_an_hour_also_when_the_clock_goes_back() -> None:
    clock = Clock()
    ledger_file = LedgerFile("", clock, print)
    reading: dict[Key, Record] = {("reading",): ReadingRecord("a", "f", a_reading(), NOW)}
    ancient = (a_point(1.0, NOW - 36 * 86_400),)

    def left(at: float) -> int:
        """Add an ancient point and tell whether it is still there after the batch."""
        clock.now = at
        ledger_file.write(Batch(reading, ancient, 0))
        return int(
            ledger_file.ask(lambda c: c.execute("SELECT count(*) FROM history").fetchone())[0]
        )

    assert left(NOW) == 0
    assert left(NOW + 1) == 1
    assert left(NOW + TIDY_EVERY - 1) == 1
    assert left(NOW + TIDY_EVERY) == 0
    assert left(NOW + TIDY_EVERY + 1) == 1
    assert left(NOW - TIDY_EVERY) == 0
    ledger_file.close()


def test_an_error_that_is_not_the_files_is_handed_on() -> None:
    ledger_file = LedgerFile("", lambda: NOW, print)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        ledger_file.ask(lambda c: c.execute("SELECT * FROM nowhere"))
    assert ledger_file.is_open
    ledger_file.close()
    assert not ledger_file.is_open
