"""What is written into the ledger, and how its history gets thin.

A target's rows carry a fingerprint of what it is (provider, address, params), which the caller
computes: when it becomes another, all that was known is another account's, and is deleted.

I/O: sqlite3.

What the ledger gives back after a restart.

Readings are msgpack of the model's own structs: fields that a version does not know are ignored,
those it misses have defaults. A row that cannot be understood, that is not as it was written (its
checksum says so) or whose time cannot be, costs itself alone: it is skipped and counted.
Rows whose fingerprint is not the target's are another account's, and do not come back.

I/O: sqlite3.

The ledger's file: locked, opened, brought up to date, or set aside.

WAL, so that a process that dies at any moment leaves a file that opens. ``synchronous=FULL``: each
batch (three a second at most) is on the disk when its commit returns, so that a power cut loses no
more than a kill does. NORMAL would save the one sync, which nobody waits for, and could forget
the vendor's "come again tomorrow".

I/O: sqlite3, pathlib, os, fcntl, time.
"""

import contextlib
import errno
import fcntl
import functools
import math
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TypeAlias, TypeGuard, assert_never
from zlib import crc32

import msgspec

from exporter.model.reading import Reading

HOUR = 3600.0
FINE = 2 * 86_400.0
"""Seconds for which every point of the history is kept; older ones are thinned to one an hour."""
KEPT = 35 * 86_400.0
"""Seconds after which points, and targets that nobody polls any more, are deleted."""
LATEST = 253_402_300_800.0
"""The year 10000 in epoch seconds: no time in the file can be later."""
_PURGE = "DELETE FROM targets WHERE name = ?"
_encode = msgspec.msgpack.Encoder().encode


class ReadingRecord(msgspec.Struct, frozen=True):
    """The last good reading of a collector; `at` is the time of the success, epoch seconds."""

    target: str
    fingerprint: str
    reading: Reading
    at: float


class RenewalRecord(msgspec.Struct, frozen=True):
    """The last good reading was confirmed (304) at `at`."""

    target: str
    collector: str
    at: float


class ScheduleRecord(msgspec.Struct, frozen=True):
    """One row of the schedule, opaque; without `value` it goes."""

    key: str
    value: bytes | None


class ForgetRecord(msgspec.Struct, frozen=True):
    """A target was removed: its readings and its history go."""

    target: str


Record: TypeAlias = ReadingRecord | RenewalRecord | ScheduleRecord | ForgetRecord


class PointRecord(msgspec.Struct, frozen=True):
    """How much was used at one time, epoch seconds."""

    target: str
    fingerprint: str
    account: str
    resource: str
    at: float
    used: float


def checksum(key: str, value: bytes) -> int:
    """Return what shows that a row is as it was written: SQLite looks at pages, not at values.

    `key` is in it, so that a row does not pass for another one.
    """
    return crc32(value, crc32(key.encode()))


def write(
    connection: "sqlite3.Connection",
    records: Iterable[Record],
    points: Iterable[PointRecord],
    now: float,
) -> int:
    """Write a batch inside the caller's transaction; return how many records cannot be written.

    A point is dropped if its target has no reading yet, or is another by its fingerprint.
    """
    refused = 0
    for record in records:
        try:
            _write_record(connection, record)
        except (ValueError, TypeError, OverflowError, msgspec.MsgspecError):
            refused += 1  # text that UTF-8 cannot say: the rest of the batch is not to blame
    for point in points:
        try:
            _write_point(connection, point)
        except (ValueError, TypeError, OverflowError):
            refused += 1
    connection.execute("INSERT OR REPLACE INTO facts VALUES ('written_at', ?)", (now,))
    return refused


def _write_record(connection: "sqlite3.Connection", record: Record) -> None:
    match record:
        case ReadingRecord(target, fingerprint, reading, at):
            row = (_target(connection, target, fingerprint), reading.collector, at)
            encoded = _encode(reading)
            connection.execute(
                "INSERT INTO readings VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
                " SET at = excluded.at, reading = excluded.reading, crc = excluded.crc",
                (*row, encoded, checksum(f"{target}/{reading.collector}", encoded)),
            )
        case RenewalRecord(target, collector, at):
            connection.execute(
                "UPDATE readings SET at = ? WHERE collector = ?"
                " AND target = (SELECT id FROM targets WHERE name = ?)",
                (at, collector, target),
            )
        case ScheduleRecord(key, bytes() as value):
            connection.execute(
                "INSERT OR REPLACE INTO schedule VALUES (?, ?, ?)",
                (key, value, checksum(key, value)),
            )
        case ScheduleRecord(key, _):
            connection.execute("DELETE FROM schedule WHERE key = ?", (key,))
        case ForgetRecord(target):
            connection.execute(_PURGE, (target,))
        case _:
            assert_never(record)


