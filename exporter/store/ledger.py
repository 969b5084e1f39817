"""Where no state is kept: a ledger that forgets, and the choice between the two.

SQLite is loaded only where there is a file for it: it takes a megabyte and a half.

What was saved and is not written yet: the latest of each record, bounded whatever the disk does.

Records are written in the order of their last saving, so that what came before a target was
forgotten, or became another one, cannot come back.

The ledger's file as the one thread sees it that may touch it.

Opened when first needed, begun anew when it is found broken, tidied a little with every batch.

I/O: sqlite3.

The memory that survives: readings, schedule and history on disk.

The event loop only puts records into a queue where a newer one replaces the older; one thread
writes them all in one transaction, a third of a second after the first. A disk that is full, gone
or read-only, or that does not answer, costs persistence alone: the records wait, the latest of
each, and are tried again.

I/O: asyncio, threads, time, sqlite3 (through `ledger_file`).
"""

import asyncio
import contextlib
import math
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from itertools import chain
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeAlias, TypeVar

import msgspec

from exporter.kernel.override import override
from exporter.model.events import Event, LedgerNote, LedgerTrouble
from exporter.model.reading import Reading
from exporter.store import sqlite
from exporter.store.sqlite import (
    BrokenError,
    ForgetRecord,
    History,
    Lock,
    LockedError,
    PointRecord,
    ReadingRecord,
    Record,
    RenewalRecord,
    Restored,
    ScheduleRecord,
    StateInUseError,
    identity,
    is_broken,
    is_to_blame,
    open_database,
    real_path,
    set_aside,
    transaction,
)


class NoLedger:
    """Takes everything and keeps nothing."""

    async def load(self, fingerprints: Mapping[str, str], *, since: float, step: float) -> Restored:
        """Return that nothing is known."""
        return Restored()

    def save_reading(self, target: str, fingerprint: str, reading: Reading, at: float) -> None:
        """Keep nothing."""

    def renew(self, target: str, collector: str, at: float) -> None:
        """Keep nothing."""

    def save_schedule(self, rows: Mapping[str, bytes | None]) -> None:
        """Keep nothing."""

    def save_history(self, points: Iterable[PointRecord]) -> None:
        """Keep nothing."""

    async def settle(self, patience: float) -> bool:
        """Return at once that nothing is on a disk."""
        return False

    def hasten(self) -> None:
        """Do nothing: nothing is kept."""

    def forget(self, target: str) -> None:
        """Do nothing: nothing is known of it."""

    async def close(self) -> None:
        """Do nothing: nothing is open."""


def open_ledger(
    path: str,
    *,
    emit: Callable[[Event], None],
    wall: Callable[[], float],
    begun_anew: Callable[[], object],
) -> "Ledger | NoLedger":
    """Return the ledger of the file at `path`, "" for none. To be called in the running loop.

    `begun_anew` is called when what is in memory has to be saved again, into a new file.
    """
    if not path:
        return NoLedger()

    return Ledger(path, emit=emit, wall=wall, begun_anew=begun_anew)


POINTS = 50_000
"""Points of the history that may wait; the oldest go first."""
Key: TypeAlias = tuple[str, ...]


class Batch(msgspec.Struct, frozen=True):
    """What is written at once. `number` counts everything saved so far."""

    records: dict[Key, Record]
    points: tuple[PointRecord, ...]
    number: int


