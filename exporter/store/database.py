"""The ledger's file: locked, opened, brought up to date, or set aside.

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
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

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
