"""The memory that survives: readings, schedule and history on disk.

The event loop only puts records into a queue where a newer one replaces the older; one thread
writes them all in one transaction, a third of a second after the first. A disk that is full, gone
or read-only costs persistence alone: the records wait, the latest of each, and are tried again.

I/O: asyncio, threads, sqlite3 (through `ledger_file`).
"""

import asyncio
import contextlib
import math
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from exporter.model.event import Event, LedgerTrouble
from exporter.model.reading import Reading
from exporter.store import recall
from exporter.store.ledger_file import ERRORS, LedgerFile
from exporter.store.recall import History, Restored
from exporter.store.records import (
    ForgetRecord,
    PointRecord,
    ReadingRecord,
    Record,
    RenewalRecord,
    ScheduleRecord,
)
from exporter.store.waiting import Batch, Key, Waiting

PAUSE = 0.3
"""Seconds in which records gather: with the writing, what a kill can cost."""
GATHER = 0.05
"""Seconds between two writings that somebody waits for."""
CLOSING = 1.0
"""Seconds that a close may take."""

_LAST_RETRY = 60.0  # seconds between two tries in trouble, doubling up to this

_T = TypeVar("_T")


class Ledger:
    """Saves at once and writes soon; nothing here ever raises for the disk's sake.

    `path` is the file, "" for a ledger that forgets with the process. `emit` gets LedgerTrouble
    when persistence is lost and when it is back. `wall` is the clock of epoch seconds, also asked
    in the ledger's thread. `pause` is how many seconds records gather before they are written.
    To be made inside the running loop.
    """

    def __init__(
        self,
        path: str,
        *,
        emit: Callable[[Event], None],
        wall: Callable[[], float],
        pause: float = PAUSE,
    ) -> None:
        self._name = path or "memory"
        self._emit = emit
        self._pause = pause
        self._loop = asyncio.get_running_loop()
        self._file = LedgerFile(path, wall, self._set_aside_in_thread)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._waiting = Waiting()
        self._written = 0  # how far of what `_waiting` counted as saved is on the disk
        self._timer: asyncio.TimerHandle | None = None
        self._overdue = False  # the timer rang while the last batch was still being written
        self._flight: asyncio.Future[None] | None = None
        self._gathering: asyncio.Future[None] | None = None
        self._departed = -math.inf  # loop time of the last writing
        self._retry_in = 0.0  # seconds; above 0 in trouble
        self._retry_at = 0.0  # loop time
        self._closed = False
        self.troubles = 0
        """How often persistence was lost."""
        self.refused = 0
        """How many records could not have been written on any disk."""

    # ---------------------------------------------------------------------------------- reading

    async def load(
        self, fingerprints: Mapping[str, str], *, since: float = math.inf, step: float = 0.0
    ) -> Restored:
        """Return what the file knows of the targets in `fingerprints`; empty if it cannot be read.

        History from `since` (epoch seconds) on, the last point of each `step` seconds; 0 for all.
        To be asked once, before anything is saved.
        """
        return await self._ask(lambda c: recall.load(c, fingerprints, since, step), Restored())

    async def history(
        self, target: str, fingerprint: str, *, since: float = 0.0, step: float = 0.0
    ) -> History:
        """Return the points of a target from `since` (epoch seconds) on.

        The last one of each `step` seconds; 0 for all of them. What was saved before is in it,
        unless persistence is out.
        """
        await self.flush()
        return await self._ask(lambda c: recall.history(c, target, fingerprint, since, step), {})

    # ----------------------------------------------------------------------------------- saving

    def save_reading(self, target: str, fingerprint: str, reading: Reading, at: float) -> None:
        """Remember the last good reading of a collector; `at` is the time of the success.

        With another `fingerprint` than before, all else that is known of the target is forgotten.
        """
        record = ReadingRecord(target, fingerprint, reading, at)
        self._put(("reading", target, reading.collector), record)

    def renew(self, target: str, collector: str, at: float) -> None:
        """Remember that the vendor confirmed the last reading (304)."""
        self._put(("renewal", target, collector), RenewalRecord(target, collector, at))

    def save_schedule(self, rows: Mapping[str, bytes | None]) -> None:
        """Remember rows of the scheduler under their keys; a row without a value goes."""
        for key, value in rows.items():
            self._put(("schedule", key), ScheduleRecord(key, value))

    def save_history(self, points: Iterable[PointRecord]) -> None:
        """Remember how much was used. The target's reading has to be saved first."""
        self._waiting.extend(points)
        self._plan()

    def forget(self, target: str) -> None:
        """Forget a target that was removed: readings and history, not its schedule."""
        self._put(("forget", target), ForgetRecord(target))

    async def flush(self) -> bool:
        """Return when what was saved before is on the disk. False: it is not, and waits."""
        wanted = self._waiting.saved
        while self._written < wanted and not self._retry_in and not self._closed:
            await asyncio.shield(self._flight or self._depart())
        return self._written >= wanted

    async def settle(self, patience: float) -> bool:
        """Return when what was saved before is on the disk, or after `patience` seconds: False.

        For what must not be lost by a kill in the next instant. Who waits here waits with others:
        there are GATHER seconds between two writings, so that a thousand of them are no load.
        """
        wanted = self._waiting.saved
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while self._written < wanted and not self._retry_in and not self._closed:
                    await asyncio.shield(self._flight or self._soon())
        return self._written >= wanted

    def hasten(self) -> None:
        """Write what was saved within GATHER seconds: a kill soon after must not lose it."""
        if self._flight is not None:
            self._overdue = True
        elif self._waiting and not self._retry_in and not self._closed:
            _ = self._soon()

    async def close(self) -> None:
        """Write what is left, whatever the trouble, and close the file. A second at most."""
        if self._closed:
            return
        try:
            async with asyncio.timeout(CLOSING):
                if self._flight is not None:
                    await asyncio.shield(self._flight)
                if self._waiting:
                    await asyncio.shield(self._depart())
                await self._loop.run_in_executor(self._thread, self._file.close)
        except TimeoutError:
            self._tell(ok=False, detail="the disk does not answer; what was saved last is lost")
        finally:
            self._closed = True
            self._cancel_timer()
            self._thread.shutdown(wait=False, cancel_futures=True)

    # ------------------------------------------------------------------------------ the turning

    def _put(self, key: Key, record: Record) -> None:
        self._waiting.put(key, record)
        self._plan()

    def _plan(self) -> None:
        if self._waiting and self._timer is None and not self._closed:
            self._timer = self._loop.call_later(self._pause, self._ring)

    def _ring(self) -> None:
        """Write now, or as soon as the last batch is written or the trouble may be over."""
        self._cancel_timer()
        left = self._retry_at - self._loop.time()
        if self._flight is not None:
            self._overdue = True
        elif left > 0:
            self._timer = self._loop.call_later(left, self._ring)
        else:
            _ = self._depart()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _soon(self) -> "asyncio.Future[None]":
        """Return what ends with the next writing, or just before it begins."""
        left = self._departed + GATHER - self._loop.time()
        if left <= 0:
            return self._depart()
        if self._gathering is None:
            self._gathering = self._loop.create_future()
            self._loop.call_later(left, self._gathered)
        return self._gathering

    def _gathered(self) -> None:
        gathering, self._gathering = self._gathering, None
        if self._waiting and self._flight is None and not self._closed:
            _ = self._depart()
        if gathering is not None:
            gathering.set_result(None)

    def _depart(self) -> "asyncio.Future[None]":
        """Hand all that waits to the thread."""
        self._cancel_timer()
        self._departed = self._loop.time()
        self._overdue = False
        batch = self._waiting.take()
        self._flight = flight = self._loop.create_future()
        writing = self._loop.run_in_executor(self._thread, self._file.write, batch)
        writing.add_done_callback(lambda writing: self._land(writing, batch, flight))
        return flight

    def _land(
        self, writing: "asyncio.Future[int]", batch: Batch, flight: "asyncio.Future[None]"
    ) -> None:
        error = asyncio.CancelledError() if writing.cancelled() else writing.exception()
        if error is None:
            self._written = batch.number
            self.refused += writing.result()
            self._recover()
        else:
            self._waiting.put_back(batch)
            self._fail(error)
        self._flight = None
        flight.set_result(None)
        if self._overdue and not self._closed:
            self._ring()
        self._plan()

    async def _ask(self, question: Callable[[sqlite3.Connection], _T], otherwise: _T) -> _T:
        if self._closed or (self._retry_in and not self._file.is_open):
            return otherwise
        try:
            return await self._loop.run_in_executor(self._thread, self._file.ask, question)
        except ERRORS as error:
            self._fail(error)
            return otherwise

    # ------------------------------------------------------------------------------ the trouble

    def _fail(self, error: BaseException) -> None:
        if not self._retry_in:
            self.troubles += 1
            what = str(error) or type(error).__name__
            self._tell(
                ok=False,
                detail=f"{what}. Values stay in memory and would be lost with the process;"
                f" tried again, at least every {_LAST_RETRY:.0f} s",
            )
        self._retry_in = min(self._retry_in * 2 or self._pause * 2, _LAST_RETRY)
        self._retry_at = self._loop.time() + self._retry_in

    def _recover(self) -> None:
        if self._retry_in:
            self._retry_in = self._retry_at = 0.0
            self._cancel_timer()  # it may be set for long
            self._tell(ok=True, detail="state is kept again")

    def _set_aside_in_thread(self, what: str) -> None:
        self._loop.call_soon_threadsafe(self._set_aside, what)

    def _set_aside(self, what: str) -> None:
        self.troubles += 1
        self._tell(ok=False, detail=what)
        self._tell(ok=True, detail="a new file was begun; what was kept before is not restored")

    def _tell(self, *, ok: bool, detail: str) -> None:
        self._emit(LedgerTrouble(ok=ok, detail=f"{self._name}: {detail}."))
