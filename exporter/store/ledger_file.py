"""The ledger's file as the one thread sees it that may touch it.

Opened when first needed, begun anew when it is found broken, tidied a little with every batch.

I/O: sqlite3.
"""

import contextlib
import sqlite3
from collections.abc import Callable
from typing import TypeVar

from exporter.store import records
from exporter.store.database import (
    BrokenError,
    Lock,
    LockedError,
    identity,
    is_broken,
    is_to_blame,
    open_database,
    real_path,
    set_aside,
    transaction,
)
from exporter.store.waiting import Batch

ERRORS = (sqlite3.Error, OSError, BrokenError, LockedError)
"""What the disk can do to us."""

TIDY_EVERY = 3600.0
"""Seconds from the end of one round of tidying to the next."""
TIDY_SERIES = 500
"""Series to tidy with one batch, some 10 ms: the next batch must not wait for more."""

_T = TypeVar("_T")


class LedgerFile:
    """Blocking. Every method may raise ERRORS; a later call tries again.

    `wall` is the clock of epoch seconds. `notify` is told, for people, when the file was broken
    and set aside, or removed or replaced by somebody else, and a new one begun; `note` what else
    they should know of it.
    """

    def __init__(
        self,
        path: str,
        wall: Callable[[], float],
        notify: Callable[[str], object],
        note: Callable[[str], object] = lambda text: None,
    ) -> None:
        self._path = path
        self._wall = wall
        self._notify = notify
        self._note = note
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None  # of the file that is open
        self._lock: Lock | None = None
        self._inherited = True  # an earlier process may have written it, and so may have spoilt it
        self._tidy_after: int | None = 0  # the series after which to go on, None between rounds
        self._tidy_at = 0.0  # of the next round, epoch seconds

    @property
    def is_open(self) -> bool:
        """Whether there is something to ask without opening it first."""
        return self._connection is not None

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
            what = error
        self._close_connection()
        if self._path:
            aside = set_aside(real_path(self._path), self._wall())
            self._notify(f"{str(what) or type(what).__name__}; it was set aside as {aside}")
        self._inherited = False
        return question(self._open())

    def write(self, batch: Batch) -> int:
        """Write all or nothing; return how many records cannot be written on any disk."""
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
        moved = False
        if self._path:
            if self._lock is not None and self._lock.lost:
                self._lock.release()
                self._lock = None
            if self._connection is not None:
                moved = identity(real_path(self._path)) != self._identity
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
            self._identity = identity(real_path(self._path)) if self._path else None
            if aside:
                self._inherited = False
                self._notify(aside)
            elif moved:
                self._notify("the file was removed or replaced while it was in use")
        return self._connection

    def _write(self, connection: sqlite3.Connection, batch: Batch) -> int:
        now = self._wall()
        with transaction(connection):
            refused = records.write(connection, batch.records.values(), batch.points, now)
            tidied = self._tidy(connection, now)
        self._tidy_after, self._tidy_at = tidied
        return refused

    def _tidy(self, connection: sqlite3.Connection, now: float) -> tuple[int | None, float]:
        """Return where to go on, and when the next round begins."""
        after = self._tidy_after
        if after is None:
            # A clock that went back ends the pause, too: a round too many costs nothing.
            if self._tidy_at - TIDY_EVERY <= now < self._tidy_at:
                return None, self._tidy_at
            after = 0
        return records.tidy(connection, now, after, TIDY_SERIES), now + TIDY_EVERY
