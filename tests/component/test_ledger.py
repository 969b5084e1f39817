"""The ledger as the daemon sees it: saving never waits, and what was saved is there again."""

import asyncio
import sqlite3
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model.events import Event
from exporter.store import sqlite
from exporter.store.file_ledger import FileLedger
from exporter.store.ledger import Restored
from exporter.store.readings import ReadingCache
from exporter.store.sqlite import Batch, Write
from exporter.store.state_file import TIDY_EVERY, StateFile
from tests.support.ledgers import NOW, PAUSE, a_point, a_reading, oks, opened, restored, until


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def events() -> list[Event]:
    return []


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
    assert (await restored(file, a="f")).histories == {
        "a": {("", "bandwidth"): ((NOW, 1.0), (NOW + 60, 2.0))}
    }


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.integers(0, 3))))
def test_restored_is_live(polls: list[tuple[str, str, int]]) -> None:
    async def live_and_restored(folder: str) -> None:
        kept, again = ReadingCache(), ReadingCache()
        ledger = FileLedger(
            f"{folder}/state.db", emit=lambda event: None, wall=lambda: NOW, pause=PAUSE
        )
        for turn, (target, collector, used) in enumerate(polls):
            at = NOW + turn
            if used == 0:
                kept.unchanged(target, collector, at)
                ledger.renew(target, collector, at)
            else:
                kept.accept(target, a_reading(used, collector), at)
                ledger.save_reading(target, "f", a_reading(used, collector), at)
            if used == 3:
                assert await ledger.settle(10.0)
        assert await ledger.settle(10.0)
        for target, readings in (await ledger.load({"a": "f", "b": "f"})).readings.items():
            for reading, at in readings:
                again.accept(target, reading, at)
        await ledger.close()
        ages = {"x": 3.0, "y": 0.0}
        for now in (NOW, NOW + len(polls), NOW + 100):
            for target in "ab":
                alive = kept.readings(target, now, ages)
                assert again.readings(target, now, ages) == alive
                assert again.next_change(target, now, ages) == kept.next_change(target, now, ages)
                assert [again.successes(target).get(c) for c in ages] == [
                    kept.successes(target).get(c) for c in ages
                ]

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live_and_restored(folder))


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
        gate = held(ledger)
        ledger.save_reading("a", "f", a_reading(1), NOW)
        await asyncio.sleep(5 * PAUSE)  # now the disk is at it
        started = time.perf_counter()
        for used in range(1000):
            ledger.save_reading("a", "f", a_reading(used), NOW)
        assert time.perf_counter() - started < 0.5
        gate.set()
        assert await ledger.settle(10.0)
    assert (await restored(file, a="f")).readings == {"a": ((a_reading(999), NOW),)}


def held(ledger: FileLedger) -> threading.Event:
    """Make the disk wait for a word."""
    gate = threading.Event()
    write = ledger._file.write

    def waiting(batch: Batch) -> int:
        gate.wait(10)
        return write(batch)

    ledger._file.write = waiting  # type: ignore[method-assign]
    return gate


async def test_what_came_due_while_the_disk_was_slow_is_written_without_another_pause(
    file: Path,
) -> None:
    async with opened(file, pause=0.2) as ledger:
        gate = held(ledger)
        ledger.save_schedule({"job": b"1"})
        await until(lambda: ledger._batch)
        ledger.save_schedule({"job": b"2"})
        await until(lambda: ledger._overdue)
        gate.set()
        await until(lambda: ledger._written)
        assert ledger._timer is None
        await until(lambda: ledger._written == 2)
    assert (await restored(file)).schedule == {"job": b"2"}


async def test_closing_waits_for_the_batch_that_is_being_written(file: Path) -> None:
    async with opened(file, pause=60.0) as ledger:
        gate = held(ledger)
        ledger.save_schedule({"job": b"1"})
        async with asyncio.TaskGroup() as group:
            group.create_task(ledger.settle(10.0))
            await asyncio.sleep(0.01)
            ledger.save_schedule({"other": b"2"})
            group.create_task(ledger.close())
            await asyncio.sleep(0.01)
            gate.set()
    assert (await restored(file)).schedule == {"job": b"1", "other": b"2"}


