"""The state file: locked, created, opened, and set aside when it is broken.

One process uses a state file at a time (`Lock`). A file that is broken, foreign or of a newer
version is renamed and a new one begun; what the disk or another process does is no reason for that.
`exporter.store.sqlite` knows what is in the file.

Everything here blocks, and runs in the ledger's thread alone.

I/O: sqlite3, pathlib, os, fcntl, time.
"""

import contextlib
import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from exporter.store import sqlite
from exporter.store.sqlite import MIGRATIONS, Batch, is_broken, is_to_blame

TIDY_EVERY = 3600.0
"""Seconds from the end of one round of tidying to the next."""
TIDY_SERIES = 500
"""Series to tidy with one batch, some 10 ms: the next batch must not wait for more."""
_LOCK_WAIT = 3.0  # seconds in which a process that is ending releases the file
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What file systems without locks answer."""


_T = TypeVar("_T")


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
                self._file.seek(0)
                holder = self._file.read(200).strip() or "another process"
                raise LockedError(
                    f"{holder} uses this state file. Two exporters on one file would"
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


def real_path(path: str | Path) -> Path:
    """Return `path` with its links followed. Raises OSError where they lead in a circle."""
    try:
        return Path(path).resolve()
    except RuntimeError as error:  # until Python 3.13
        raise OSError(errno.ELOOP, "too many symbolic links") from error


def identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode, which another file of the same name has not; None without a file."""
    try:
        return _identity(path.stat())
    except OSError:
        return None


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def open_database(
    path: str, now: float, migrations: Sequence[str] = MIGRATIONS
) -> tuple[sqlite3.Connection, str]:
    """Open or create the file at the newest schema, readable by its owner alone.

    A file that is broken, foreign or newer than this program is renamed to
    ``<path>.corrupt-<time>`` and a new one begun; the second value then says so, for people. `now`
    is epoch seconds. Raises OSError and sqlite3.Error where nothing can be opened or written.
    """
    file = real_path(path)
    try:
        _create(file)
        return sqlite.connect(str(file), migrations), ""
    except Exception as error:
        if not is_to_blame(error):
            raise
        aside = set_aside(file, now)
        _create(file)
        return sqlite.connect(str(file), migrations), f"{error}; it was set aside as {aside}"


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


class StateFile:
    """The file as the ledger's thread uses it: opened when first needed, begun anew when broken.

    `wall` is the clock of epoch seconds. `lost` is called with a reason, for people, when the file
    was broken and set aside, or removed or replaced by somebody else, and a new one begun; `note`
    with what else they should know. A method that raised may be called again.
    """

    def __init__(
        self,
        path: str,
        wall: Callable[[], float],
        lost: Callable[[str], object],
        note: Callable[[str], object] = lambda text: None,
    ) -> None:
        self._path = path
        self._wall = wall
        self._lost = lost
        self._note = note
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None  # of the file that is open
        self._lock: Lock | None = None
        self._inherited = True  # an earlier process may have written it, and so may have spoilt it
        self._tidy_after: int | None = 0  # the series after which to go on, None between rounds
        self._tidy_at = 0.0  # of the next round, epoch seconds

    def ask(self, question: Callable[[sqlite3.Connection], _T]) -> _T:
        """Return the answer; if the file turns out to be broken, that of a new and empty one.

        Of a file that an earlier process left, whatever cannot be read is taken for broken. A file
        that this process began is at fault only where SQLite says so: else it would be our own
        bug, and every try would set another file aside.
        """
        connection = self._open()
        try:
            return question(connection)
        except Exception as error:
            if not (is_broken(error) or (self._inherited and is_to_blame(error))):
                raise
            reason = str(error) or type(error).__name__
        self._close_connection()
        aside = set_aside(real_path(self._path), self._wall())
        self._lost(f"{reason}; it was set aside as {aside}")
        self._inherited = False
        return question(self._open())

    def write(self, batch: Batch) -> int:
        """Write all or nothing, and tidy a little; return how many writes no disk could execute."""
        return self.ask(lambda connection: self._write(connection, batch))

    def close(self) -> None:
        """Close the file, if it is open, and let other processes use it."""
        self._close_connection()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _close_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _open(self) -> sqlite3.Connection:
        if self._lock is not None and self._lock.lost:
            self._lock.release()
            self._lock = None
        file = real_path(self._path)
        moved = self._connection is not None and identity(file) != self._identity
        if moved:
            self._close_connection()
        if self._lock is None:
            self._lock = Lock(self._path)
            if self._lock.missing:
                self._note(
                    "the file system has no locks: nothing stops a second exporter from using"
                    " this file. Make sure that there is one"
                )
        if self._connection is None:
            self._connection, aside = open_database(self._path, self._wall())
            self._identity = identity(file)
            if aside:
                self._inherited = False
                self._lost(aside)
            elif moved:
                self._lost("the file was removed or replaced while it was in use")
        return self._connection

    def _write(self, connection: sqlite3.Connection, batch: Batch) -> int:
        now = self._wall()
        after, tidy_at = self._tidy_after, self._tidy_at
        # A clock that went back ends the pause, too: a round too many costs nothing.
        if after is None and not tidy_at - TIDY_EVERY <= now < tidy_at:
            after = 0
        with sqlite.transaction(connection):
            refused = sqlite.write(connection, batch, now)
            if after is not None:
                after, tidy_at = sqlite.tidy(connection, now, after, TIDY_SERIES), now + TIDY_EVERY
        self._tidy_after, self._tidy_at = after, tidy_at
        return refused