def _target(connection: "sqlite3.Connection", name: str, fingerprint: str) -> int:
    """Return the id of the target; if it became another one, all it had is deleted."""
    row = connection.execute(
        "SELECT id, fingerprint FROM targets WHERE name = ?", (name,)
    ).fetchone()
    if row is not None and row[1] == fingerprint:
        return int(row[0])
    connection.execute(_PURGE, (name,))
    values = (name, fingerprint)
    added = connection.execute("INSERT INTO targets (name, fingerprint) VALUES (?, ?)", values)
    return int(added.lastrowid or 0)


def _write_point(connection: "sqlite3.Connection", point: PointRecord) -> None:
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


def _last_two(connection: "sqlite3.Connection", series: int) -> list[tuple[object, object]]:
    return connection.execute(
        "SELECT at, used FROM history WHERE series = ? ORDER BY at DESC LIMIT 2", (series,)
    ).fetchall()


def _series(connection: "sqlite3.Connection", point: PointRecord) -> int | None:
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


def tidy(connection: "sqlite3.Connection", now: float, after: int, count: int) -> int | None:
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
    _forget(connection, now - KEPT)
    return None


def _forget(connection: "sqlite3.Connection", before: float) -> None:
    """Delete whom nobody polled since: collectors, targets; and resources without any points."""
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
History: TypeAlias = Mapping[tuple[str, str], tuple[tuple[float, float], ...]]
"""(account, resource): the points (epoch seconds, used), ascending."""


class StateInUseError(Exception):
    """Another process uses the state file. The message says where, which and what to do."""


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What an earlier process knew.

    `readings` by target, each with the time of its last success; `histories` by target;
    `schedule` as it was saved; `written_at` is when the last batch was written, None if never.
    `skipped` rows could not be understood.
    """

    readings: Mapping[str, tuple[tuple[Reading, float], ...]] = {}
    histories: Mapping[str, History] = {}
    schedule: Mapping[str, bytes] = {}
    written_at: float | None = None
    skipped: int = 0


def load_state(
    connection: "sqlite3.Connection",
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


def load_history(
    connection: "sqlite3.Connection", target: str, fingerprint: str, since: float, step: float
) -> History:
    """Return the points of one target from `since` on, the last of each `step` seconds (0: all)."""
    row = connection.execute(
        "SELECT id FROM targets WHERE name = ? AND fingerprint = ?", (target, fingerprint)
    ).fetchone()
    return _history(connection, row[0], since, step)[0] if row else {}


def _histories(
    connection: "sqlite3.Connection", fingerprints: Mapping[str, str], since: float, step: float
) -> tuple[dict[str, History], int]:
    found: dict[str, History] = {}
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
    connection: "sqlite3.Connection", target: int, since: float, step: float
) -> tuple[History, int]:
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
_LOCK_WAIT = 3.0  # seconds in which a process that was told to end lets go of the file
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
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What file systems without locks answer."""


class BrokenError(Exception):
    """The file is there and is none of ours, or none any more. The message says why."""


class MigrationError(sqlite3.OperationalError):
    """A sound file could not be brought up to date: our bug, which must not cost the file."""


class LockedError(Exception):
    """Another process uses the file. The message says which, and what to do."""


class Lock:
    """The right to use a state file, for one process at a time: `flock` on ``<file>.lock``.

    The kernel gives the lock back when the process ends, however it ends, so the lock file may
    stay. SQLite's own locks would not do: they are held for single transactions.
    """

    def __init__(self, path: str, *, wait: float = _LOCK_WAIT) -> None:
        """Take the lock within `wait` seconds. Raises LockedError, or OSError of the disk."""
        file = real_path(path)
        self._path = file.with_name(file.name + ".lock")
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
        self.missing = False
        """The file system has no locks: nothing stops a second process."""
        try:
            self._take(file, time.monotonic() + wait)
        except BaseException:
            self._file.close()
            raise
        with contextlib.suppress(OSError):  # it says who holds it; a full disk may not take that
            self._file.truncate(0)
            self._file.seek(0)
            self._file.write(f"process {os.getpid()} on {os.uname().nodename}\n")
            self._file.flush()

    def _take(self, file: Path, deadline: float) -> None:
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                raise LockedError(
                    f"{_holder(self._file)} uses this state file. Two exporters on one file would"
                    " poll every target twice and overwrite each other's waits. Stop the other"
                    " one, or set another state.file here"
                ) from None
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                self.missing = True
            return

    @property
    def lost(self) -> bool:
        """Whether the lock file was removed or replaced, so that another process could lock it."""
        return identity(self._path) != _identity(os.fstat(self._file.fileno()))

    def release(self) -> None:
        """Let others use the state file."""
        with contextlib.suppress(OSError):
            self._file.close()


