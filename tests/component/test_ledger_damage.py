"""Damaged state files: each opens, and what is given back is what was saved or nothing."""

# ruff: noqa: ASYNC240 - a test alone in its loop may read a file
import asyncio
import contextlib
import random
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from exporter.model.events import Event, LedgerNote
from exporter.schedule.budget import Budget
from exporter.schedule.persistence import budget_key, job_key, read_schedule
from exporter.schedule.state import JobState
from exporter.store.ledger import PointRecord, Restored
from tests.support.ledgers import NOW, a_reading, oks, opened

TARGETS = tuple(f"target-{number}" for number in range(12))
PRINTS = dict.fromkeys(TARGETS, "f")
SCHEDULE = {
    **{
        job_key(name, "usage"): msgspec.msgpack.encode(
            JobState(due=NOW + 300, interval=300.0, started=NOW, calls=2.0)
        )
        for name in TARGETS
    },
    budget_key("host#key"): msgspec.msgpack.encode(Budget(until=NOW + 900)),
}
WRONG = ("text", b"\xff\xfe", None, 2**62, -1, 1e308, float("inf"), -1e18, "", b"")
"""Values that no column of the file is meant to hold, or not of this size."""
COLUMNS = (
    ("facts", "value"),
    ("readings", "at"),
    ("readings", "reading"),
    ("readings", "collector"),
    ("readings", "crc"),
    ("schedule", "value"),
    ("schedule", "key"),
    ("schedule", "crc"),
    ("history", "used"),
    ("history", "at"),
    ("targets", "fingerprint"),
    ("targets", "name"),
    ("series", "account"),
    ("series", "resource"),
)


@pytest.fixture
async def good(tmp_path: Path) -> Path:
    """A file as the ledger writes it."""
    file = tmp_path / "good.db"
    async with opened(file) as ledger:
        for number, name in enumerate(TARGETS):
            ledger.save_reading(name, "f", a_reading(float(number)), NOW)
            ledger.save_history(
                PointRecord(name, "f", "", "bandwidth", NOW - 60 * turn, float(turn))
                for turn in range(40, 0, -1)
            )
        ledger.save_schedule(SCHEDULE)
        assert await ledger.settle(10.0)
    return file


async def lived_through(file: Path) -> tuple[Restored, list[Event]]:
    """Start on the file, save, stop; return what was restored, and what was told."""
    events: list[Event] = []
    async with opened(file, events) as ledger:
        found = await ledger.load(PRINTS, since=NOW - 86_400, step=60.0)
        ledger.save_reading("new", "f", a_reading(7.0), NOW + 1)
        ledger.save_schedule({"new": b"1"})
        ledger.save_history(
            PointRecord(name, "f", "", "bandwidth", NOW + 1, 1.0) for name in TARGETS
        )
        assert await ledger.settle(10.0), events
    return found, events


def is_true(found: Restored) -> bool:
    """Tell whether nothing was invented: readings and schedule are as they were saved."""
    readings = all(
        reading == a_reading(float(TARGETS.index(name)))
        for name, all_of_it in found.readings.items()
        for reading, _ in all_of_it
    )
    return readings and all(SCHEDULE.get(key) == row for key, row in found.schedule.items())


@pytest.mark.timeout(240)
async def test_500_flipped_bits_end_no_start_and_invent_nothing(good: Path) -> None:
    rng = random.Random(9)  # noqa: S311 - no secret
    content = good.read_bytes()
    file = good.with_name("state.db")
    aside = skipped = 0
    for turn in range(500):
        spoilt = bytearray(content)
        # The header and the schema are a small part of the file, and the worst one to lose.
        place = rng.randrange(4096) if turn % 3 == 0 else rng.randrange(len(content))
        spoilt[place] ^= 1 << rng.randrange(8)
        file.write_bytes(spoilt)
        found, events = await lived_through(file)
        assert is_true(found), (turn, place)
        aside += oks(events) != []
        skipped += bool(found.skipped)
        for left in good.parent.glob("state.db*"):
            left.unlink()
    assert aside
    assert skipped


