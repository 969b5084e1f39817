"""What is in the state file: its schema, and how it is written, tidied and read back.

The file is opened in WAL mode, so that a process that dies at any moment leaves a file that opens.
``synchronous=FULL``: each batch (three a second at most) is on the disk when its commit returns, so
that a power cut loses no more than a kill does. NORMAL would save the one sync, which nobody waits
for, and could forget the vendor's "come again tomorrow".

Readings are msgpack of the model's own structs: fields that a version does not know are ignored,
those it misses have defaults. A row that cannot be decoded, whose checksum is wrong or whose time
is impossible costs itself alone: it is skipped and counted. Rows whose fingerprint is not the
target's are another account's, and are not read.

I/O: sqlite3, pathlib.
"""

import contextlib
import math
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import TypeAlias, TypeGuard
from zlib import crc32

import msgspec

from exporter.model.reading import Reading
from exporter.store.ledger import PointRecord, Restored, StoredHistory

APPLICATION_ID = 0x75736167
"""Stands in the file's header ("usag"): a database of another program is not touched."""
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
    CREATE TABLE targets (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        fingerprint TEXT NOT NULL
    );
    CREATE TABLE readings (
        target INTEGER NOT NULL REFERENCES targets ON DELETE CASCADE,
        collector TEXT NOT NULL,
        at REAL NOT NULL,
        reading BLOB NOT NULL,
        PRIMARY KEY (target, collector)
    );
    CREATE TABLE schedule (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE series (
        id INTEGER PRIMARY KEY,
        target INTEGER NOT NULL REFERENCES targets ON DELETE CASCADE,
        account TEXT NOT NULL,
        resource TEXT NOT NULL,
        UNIQUE (target, account, resource)
    );
    CREATE TABLE history (
        series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE,
        at REAL NOT NULL,
        used REAL NOT NULL,
        PRIMARY KEY (series, at)
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE readings ADD COLUMN crc INTEGER;
    ALTER TABLE schedule ADD COLUMN crc INTEGER;
    """,
)
"""Statements that lead from schema version n (the index) to n + 1. Append; never change one."""
_BUSY = 0.5  # seconds to wait for another process at the same file; closing must end within 1 s
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_DISK = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_NOLFS,
    sqlite3.SQLITE_AUTH,
)
"""What the disk, another process or the machine can do; the file is not to blame."""


class BrokenError(Exception):
    """The file is there and is none of ours, or none any more. The message says why."""


class MigrationError(sqlite3.OperationalError):
    """A sound file could not be brought up to date: our bug, which must not cost the file."""


def connect(path: str, migrations: Sequence[str] = MIGRATIONS) -> sqlite3.Connection:
    """Open the database at `path`, check it and bring it to the newest schema.

    Raises BrokenError, or sqlite3.Error or OSError, of which `is_to_blame` says whose fault it is.
    """
    connection = sqlite3.connect(path, timeout=_BUSY, isolation_level=None)
    # A damaged text becomes a name that no target has, not an error that ends the query.
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    try:
        _inspect(connection, path, migrations)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 8388608")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection, migrations)
    except BaseException:
        connection.close()
        raise
    return connection


def _inspect(connection: sqlite3.Connection, path: str, migrations: Sequence[str]) -> None:
    with Path(path).open("rb") as file:
        header = file.read(20)
    # SQLite takes a file of a later format for one that it may only read: for ever.
    if header.startswith(b"SQLite") and not {1, 2}.issuperset(header[18:20]):
        raise BrokenError("the database is damaged (its header names an unknown format)")
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        what = found.splitlines()[-1].encode("ascii", "backslashreplace").decode()
        raise BrokenError(f"the database is damaged ({what})")
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    if tables and owner != APPLICATION_ID:
        raise BrokenError("it is the database of another program")
    version = _version(connection)
    if version > len(migrations):
        raise BrokenError(
            f"it was written by a newer version (schema {version}; this one knows"
            f" {len(migrations)})"
        )
    if (
        version < 0
        or not _columns(connection).items() >= _expected(tuple(migrations[:version])).items()
    ):
        raise BrokenError(f"the database is damaged (its tables are not those of schema {version})")


_Columns = dict[tuple[str, str], tuple[str, int, int]]


def _columns(connection: sqlite3.Connection) -> _Columns:
    """Return type, NOT NULL and place in the key of every column, by table and name."""
    rows = connection.execute(
        'SELECT t.name, c.name, c.type, c."notnull", c.pk'
        " FROM sqlite_schema AS t JOIN pragma_table_info(t.name) AS c WHERE t.type = 'table'"
    )
    return {(table, name): tuple(facts) for table, name, *facts in rows}


@cache
def _expected(migrations: tuple[str, ...]) -> _Columns:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for script in migrations:
            connection.executescript(script)
        return _columns(connection)


def _migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    if _version(connection) == len(migrations):
        return
    with transaction(connection):
        for script in migrations[_version(connection) :]:
            for statement in script.split(";"):
                try:
                    connection.execute(statement)
                except sqlite3.Error as error:
                    if is_broken(error) or not is_to_blame(error):
                        raise
                    raise MigrationError(str(error)) from error
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing: what is executed inside is committed at the end, or undone."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise


def is_broken(error: BaseException) -> bool:
    """Tell whether the file surely is at fault, rather than the disk, another process or us."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BROKEN
    return isinstance(error, BrokenError)


def is_to_blame(error: BaseException) -> bool:
    """Tell whether the file is the likely cause: all that neither disk nor machine can do.

    True of unexpected errors, too: a file that an earlier process wrote and this one cannot
    read would otherwise end every start.
    """
    if isinstance(error, OSError | MemoryError | MigrationError):
        return False
    return getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DISK


HOUR = 3600.0
FINE = 2 * 86_400.0
"""Seconds for which every point of the history is kept; older ones are thinned to one an hour."""
KEPT = 35 * 86_400.0
"""Seconds after which points, and targets that are not polled any more, are deleted."""
LATEST = 253_402_300_800.0
"""The year 10000 in epoch seconds: no time in the file can be later."""
_encode = msgspec.msgpack.Encoder().encode


def checksum(key: str, value: bytes) -> int:
    """Return what shows that a row is as it was written: SQLite looks at pages, not at values.

    `key` is in it, so that a row does not pass for another one.
    """
    return crc32(value, crc32(key.encode()))


Write: TypeAlias = Callable[[sqlite3.Connection], None]
"""One of the functions below with its arguments bound, all but the connection."""


class Batch(msgspec.Struct, frozen=True):
    """What is written in one transaction. `count` is the number of everything put so far."""

    writes: Mapping[tuple[str, ...], Write]
    points: tuple[PointRecord, ...]
    count: int


def write(connection: sqlite3.Connection, batch: Batch, now: float) -> int:
    """Write a batch inside the caller's transaction; return how many writes are impossible."""
    refused = 0
    points: Iterator[Write] = (partial(save_point, point=point) for point in batch.points)
    for one in chain(batch.writes.values(), points):
        try:
            one(connection)
        except (ValueError, TypeError, OverflowError, msgspec.MsgspecError):
            refused += 1  # text that UTF-8 cannot encode: the rest of the batch is not to blame
    connection.execute("INSERT OR REPLACE INTO facts VALUES ('written_at', ?)", (now,))
    return refused


def save_reading(
    connection: sqlite3.Connection, target: str, fingerprint: str, reading: Reading, at: float
) -> None:
    """Save a reading; if the target became another one, all it had is deleted."""
    row = connection.execute(
        "SELECT id, fingerprint FROM targets WHERE name = ?", (target,)
    ).fetchone()
    if row is not None and row[1] == fingerprint:
        number = row[0]
    else:
        forget(connection, target)
        number = connection.execute(
            "INSERT INTO targets (name, fingerprint) VALUES (?, ?)", (target, fingerprint)
        ).lastrowid
    encoded = _encode(reading)
    connection.execute(
        "INSERT INTO readings VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET at = excluded.at, reading = excluded.reading, crc = excluded.crc",
        (
            number,
            reading.collector,
            at,
            encoded,
            checksum(f"{target}/{reading.collector}", encoded),
        ),
    )


def renew(connection: sqlite3.Connection, target: str, collector: str, at: float) -> None:
    """Change the time of a reading, if there is one."""
    connection.execute(
        "UPDATE readings SET at = ? WHERE collector = ?"
        " AND target = (SELECT id FROM targets WHERE name = ?)",
        (at, collector, target),
    )


def save_schedule_row(connection: sqlite3.Connection, key: str, value: bytes | None) -> None:
    """Save a row of the schedule; None deletes it."""
    if value is None:
        connection.execute("DELETE FROM schedule WHERE key = ?", (key,))
    else:
        row = (key, value, checksum(key, value))
        connection.execute("INSERT OR REPLACE INTO schedule VALUES (?, ?, ?)", row)


def forget(connection: sqlite3.Connection, target: str) -> None:
    """Delete a target, its readings and its history."""
    connection.execute("DELETE FROM targets WHERE name = ?", (target,))


def save_point(connection: sqlite3.Connection, point: PointRecord) -> None:
    """Save a point; drop it if its target has no reading yet, or another fingerprint."""
    series = _series(connection, point)
    if series is None:
        return
    last = _last_two(connection, series)
    if last and (not isinstance(last[0][0], float) or last[0][0] >= point.at):
        # Points of a later time are from before the clock was put right; damaged ones that are no
        # numbers stand behind all numbers, and go with them.
        values = (series, point.at)
        connection.execute("DELETE FROM history WHERE series = ? AND at >= ?", values)
        last = _last_two(connection, series)
    if [used for _, used in last] == [point.used, point.used]:
        # Between two equal points the line is level: the later one moves on.
        connection.execute(
            "UPDATE history SET at = ? WHERE series = ? AND at = ?", (point.at, series, last[0][0])
        )
    else:
        connection.execute("INSERT INTO history VALUES (?, ?, ?)", (series, point.at, point.used))


def _last_two(connection: sqlite3.Connection, series: int) -> list[tuple[object, object]]:
    return connection.execute(
        "SELECT at, used FROM history WHERE series = ? ORDER BY at DESC LIMIT 2", (series,)
    ).fetchall()


def _series(connection: sqlite3.Connection, point: PointRecord) -> int | None:
    of_target = (point.target, point.fingerprint)
    in_target = (point.account, point.resource)
    found = connection.execute(
        "SELECT series.id FROM targets JOIN series ON series.target = targets.id"
        " WHERE name = ? AND fingerprint = ? AND account = ? AND resource = ?",
        of_target + in_target,
    ).fetchone()
    if found is not None:
        return int(found[0])
    added = connection.execute(
        "INSERT INTO series (target, account, resource)"
        " SELECT id, ?, ? FROM targets WHERE name = ? AND fingerprint = ?",
        in_target + of_target,
    )
    return added.lastrowid if added.rowcount else None


def tidy(connection: sqlite3.Connection, now: float, after: int, count: int) -> int | None:
    """Prune and thin the history of the next `count` series after the id `after`.

    Inside the caller's transaction. Returns where to go on, None when all have been seen.
    """
    ids = connection.execute(
        "SELECT id FROM series WHERE id > ? ORDER BY id LIMIT ?", (after, count)
    ).fetchall()
    connection.executemany(
        "DELETE FROM history WHERE series = ? AND at < ?",
        [(series, now - KEPT) for (series,) in ids],
    )
    border = (now - FINE) // HOUR * HOUR
    connection.executemany(
        "DELETE FROM history WHERE series = ? AND at < ? AND EXISTS ("
        "SELECT 1 FROM history AS later WHERE later.series = history.series"
        " AND later.at > history.at AND later.at < (CAST(history.at / ? AS INTEGER) + 1) * ?)",
        [(series, border, HOUR, HOUR) for (series,) in ids],
    )
    if len(ids) == count:
        return int(ids[-1][0])
    _delete_unpolled(connection, now - KEPT)
    return None


def _delete_unpolled(connection: sqlite3.Connection, before: float) -> None:
    """Delete collectors and targets not polled since `before`, and resources without points."""
    connection.execute("DELETE FROM readings WHERE at < ?", (before,))
    connection.execute(
        "DELETE FROM targets WHERE NOT EXISTS"
        " (SELECT 1 FROM readings WHERE readings.target = targets.id)"
    )
    connection.execute(
        "DELETE FROM series WHERE NOT EXISTS"
        " (SELECT 1 FROM history WHERE history.series = series.id)"
    )


AHEAD = 86_400.0
"""Seconds by which a time may lie after the last writing and the present: clocks are set."""
_decode = msgspec.msgpack.Decoder(Reading).decode


def load_state(
    connection: sqlite3.Connection,
    fingerprints: Mapping[str, str],
    since: float = math.inf,
    step: float = 0.0,
    *,
    now: float = LATEST,
) -> Restored:
    """Return what belongs to the targets in `fingerprints`; other rows stay, and are not read.

    The history begins at `since`, with the last point of each `step` seconds (0: all). What claims
    to be of much later than `now` (epoch seconds) is damaged: it would never grow old.
    """
    fact = connection.execute("SELECT value FROM facts WHERE name = 'written_at'").fetchone()
    written_at = fact[0] if fact and _is_time(fact[0]) else None
    readings: dict[str, list[tuple[Reading, float]]] = {}
    schedule: dict[str, bytes] = {}
    skipped = 0 if fact is None or written_at is not None else 1
    latest = max(now, written_at or 0.0) + AHEAD
    rows = connection.execute(
        "SELECT name, fingerprint, collector, at, reading, crc FROM readings"
        " JOIN targets ON id = target"
    )
    for name, fingerprint, collector, at, encoded, crc in rows:
        if not isinstance(name, str) or fingerprints.get(name) != fingerprint:
            continue
        reading = _reading(name, collector, encoded, crc)
        if reading is None or not _is_time(at) or at > latest:
            skipped += 1
        else:
            readings.setdefault(name, []).append((reading, at))
    for key, value, crc in connection.execute("SELECT key, value, crc FROM schedule"):
        if isinstance(value, bytes) and _is_text(key) and _is_intact(key, value, crc):
            schedule[key] = value
        else:
            skipped += 1
    histories, odd = _histories(connection, fingerprints, since, step)
    return Restored(
        readings={name: tuple(found) for name, found in readings.items()},
        histories=histories,
        schedule=schedule,
        written_at=written_at,
        skipped=skipped + odd,
    )


def _reading(name: str, collector: object, encoded: object, crc: object) -> Reading | None:
    if not isinstance(encoded, bytes) or not _is_text(collector):
        return None
    if not _is_intact(f"{name}/{collector}", encoded, crc):
        return None
    try:
        reading = _decode(encoded)
    except (msgspec.MsgspecError, ValueError, TypeError):
        return None
    return reading if reading.collector == collector and _is_finite(reading) else None


def _is_intact(key: str, value: bytes, crc: object) -> bool:
    """Tell whether a row is as it was written. Rows of the first schema have no checksum."""
    return crc is None or crc == checksum(key, value)


def _is_text(value: object) -> TypeGuard[str]:
    """Tell whether `value` is a text that was valid UTF-8 in the file."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and 0 <= value <= LATEST


def _is_finite(value: object) -> bool:
    """Tell whether there is no NaN and no infinity in a reading."""
    match value:
        case float():
            return math.isfinite(value)
        case msgspec.Struct():
            return all(_is_finite(getattr(value, name)) for name in value.__struct_fields__)
        case tuple():
            return all(map(_is_finite, value))
        case _:
            return True


def _histories(
    connection: sqlite3.Connection, fingerprints: Mapping[str, str], since: float, step: float
) -> tuple[dict[str, StoredHistory], int]:
    found: dict[str, StoredHistory] = {}
    skipped = 0
    if since == math.inf:
        return found, skipped
    targets = connection.execute("SELECT id, name, fingerprint FROM targets").fetchall()
    for number, name, fingerprint in targets:
        if isinstance(name, str) and fingerprints.get(name) == fingerprint:
            points, odd = _history(connection, number, since, step)
            skipped += odd
            if points:
                found[name] = points
    return found, skipped


def _history(
    connection: sqlite3.Connection, target: int, since: float, step: float
) -> tuple[StoredHistory, int]:
    """Return the points of a target, and how many rows cannot be understood."""
    last, bucket = ("max(at)", "GROUP BY CAST(at / :step AS INTEGER)") if step else ("at", "")
    series = connection.execute(
        "SELECT id, account, resource FROM series WHERE target = ?", (target,)
    ).fetchall()
    found = {}
    skipped = 0
    for number, account, resource in series:
        if not (_is_text(account) and _is_text(resource)):
            skipped += 1
            continue
        # SQLite takes `used` from the row that has the max(at): lang_select.html, "bare columns".
        rows = connection.execute(
            f"SELECT {last}, used FROM history"  # noqa: S608 - made of constants
            f" WHERE series = :series AND at >= :since {bucket} ORDER BY at",
            {"series": number, "since": since, "step": step},
        ).fetchall()
        points = tuple((at, used) for at, used in rows if _is_time(at) and _is_number(used))
        skipped += len(rows) - len(points)
        if points:
            found[account, resource] = points
    return found, skipped


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)