def _holder(file: IO[str]) -> str:
    file.seek(0)
    return file.read(200).strip() or "another process"


def real_path(path: str | Path) -> Path:
    """Return `path` with its links followed. Raises OSError where they lead in a circle."""
    try:
        return Path(path).resolve()
    except RuntimeError as error:  # until Python 3.13
        raise OSError(errno.ELOOP, "too many symbolic links") from error


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells one file from another that has its name; None if there is no file."""
    try:
        return _identity(path.stat())
    except OSError:
        return None


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def open_database(
    path: str, now: float, migrations: Sequence[str] = MIGRATIONS
) -> tuple[sqlite3.Connection, str]:
    """Open or create the file, owner's eyes only, at the newest schema; "" is memory.

    A file that is broken, foreign or newer than this program is renamed to
    ``<path>.corrupt-<time>`` and a new one begun; the second value then says so, for people. `now`
    is epoch seconds. Raises OSError and sqlite3.Error where nothing can be opened or written.
    """
    if not path:
        return _ready(":memory:", migrations), ""
    file = real_path(path)
    try:
        _create(file)
        return _ready(str(file), migrations), ""
    except Exception as error:
        if not is_to_blame(error):
            raise
        aside = set_aside(file, now)
        _create(file)
        return _ready(str(file), migrations), f"{error}; it was set aside as {aside}"


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

    True of what nobody thought of, too: a file that an earlier process wrote and this one cannot
    read would otherwise end every start.
    """
    if isinstance(error, OSError | MemoryError | LockedError | MigrationError):
        return False
    return getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DISK


def _create(file: Path) -> None:
    """Make the file before SQLite does, which would let everybody read it."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not file.exists():
        file.touch(mode=0o600)
    elif not file.is_file():
        raise OSError(errno.EINVAL, "this is no regular file")
    elif file.stat().st_mode & 0o077:
        with contextlib.suppress(PermissionError):  # another user's, shared by its group
            file.chmod(0o600)


def _ready(path: str, migrations: Sequence[str]) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY, isolation_level=None)
    # What is no UTF-8 any more is a name that nobody has, not an error that ends the query.
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
    if path != ":memory:":
        with Path(path).open("rb") as file:
            header = file.read(20)
        # SQLite takes a file of a later format for one that it may only read: for ever.
        if header.startswith(b"SQLite") and not {1, 2}.issuperset(header[18:20]):
            raise BrokenError("the database is damaged (its header names an unknown format)")
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise BrokenError(f"the database is damaged ({_printable(found.splitlines()[-1])})")
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


def _printable(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()


_Columns = dict[tuple[str, str], tuple[str, int, int]]


def _columns(connection: sqlite3.Connection) -> _Columns:
    """Return type, NOT NULL and place in the key of every column, by table and name."""
    rows = connection.execute(
        'SELECT t.name, c.name, c.type, c."notnull", c.pk'
        " FROM sqlite_schema AS t JOIN pragma_table_info(t.name) AS c WHERE t.type = 'table'"
    )
    return {(table, name): tuple(facts) for table, name, *facts in rows}


@functools.cache
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


def set_aside(file: Path, now: float) -> Path:
    """Rename the file, with its log and index, and return its new name."""
    try:
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    except (ValueError, OverflowError, OSError):  # a clock that shows no year of ours
        stamp = "unknown-time"
    aside = file.with_name(f"{file.name}.corrupt-{stamp}")
    turn = 1
    while aside.exists():
        turn += 1
        aside = file.with_name(f"{file.name}.corrupt-{stamp}-{turn}")
    file.replace(aside)
    for suffix in ("-wal", "-shm"):  # they belong to it, and would spoil the new one
        with contextlib.suppress(FileNotFoundError):
            file.with_name(file.name + suffix).replace(aside.with_name(aside.name + suffix))
    return aside