async def test_50_values_of_a_wrong_type_cost_their_rows(good: Path) -> None:
    rng = random.Random(9)  # noqa: S311 - no secret
    file = good.with_name("state.db")
    skipped = 0
    for turn in range(50):
        table, column = COLUMNS[turn % len(COLUMNS)]
        shutil.copy(good, file)
        with contextlib.closing(sqlite3.connect(file)) as connection:
            value = rng.choice(WRONG)
            where = f"WHERE rowid = {1 + turn % 12}" if table in ("readings", "targets") else ""
            with connection, contextlib.suppress(sqlite3.IntegrityError):
                connection.execute(f"UPDATE {table} SET {column} = ? {where}", (value,))  # noqa: S608 - constants
        found, events = await lived_through(file)
        assert is_true(found), (table, column, value)
        assert oks(events) == [], (table, column, value)
        if table != "readings" or column == "crc":
            assert len(found.readings) >= len(TARGETS) - 1
        assert found.skipped == 0 or [e for e in events if isinstance(e, LedgerNote)]
        skipped += bool(found.skipped)
        for left in good.parent.glob("state.db*"):
            left.unlink()
    assert skipped > 10


async def changed(file: Path, *statements: str) -> tuple[Restored, list[Event]]:
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    return await lived_through(file)


async def test_one_bad_row_costs_itself_and_is_told(good: Path) -> None:
    found, events = await changed(good, "UPDATE readings SET at = 'then' WHERE target = 3")
    assert sorted(found.readings) == sorted(set(TARGETS) - {"target-2"})
    assert oks(events) == []
    (note,) = [str(event.detail) for event in events if isinstance(event, LedgerNote)]
    assert note.startswith(f"{good}: 1 row is damaged and not restored")


@pytest.mark.parametrize("at", ["1e11", "-5.0", "9e999", "1e300"])
async def test_a_reading_of_a_time_that_cannot_be_does_not_come_back(good: Path, at: str) -> None:
    found, _ = await changed(good, f"UPDATE readings SET at = {at} WHERE target = 1")  # noqa: S608
    assert "target-0" not in found.readings
    assert len(found.readings) == len(TARGETS) - 1


async def test_a_value_that_was_changed_in_place_is_not_published(good: Path) -> None:
    content = good.read_bytes()
    number = msgspec.msgpack.encode(5.0)  # of the reading of target-5
    assert content.count(number) == 1
    good.write_bytes(content.replace(number, msgspec.msgpack.encode(5e200)))
    found, _ = await lived_through(good)
    assert sorted(found.readings) == sorted(set(TARGETS) - {"target-5"})
    assert found.skipped == 1


async def test_text_that_is_no_utf8_costs_no_more_than_its_row(good: Path) -> None:
    found, events = await changed(
        good,
        "UPDATE targets SET name = CAST(x'ff41' AS TEXT) WHERE id = 1",
        "UPDATE schedule SET key = CAST(x'fffe' AS TEXT) WHERE key LIKE '%target-4'",
        "UPDATE series SET resource = CAST(x'c328' AS TEXT) WHERE target = 2",
    )
    assert len(found.readings) == len(TARGETS) - 1
    assert len(found.schedule) == len(SCHEDULE) - 1
    assert "target-1" not in found.histories
    assert oks(events) == []


async def test_what_quick_check_cannot_say_sets_the_file_aside(good: Path) -> None:
    """The name of a damaged index, which is no UTF-8, stands in the message of the check."""
    with contextlib.closing(sqlite3.connect(good)) as connection, connection:
        connection.execute("CREATE TABLE extra (a TEXT)")
        connection.execute("CREATE INDEX extra_index ON extra (a)")
        connection.executemany("INSERT INTO extra VALUES (?)", [("x" * 50,)] * 50)
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'extra_index'"
        ).fetchone()
    content = good.read_bytes().replace(b"extra_index", b"extra_\xff\xfeex")
    spoilt = bytearray(content)
    spoilt[(page - 1) * 4096 + 100 : page * 4096] = bytes(4096 - 100)
    good.write_bytes(spoilt)
    found, events = await lived_through(good)
    assert found.readings == {}
    assert oks(events) == [False, True]
    assert list(good.parent.glob("good.db.corrupt-*"))