class PendingWrites:
    """A queue of records with one place for each key, and of points."""

    def __init__(self, points: int = POINTS) -> None:
        self._records: dict[Key, Record] = {}
        self._points: deque[PointRecord] = deque(maxlen=points)
        self.saved = 0

    def __bool__(self) -> bool:
        return bool(self._records or self._points)

    def put(self, key: Key, record: Record) -> None:
        """Add a record at the end, in the place of an older one of its key."""
        self.saved += 1
        self._records.pop(key, None)
        self._records[key] = record

    def extend(self, points: Iterable[PointRecord]) -> None:
        """Add points; beyond the limit the oldest are lost."""
        self.saved += 1
        self._points.extend(points)

    def take(self) -> Batch:
        """Return all that waits and begin anew."""
        batch = Batch(self._records, tuple(self._points), self.saved)
        self._records = {}
        self._points.clear()
        return batch

    def put_back(self, batch: Batch) -> None:
        """Return a batch that could not be written: before what has been saved since."""
        older = {key: r for key, r in batch.records.items() if key not in self._records}
        self._records = older | self._records
        self._points = deque(chain(batch.points, self._points), maxlen=self._points.maxlen)


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
            refused = sqlite.write(connection, batch.records.values(), batch.points, now)
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
        return sqlite.tidy(connection, now, after, TIDY_SERIES), now + TIDY_EVERY


PAUSE = 0.3
"""Seconds in which records gather: with the writing, what a kill can cost."""
GATHER = 0.05
"""Seconds between two writings that somebody waits for."""
CLOSING = 1.0
"""Seconds that a close may take."""
STALLED = 5.0
"""Seconds without an answer of the disk after which the process goes on without state."""
_LAST_RETRY = 60.0  # seconds between two tries in trouble, doubling up to this
_Given = ParamSpec("_Given")


