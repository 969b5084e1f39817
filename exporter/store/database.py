"""The ledger's file: opened, brought up to date, or set aside.

WAL, so that a process that dies at any moment leaves a file that opens. ``synchronous=FULL``: each
batch (three a second at most) is on the disk when its commit returns, so that a power cut loses no
more than a kill does. NORMAL would save the one sync, which nobody waits for, and could forget
the vendor's "come again tomorrow".

I/O: sqlite3, pathlib.
"""

import contextlib
import errno
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

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
)
"""Statements that lead from schema version n (the index) to n + 1. Append; never change one."""

_BUSY = 0.5  # seconds to wait for another process at the same file; closing must end within 1 s
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class BrokenError(Exception):
    """The file is there and is none of ours, or none any more. The message says why."""


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
    file = Path(path)
    try:
        _create(file)
        return _ready(path, migrations), ""
    except (BrokenError, sqlite3.DatabaseError) as error:
        if not is_broken(error):
            raise
        aside = _set_aside(file, now)
        _create(file)
        return _ready(path, migrations), f"{error}; it was set aside as {aside}"


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


def is_broken(error: Exception) -> bool:
    """Tell whether the file itself is at fault, rather than the disk or another process."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BROKEN
    return isinstance(error, BrokenError)


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
    try:
        _inspect(connection, len(migrations))
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 8388608")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection, migrations)
    except BaseException:
        connection.close()
        raise
    return connection


def _inspect(connection: sqlite3.Connection, newest: int) -> None:
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise BrokenError(f"the database is damaged ({found.splitlines()[-1]})")
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    if tables and owner != APPLICATION_ID:
        raise BrokenError("it is the database of another program")
    version = _version(connection)
    if version > newest:
        raise BrokenError(
            f"it was written by a newer version (schema {version}; this one knows {newest})"
        )


def _migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    if _version(connection) == len(migrations):
        return
    with transaction(connection):
        # Asked again inside the transaction: another process may have been faster.
        for script in migrations[_version(connection) :]:
            for statement in script.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _set_aside(file: Path, now: float) -> Path:
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
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