@pytest.mark.parametrize("statement", ["DROP TABLE facts", "ALTER TABLE history DROP COLUMN used"])
async def test_a_file_without_a_table_of_ours_is_set_aside(good: Path, statement: str) -> None:
    _, events = await changed(good, statement)
    assert oks(events) == [False, True]
    assert list(good.parent.glob("good.db.corrupt-*"))


@pytest.mark.parametrize("junk", ["-wal", "-shm"])
async def test_a_log_or_an_index_that_was_left_behind_harms_nothing(good: Path, junk: str) -> None:
    good.with_name(good.name + junk).write_bytes(b"left behind by another life" * 500)
    found, events = await lived_through(good)
    assert len(found.readings) == len(TARGETS)
    assert oks(events) == []


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e300, -1e300])
def test_a_row_with_a_number_that_cannot_be_is_good_for_nothing(number: float) -> None:
    rows: dict[str, bytes] = {}
    for field in ("due", "started", "calls", "period_end"):
        state = {"due": NOW, "interval": 300.0, field: number}
        rows[job_key(field, "b")] = msgspec.msgpack.encode(state)
    streak = {"reason": "auth", "detail": "", "since": number, "failures": 1, "alike": 1}
    failing = {"due": NOW, "interval": 300.0, "streak": streak}
    rows[job_key("streak", "b")] = msgspec.msgpack.encode(failing)
    rows[budget_key("x")] = msgspec.msgpack.encode({"tokens": number})
    window = {"limit": None, "remaining": number, "reset": None, "seen_at": NOW}
    rows[budget_key("y")] = msgspec.msgpack.encode({"window": window})
    snapshot, useless = read_schedule(rows, NOW)
    assert snapshot.states == {}
    assert snapshot.budgets == {}
    assert set(useless) == set(rows)


async def test_a_bug_of_ours_sets_one_file_aside_and_not_one_a_try(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def buggy(*_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("exporter.store.sqlite.write", buggy)
    events: list[Event] = []
    async with opened(good, events) as ledger:
        for turn in range(5):
            ledger.save_schedule({"job": bytes([turn])})
            await ledger.settle(10.0)
            await asyncio.sleep(0.05)
    assert len(list(good.parent.glob("good.db.corrupt-*"))) <= 1


@pytest.mark.parametrize("name", ["what?.db", "a#b.db", "a%20b.db", "file:x.db", "é\udcff.db"])
async def test_any_name_is_a_name(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    async with opened(file) as ledger:
        ledger.save_schedule({"job": b"1"})
        assert await ledger.settle(10.0)
    assert file.exists()
    async with opened(file) as ledger:
        assert (await ledger.load({})).schedule == {"job": b"1"}


def circle(folder: Path) -> Path:
    (folder / "a").symlink_to(folder / "b")
    (folder / "b").symlink_to(folder / "a")
    return folder / "a" / "state.db"


def in_a_file(folder: Path) -> Path:
    (folder / "file").touch()
    return folder / "file" / "state.db"


def a_folder(folder: Path) -> Path:
    (folder / "state.db").mkdir()
    return folder / "state.db"


def log_is_a_folder(folder: Path) -> Path:
    (folder / "state.db-wal").mkdir()
    return folder / "state.db"


@pytest.mark.parametrize("place", [circle, in_a_file, a_folder, log_is_a_folder])
async def test_a_place_that_cannot_be_used_costs_persistence_alone(
    tmp_path: Path, place: Callable[[Path], Path]
) -> None:
    file = place(tmp_path)
    events: list[Event] = []
    async with opened(file, events) as ledger:
        assert await ledger.load({"a": "f"}) == Restored()
        ledger.save_schedule({"job": b"1"})
        assert not await ledger.settle(10.0)
    assert oks(events) == [False]


async def test_a_link_to_the_file_is_followed(tmp_path: Path) -> None:
    real, link = tmp_path / "volume" / "real.db", tmp_path / "state.db"
    real.parent.mkdir()
    real.write_text("no database" * 100)
    link.symlink_to(real)
    events: list[Event] = []
    async with opened(link, events) as ledger:
        ledger.save_schedule({"job": b"1"})
        assert await ledger.settle(10.0)
    assert link.is_symlink()
    names: Sequence[str] = [path.name for path in real.parent.glob("*.corrupt-*")]
    assert names == ["real.db.corrupt-20251115T120000Z"]
