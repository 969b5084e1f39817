"""The ledger's file as the one thread sees it that may touch it.

Opened when first needed, begun anew when it is found broken, tidied a little with every batch.

I/O: sqlite3.
"""

import contextlib
import sqlite3
from collections.abc import Callable
from typing import TypeVar

from exporter.store import records
from exporter.store.database import BrokenError, is_broken, open_database, transaction
from exporter.store.waiting import Batch

ERRORS = (sqlite3.Error, OSError, BrokenError)
"""What the disk can do to us."""

TIDY_EVERY = 3600.0
"""Seconds from the end of one round of tidying to the next."""
TIDY_SERIES = 500
"""Series to tidy with one batch, some 10 ms: the next batch must not wait for more."""

_T = TypeVar("_T")


class LedgerFile:
    """Blocking. Every method may raise ERRORS; a later call tries again.

    `wall` is the clock of epoch seconds. `notify` is told, for people, when the file was broken
    and set aside.
    """

    def __init__(
        self, path: str, wall: Callable[[], float], notify: Callable[[str], object]
    ) -> None:
        self._path = path
        self._wall = wall
        self._notify = notify
        self._connection: sqlite3.Connection | None = None
        self._tidy_after: int | None = 0  # the series after which to go on, None between rounds
        self._tidy_at = 0.0  # of the next round, epoch seconds

    @property
    def is_open(self) -> bool:
        """Whether there is something to ask without opening it first."""
        return self._connection is not None

    def ask(self, question: Callable[[sqlite3.Connection], _T]) -> _T:
        """Return the answer; if the file turns out to be broken, that of a new and empty one."""
        try:
            return question(self._open())
        except sqlite3.Error as error:
            if not is_broken(error):
                raise
        self.close()
        return question(self._open())

    def write(self, batch: Batch) -> int:
        """Write all or nothing; return how many records cannot be written on any disk."""
        return self.ask(lambda connection: self._write(connection, batch))

    def close(self) -> None:
        """Close the file, if it is open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection, aside = open_database(self._path, self._wall())
            if aside:
                self._notify(aside)
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
