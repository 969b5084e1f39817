"""The file of the ledger: created, migrated, refused, set aside."""

import re
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.store.sqlite import APPLICATION_ID, MIGRATIONS, transaction
from exporter.store.state_file import open_database, set_aside

NOW = 1_763_208_000.0
STAMP = "20251115T120000Z"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_a_new_file_is_for_its_owner_alone_with_all_that_belongs_to_it(file: Path) -> None:
    connection, notice = open_database(str(file), NOW)
    with transaction(connection):
        connection.execute("INSERT INTO schedule VALUES ('a', 'b', NULL)")
    assert notice == ""
    found = {path.name: mode(path) for path in file.parent.iterdir()}
    assert found == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}
    connection.close()
    assert [path.name for path in file.parent.iterdir()] == ["state.db"]


def test_a_file_that_everybody_could_read_is_closed_to_others(file: Path) -> None:
    file.touch(0o644)
    open_database(str(file), NOW)[0].close()
    assert mode(file) == 0o600


def test_missing_folders_are_made(tmp_path: Path) -> None:
    file = tmp_path / "var" / "lib" / "state.db"
    open_database(str(file), NOW)[0].close()
    assert mode(file.parent) == 0o700


def test_every_commit_is_synced_in_wal_mode(file: Path) -> None:
    connection, _ = open_database(str(file), NOW)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
    connection.close()


def test_opening_again_finds_what_was_there(file: Path) -> None:
    connection, _ = open_database(str(file), NOW)
    connection.execute("INSERT INTO schedule VALUES ('a', 'b', NULL)")
    connection.close()
    connection, notice = open_database(str(file), NOW)
    assert connection.execute("SELECT * FROM schedule").fetchall() == [("a", "b", None)]
    assert notice == ""
    connection.close()


def test_an_older_schema_is_brought_up_to_date_with_its_rows(file: Path) -> None:
    connection, _ = open_database(str(file), NOW)
    connection.execute("INSERT INTO schedule VALUES ('a', 'b', NULL)")
    connection.close()
    newer = (*MIGRATIONS, "ALTER TABLE schedule ADD COLUMN shard INTEGER DEFAULT 7")
    connection, notice = open_database(str(file), NOW, newer)
    assert connection.execute("SELECT * FROM schedule").fetchall() == [("a", "b", None, 7)]
    assert connection.execute("PRAGMA user_version").fetchone() == (len(newer),)
    assert notice == ""
    connection.close()


def test_a_migration_that_fails_changes_nothing(file: Path) -> None:
    open_database(str(file), NOW)[0].close()
    broken = (*MIGRATIONS, "CREATE TABLE added (x); CREATE TABLE schedule (y)")
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        open_database(str(file), NOW, broken)
    connection, notice = open_database(str(file), NOW)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    assert "added" not in tables
    assert notice == ""
    connection.close()


def garbage(file: Path) -> None:
    file.write_bytes(b"state: {a: 1}\n" * 1000)


def short_garbage(file: Path) -> None:
    file.write_bytes(b"no database")


def damaged(file: Path) -> None:
    connection, _ = open_database(str(file), NOW)
    with transaction(connection):
        for n in range(2000):
            connection.execute("INSERT INTO schedule VALUES (?, ?, NULL)", (f"key-{n}", b"x" * 100))
    connection.close()
    content = bytearray(file.read_bytes())
    content[20_000:60_000] = b"\xff" * 40_000
    file.write_bytes(content)


def truncated(file: Path) -> None:
    damaged(file)
    file.write_bytes(file.read_bytes()[:30_000])


def foreign(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()


def newer(file: Path) -> None:
    connection, _ = open_database(str(file), NOW)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (garbage, "file is not a database"),
        (short_garbage, "file is not a database"),
        (damaged, "database is damaged"),
        (truncated, "malformed"),
        (foreign, "it is the database of another program"),
        (newer, r"written by a newer version \(schema 99; this one knows 2\)"),
    ],
)
def test_a_file_that_cannot_be_used_is_set_aside(
    file: Path, spoil: Callable[[Path], None], why: str
) -> None:
    spoil(file)
    content = file.read_bytes()
    connection, notice = open_database(str(file), NOW)
    aside = file.with_name(f"state.db.corrupt-{STAMP}")
    assert re.fullmatch(rf".*{why}.*; it was set aside as {re.escape(str(aside))}", notice)
    assert aside.read_bytes() == content
    assert connection.execute("SELECT count(*) FROM readings").fetchone() == (0,)
    connection.close()


def test_files_set_aside_in_the_same_second_do_not_replace_each_other(file: Path) -> None:
    for _ in range(3):
        garbage(file)
        open_database(str(file), NOW)[0].close()
    assert sorted(path.name for path in file.parent.iterdir()) == [
        "state.db",
        f"state.db.corrupt-{STAMP}",
        f"state.db.corrupt-{STAMP}-2",
        f"state.db.corrupt-{STAMP}-3",
    ]


def test_what_only_the_write_ahead_log_held_goes_with_the_file_that_is_set_aside(
    file: Path,
) -> None:
    living, _ = open_database(str(file.with_name("other.db")), NOW)
    living.execute("INSERT INTO schedule VALUES ('a', 'b', NULL)")
    living.execute("PRAGMA user_version = 99")
    for suffix in ("", "-wal"):  # as a kill would leave them
        file.with_name(f"state.db{suffix}").write_bytes(
            file.with_name(f"other.db{suffix}").read_bytes()
        )
    living.close()
    open_database(str(file), NOW)[0].close()
    aside = sqlite3.connect(file.with_name(f"state.db.corrupt-{STAMP}"))
    assert aside.execute("SELECT * FROM schedule").fetchall() == [("a", "b", None)]
    aside.close()


def test_a_log_that_sqlite_left_behind_is_moved_too(file: Path) -> None:
    garbage(file)
    file.with_name("state.db-wal").write_bytes(b"log")
    aside = set_aside(file, NOW)
    assert [path.name for path in sorted(file.parent.iterdir())] == [
        aside.name,
        f"{aside.name}-wal",
    ]


def test_a_folder_in_the_place_of_the_file_is_left_alone(file: Path) -> None:
    file.mkdir(0o755)
    with pytest.raises(OSError, match="no regular file"):
        open_database(str(file), NOW)
    assert mode(file) == 0o755


def test_a_path_below_a_file_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"exists|Not a directory"):
        open_database(str(tmp_path / "file" / "state.db"), NOW)


def test_a_transaction_is_all_or_nothing(file: Path) -> None:
    connection, _ = open_database(str(file), NOW)

    def half_of_it() -> None:
        with transaction(connection):
            connection.execute("INSERT INTO schedule VALUES ('a', 'b', NULL)")
            connection.execute("INSERT INTO schedule VALUES ('c', NULL, NULL)")

    with pytest.raises(sqlite3.IntegrityError):
        half_of_it()
    assert connection.execute("SELECT count(*) FROM schedule").fetchone() == (0,)
    assert not connection.in_transaction
    connection.close()


def test_the_header_says_whose_file_it_is(file: Path) -> None:
    open_database(str(file), NOW)[0].close()
    assert file.read_bytes()[68:72] == APPLICATION_ID.to_bytes(4, "big") == b"usag"