class _Thread(Executor):
    """One thread that does not hold the end of the process.

    A `ThreadPoolExecutor` is joined at exit: a sync that hangs in it would keep the process for as
    long as the disk is away.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="ledger", daemon=True)
        self._started = False
        self._abandoned = False

    @override
    def submit(
        self, fn: Callable[_Given, _T], /, *args: _Given.args, **kwargs: _Given.kwargs
    ) -> Future[_T]:
        future: Future[_T] = Future()
        self._queue.put((future, lambda: fn(*args, **kwargs)))
        if not self._started:
            self._started = True
            self._thread.start()
        return future

    @override
    def shutdown(  # the executor's own signature
        self,
        wait: bool = True,  # noqa: FBT001, FBT002
        *,
        cancel_futures: bool = False,
    ) -> None:
        self._abandoned = not wait
        self._queue.put(None)
        if wait and self._started:
            self._thread.join()

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            future, call = item
            if not future.set_running_or_notify_cancel():
                continue
            error: BaseException | None = None
            result = None
            try:
                result = call()
            except BaseException as raised:  # noqa: BLE001 - it belongs to whoever waits
                error = raised
            if self._abandoned:
                return  # the loop that would be told may have ended
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)


class Ledger:
    """Saves at once and writes soon; nothing here ever raises for the disk's sake.

    `path` is the file, "" for a ledger that forgets with the process. `emit` gets LedgerTrouble
    when persistence is lost and when it is back. `wall` is the clock of epoch seconds, also asked
    in the ledger's thread. `pause` is how many seconds records gather before they are written.
    `begun_anew` is called when the file was lost while the process ran and a new one is there: what
    is in memory has to be saved again. `stalled` is how many seconds the disk may take for an
    answer. To be made inside the running loop.
    """

    def __init__(
        self,
        path: str,
        *,
        emit: Callable[[Event], None],
        wall: Callable[[], float],
        pause: float = PAUSE,
        begun_anew: Callable[[], object] = lambda: None,
        stalled: float = STALLED,
    ) -> None:
        self._name = path.encode("utf-8", "backslashreplace").decode() or "memory"
        self._emit = emit
        self._wall = wall
        self._pause = pause
        self._begun_anew = begun_anew
        self._patience = stalled
        self._loop = asyncio.get_running_loop()
        self._file = LedgerFile(path, wall, self._in_loop(self._lost), self._in_loop(self._note))
        self._thread = _Thread()
        self._is_loaded = False
        self._waiting = PendingWrites()
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
        To be asked once, before anything is saved. Empty, too, when the disk does not answer in
        time: what it holds is not restored later, but written over by what is known by then.
        Raises StateInUseError if another process uses the file.
        """
        now = self._wall()

        def question(connection: sqlite3.Connection) -> Restored:
            return sqlite.load_state(connection, fingerprints, since, step, now=now)

        try:
            restored = await self._ask(question, Restored(), refuse=True)
        except LockedError as error:
            self._end()  # nothing of ours may be written there
            raise StateInUseError(f"state.file: {self._name}: {error}.") from None
        self._is_loaded = True
        if restored.skipped:
            rows = "1 row is" if restored.skipped == 1 else f"{restored.skipped} rows are"
            self._note(f"{rows} damaged and not restored; the next polls replace what they held")
        return restored

    async def history(
        self, target: str, fingerprint: str, *, since: float = 0.0, step: float = 0.0
    ) -> History:
        """Return the points of a target from `since` (epoch seconds) on.

        The last one of each `step` seconds; 0 for all of them. What was saved before is in it,
        unless persistence is out.
        """
        await self.flush()
        return await self._ask(
            lambda c: sqlite.load_history(c, target, fingerprint, since, step), {}
        )

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
                await self._run(self._file.close)
        except TimeoutError:
            self._tell(ok=False, detail="the disk does not answer; what was saved last is lost")
        finally:
            self._end()

    def _end(self) -> None:
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
        writing = self._run(self._file.write, batch)
        writing.add_done_callback(lambda writing: self._land(writing, batch, flight))
        self._watch(writing)
        return flight

    def _run(
        self, call: Callable[_Given, _T], *args: _Given.args, **kwargs: _Given.kwargs
    ) -> "asyncio.Future[_T]":
        return self._loop.run_in_executor(self._thread, lambda: call(*args, **kwargs))

    def _watch(
        self,
        call: "asyncio.Future[_T]",
        late: "asyncio.Future[None] | None" = None,
        began: float | None = None,
    ) -> None:
        """Tell it as a trouble when the disk does not answer a call in time; then `late` is done.

        In seconds in which this process ran: a machine that slept says nothing about its disk.
        """
        began = time.monotonic() if began is None else began
        left = began + self._patience - time.monotonic()
        if call.done() or self._closed:
            return
        if left > 0:
            timer = self._loop.call_later(left, self._watch, call, late, began)
            call.add_done_callback(lambda _: timer.cancel())
            return
        self._fail(TimeoutError(f"the disk has not answered for {self._patience:g} s"))
        if late is not None and not late.done():
            late.set_result(None)

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

    async def _ask(
        self,
        question: Callable[[sqlite3.Connection], _T],
        otherwise: _T,
        *,
        refuse: bool = False,
    ) -> _T:
        """Return the answer, or `otherwise` in trouble; `refuse`: LockedError is the caller's."""
        if self._closed or (self._retry_in and not self._file.is_open):
            return otherwise
        asked = self._run(self._file.ask, question)
        asked.add_done_callback(lambda asked: asked.cancelled() or asked.exception())
        late: asyncio.Future[None] = self._loop.create_future()
        self._watch(asked, late)
        either: tuple[asyncio.Future[Any], ...] = (asked, late)
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not asked.done():
            return otherwise
        try:
            return asked.result()
        except Exception as error:
            if refuse and isinstance(error, LockedError):
                raise
            if not (refuse or isinstance(error, ERRORS)):
                raise
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

    def _in_loop(self, call: Callable[[str], None]) -> Callable[[str], None]:
        """Return what makes the loop call, from the thread."""

        def from_thread(text: str) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody listens
                self._loop.call_soon_threadsafe(call, text)

        return from_thread

    def _lost(self, what: str) -> None:
        self.troubles += 1
        self._tell(ok=False, detail=what)
        if self._is_loaded:
            self._tell(ok=True, detail="a new file was begun, with what is in memory")
            self._begun_anew()
        else:
            self._tell(ok=True, detail="a new file was begun; what was kept before is not restored")

    def _note(self, text: str) -> None:
        self._emit(LedgerNote(detail=f"{self._name}: {text}."))

    def _tell(self, *, ok: bool, detail: str) -> None:
        self._emit(LedgerTrouble(ok=ok, detail=f"{self._name}: {detail}."))