async def test_flushes_at_the_same_time_share_the_writing(file: Path) -> None:
    async with opened(file, pause=60.0) as ledger:
        sizes: list[int] = []
        write = ledger._file.write

        def counted(batch: Batch) -> int:
            sizes.append(len(batch.writes))
            return write(batch)

        ledger._file.write = counted  # type: ignore[method-assign]

        async def save_and_flush(number: int) -> None:
            ledger.save_schedule({f"job {number}": b"1"})
            assert await ledger.settle(10.0)

        async with asyncio.TaskGroup() as group:
            for number in range(50):
                group.create_task(save_and_flush(number))
        assert await ledger.settle(10.0)
        assert sum(sizes) == 50
        assert len(sizes) == 2  # the first alone, then all that had come meanwhile
    assert len((await restored(file)).schedule) == 50


async def test_a_flush_that_is_cancelled_harms_nobody(file: Path) -> None:
    async with opened(file, pause=60.0) as ledger:
        ledger.save_schedule({"job": b"1"})
        async with asyncio.TaskGroup() as group:
            gone = group.create_task(ledger.settle(10.0))
            stays = group.create_task(ledger.settle(10.0))
            await asyncio.sleep(0)
            gone.cancel()
        assert stays.result()
        assert gone.cancelled()


async def test_a_forgotten_target_does_not_come_back(file: Path) -> None:
    async with opened(file) as ledger:
        ledger.save_reading("a", "f", a_reading(), NOW)
        ledger.save_history([a_point(1.0)])
        ledger.forget("a")
    assert (await restored(file, a="f")).readings == {}


async def test_closing_writes_the_rest_and_leaves_one_file(file: Path) -> None:
    async with opened(file, pause=60.0) as ledger:
        ledger.save_reading("a", "f", a_reading(), NOW)
        started = time.perf_counter()
        await ledger.close()
        assert time.perf_counter() - started < 1.0
        ledger.save_reading("a", "f", a_reading(2), NOW)  # too late, and no harm
        assert not await ledger.settle(10.0)
        assert await ledger.load({"a": "f"}) == Restored()
        await ledger.close()
    assert {path.name for path in file.parent.iterdir()} == {"state.db", "state.db.lock"}
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


# ------------------------------------------------------------------------------------ the file


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def test_tidying_takes_one_round_an_hour_also_when_the_clock_goes_back(file: Path) -> None:
    clock = Clock()
    state_file = StateFile(str(file), clock, print)
    save: Write = partial(
        sqlite.save_reading, target="a", fingerprint="f", reading=a_reading(), at=NOW
    )
    ancient = (a_point(1.0, NOW - 36 * 86_400),)

    def left(at: float) -> int:
        """Add an ancient point and tell whether it is still there after the batch."""
        clock.now = at
        state_file.write(Batch({("reading",): save}, ancient, 0))
        return int(
            state_file.ask(lambda c: c.execute("SELECT count(*) FROM history").fetchone())[0]
        )

    assert left(NOW) == 0
    assert left(NOW + 1) == 1
    assert left(NOW + TIDY_EVERY - 1) == 1
    assert left(NOW + TIDY_EVERY) == 0
    assert left(NOW + TIDY_EVERY + 1) == 1
    assert left(NOW - TIDY_EVERY) == 0
    state_file.close()


def test_an_error_that_is_not_the_files_is_handed_on(file: Path) -> None:
    state_file = StateFile(str(file), lambda: NOW, print)
    for _ in range(3):
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            state_file.ask(lambda c: c.execute("SELECT * FROM nowhere"))
    assert state_file.ask(lambda c: c.execute("SELECT 1").fetchone()) == (1,)
    state_file.close()
    # Only the file that was there before could have been at fault.
    assert len(list(file.parent.glob("*.corrupt-*"))) == 1
