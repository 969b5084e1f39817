"""The ledger that keeps its state in an SQLite file.

The event loop only puts writes into a queue, where a newer write of a key replaces the older one;
one thread executes them all in one transaction, a third of a second after the first. A disk that is
full, gone or read-only, or that does not answer, costs persistence alone: the writes wait, the
latest of each key, and are tried again.

Writes keep the order in which they were last put, so that what was saved before a target was
forgotten, or became another one, cannot come back.

I/O: asyncio, threads, time, sqlite3 (in `exporter.store.state_file`).
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
from functools import partial
from itertools import chain
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeAlias, TypeVar

from exporter.kernel.override import override
from exporter.model.events import Event, LedgerNote, LedgerStatus
from exporter.model.reading import Reading
from exporter.store import sqlite
from exporter.store.ledger import PointRecord, Restored, StateInUseError
from exporter.store.sqlite import Batch, Write
from exporter.store.state_file import LockedError, StateFile

POINTS = 50_000
"""Points of the history that may wait; the oldest are dropped first."""
PAUSE = 0.3
"""Seconds in which writes gather: with the writing, what a kill can cost."""
GATHER = 0.05
"""Seconds between two batches that a caller waits for."""
CLOSING = 1.0
"""Seconds that a close may take."""
STALLED = 5.0
"""Seconds without an answer of the disk after which the process goes on without state."""
_LAST_RETRY = 60.0  # seconds between two tries in trouble, doubling up to this
Key: TypeAlias = tuple[str, ...]
_T = TypeVar("_T")
_Given = ParamSpec("_Given")


class PendingWrites:
    """A queue of writes with one place for each key, and of points."""

    def __init__(self, points: int = POINTS) -> None:
        self._writes: dict[Key, Write] = {}
        self._points: deque[PointRecord] = deque(maxlen=points)
        self.count = 0
        """How many puts there have been."""

    def __bool__(self) -> bool:
        return bool(self._writes or self._points)

    def put(self, key: Key, write: Write) -> None:
        """Add a write at the end, instead of an older one of its key."""
        self.count += 1
        self._writes.pop(key, None)
        self._writes[key] = write

    def extend(self, points: Iterable[PointRecord]) -> None:
        """Add points; beyond the limit the oldest are dropped."""
        self.count += 1
        self._points.extend(points)

    def take(self) -> Batch:
        """Return everything and begin anew."""
        batch = Batch(self._writes, tuple(self._points), self.count)
        self._writes = {}
        self._points.clear()
        return batch

    def put_back(self, batch: Batch) -> None:
        """Return a batch that could not be written: before what has been put since."""
        older = {key: write for key, write in batch.writes.items() if key not in self._writes}
        self._writes = older | self._writes
        self._points = deque(chain(batch.points, self._points), maxlen=self._points.maxlen)


class _Thread(Executor):
    """One thread that does not hold the end of the process.

    A `ThreadPoolExecutor` is joined at exit: a sync that hangs in it would keep the process for as
    long as the disk does not answer.
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

    def abandon(self) -> None:
        """Let the thread end after the present call, whose result nobody gets."""
        self._abandoned = True
        self._queue.put(None)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            future, call = item
            if not future.set_running_or_notify_cancel():
                continue
            result, error = None, None
            try:
                result = call()
            except BaseException as raised:  # noqa: BLE001 - the caller gets it
                error = raised
            if self._abandoned:
                return  # the loop that would get the result may have ended
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)


class FileLedger:
    """The `Ledger` in a file. To be made inside the running loop.

    `path` is the file. `emit` gets LedgerStatus when persistence is lost and when it is back.
    `wall` is the clock of epoch seconds, also called in the ledger's thread. `pause` is how many
    seconds writes gather. `begun_anew` is called when the file was lost while the process ran and
    a new one is there: what is in memory has to be saved again. `stalled` is how many seconds the
    disk may take for an answer.
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
        self._name = path.encode("utf-8", "backslashreplace").decode()
        self._emit = emit
        self._wall = wall
        self._pause = pause
        self._begun_anew = begun_anew
        self._stalled = stalled
        self._loop = asyncio.get_running_loop()
        self._file = StateFile(path, wall, self._in_loop(self._lost), self._in_loop(self._note))
        self._thread = _Thread()
        self._is_loaded = False
        self._pending = PendingWrites()
        self._written = 0  # how many of the puts that `_pending` counted are on the disk
        self._timer: asyncio.TimerHandle | None = None
        self._overdue = False  # the timer fired while the last batch was still being written
        self._batch: asyncio.Future[None] | None = None  # done when it is written, or cannot be
        self._batch_began = -math.inf  # loop time
        self._gathering: asyncio.Future[None] | None = None
        self._retry_in = 0.0  # seconds; above 0 in trouble
        self._retry_at = 0.0  # loop time
        self._closed = False
        self.troubles = 0
        """How often persistence was lost."""
        self.refused = 0
        """How many writes could not have been executed on any disk."""

    # ---------------------------------------------------------------------------------- loading

    async def load(
        self, fingerprints: Mapping[str, str], *, since: float = math.inf, step: float = 0.0
    ) -> Restored:
        """Return what the file knows of the targets in `fingerprints`; empty if it cannot be read.

        Empty, too, when the disk does not answer in time: what it holds is not restored later, but
        written over by what is known by then.
        """
        if self._closed:
            return Restored()
        now = self._wall()

        def question(connection: sqlite3.Connection) -> Restored:
            return sqlite.load_state(connection, fingerprints, since, step, now=now)

        loading = self._loop.run_in_executor(self._thread, lambda: self._file.ask(question))
        stalled: asyncio.Future[None] = self._loop.create_future()
        self._watch(loading, stalled)
        either: tuple[asyncio.Future[Any], ...] = (loading, stalled)
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        self._is_loaded = True
        if not loading.done():
            loading.add_done_callback(lambda late: late.cancelled() or late.exception())
            return Restored()
        try:
            restored = loading.result()
        except LockedError as error:
            self._end()  # nothing of ours may be written there
            raise StateInUseError(f"state.file: {self._name}: {error}.") from None
        except Exception as error:  # noqa: BLE001 - whatever it is, the daemon polls without state
            self._fail(error)
            return Restored()
        if restored.skipped:
            rows = "1 row is" if restored.skipped == 1 else f"{restored.skipped} rows are"
            self._note(f"{rows} damaged and not restored; the next polls replace what they held")
        return restored

    # ----------------------------------------------------------------------------------- saving

    def save_reading(self, target: str, fingerprint: str, reading: Reading, at: float) -> None:
        """Save the last good reading of a collector."""
        self._put(
            ("reading", target, reading.collector),
            partial(
                sqlite.save_reading, target=target, fingerprint=fingerprint, reading=reading, at=at
            ),
        )

    def renew(self, target: str, collector: str, at: float) -> None:
        """Save that the vendor confirmed the last reading."""
        self._put(
            ("renewal", target, collector),
            partial(sqlite.renew, target=target, collector=collector, at=at),
        )

    def save_schedule(self, rows: Mapping[str, bytes | None]) -> None:
        """Save rows of the scheduler; None deletes one."""
        for key, value in rows.items():
            self._put(("schedule", key), partial(sqlite.save_schedule_row, key=key, value=value))

    def save_history(self, points: Iterable[PointRecord]) -> None:
        """Save how much was used."""
        self._pending.extend(points)
        self._set_timer()

    def forget(self, target: str) -> None:
        """Delete readings and history of a target."""
        self._put(("forget", target), partial(sqlite.forget, target=target))

    async def settle(self, patience: float) -> bool:
        """Return True when what was saved before is on the disk; False at once in trouble.

        There are GATHER seconds between two batches, so that a thousand callers are no load.
        """
        wanted = self._pending.count
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while self._written < wanted and not self._retry_in and not self._closed:
                    await asyncio.shield(self._batch or self._write_soon())
        return self._written >= wanted

    def hasten(self) -> None:
        """Write what was saved within GATHER seconds."""
        if self._batch is not None:
            self._overdue = True
        elif self._pending and not self._retry_in and not self._closed:
            _ = self._write_soon()

    async def close(self) -> None:
        """Write what is left, even in trouble, and close the file."""
        if self._closed:
            return
        try:
            async with asyncio.timeout(CLOSING):
                if self._batch is not None:
                    await asyncio.shield(self._batch)
                if self._pending:
                    await asyncio.shield(self._write())
                await self._loop.run_in_executor(self._thread, self._file.close)
        except TimeoutError:
            self._report(ok=False, detail="the disk does not answer; what was saved last is lost")
        finally:
            self._end()

    def _end(self) -> None:
        self._closed = True
        self._cancel_timer()
        self._thread.abandon()

    # ---------------------------------------------------------------------------------- writing

    def _put(self, key: Key, write: Write) -> None:
        self._pending.put(key, write)
        self._set_timer()

    def _set_timer(self) -> None:
        if self._pending and self._timer is None and not self._closed:
            self._timer = self._loop.call_later(self._pause, self._write_when_possible)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _write_when_possible(self) -> None:
        """Write now, or as soon as the last batch is written or the next retry is due."""
        self._cancel_timer()
        left = self._retry_at - self._loop.time()
        if self._batch is not None:
            self._overdue = True
        elif left > 0:
            self._timer = self._loop.call_later(left, self._write_when_possible)
        else:
            _ = self._write()

    def _write_soon(self) -> "asyncio.Future[None]":
        """Return a future that is done with the next batch, or just before that begins."""
        left = self._batch_began + GATHER - self._loop.time()
        if left <= 0:
            return self._write()
        if self._gathering is None:
            self._gathering = self._loop.create_future()
            self._loop.call_later(left, self._gathered)
        return self._gathering

    def _gathered(self) -> None:
        gathering, self._gathering = self._gathering, None
        if self._pending and self._batch is None and not self._closed:
            _ = self._write()
        if gathering is not None:
            gathering.set_result(None)

    def _write(self) -> "asyncio.Future[None]":
        """Hand everything that is pending to the thread."""
        self._cancel_timer()
        self._batch_began = self._loop.time()
        self._overdue = False
        batch = self._pending.take()
        self._batch = done = self._loop.create_future()
        writing = self._loop.run_in_executor(self._thread, lambda: self._file.write(batch))
        writing.add_done_callback(lambda writing: self._finish(writing, batch, done))
        self._watch(writing)
        return done

    def _finish(
        self, writing: "asyncio.Future[int]", batch: Batch, done: "asyncio.Future[None]"
    ) -> None:
        error = asyncio.CancelledError() if writing.cancelled() else writing.exception()
        if error is None:
            self._written = batch.count
            self.refused += writing.result()
            self._recover()
        else:
            self._pending.put_back(batch)
            self._fail(error)
        self._batch = None
        done.set_result(None)
        if self._overdue and not self._closed:
            self._write_when_possible()
        self._set_timer()

    # ---------------------------------------------------------------------------------- trouble

    def _watch(
        self,
        call: "asyncio.Future[_T]",
        stalled: "asyncio.Future[None] | None" = None,
        began: float | None = None,
    ) -> None:
        """Begin a trouble when the disk does not answer a call in time; then `stalled` is done.

        The time is that in which this process ran: a machine that slept says nothing about its
        disk.
        """
        began = time.monotonic() if began is None else began
        left = began + self._stalled - time.monotonic()
        if call.done() or self._closed:
            return
        if left > 0:
            timer = self._loop.call_later(left, self._watch, call, stalled, began)
            call.add_done_callback(lambda _: timer.cancel())
            return
        self._fail(TimeoutError(f"the disk has not answered for {self._stalled:g} s"))
        if stalled is not None and not stalled.done():
            stalled.set_result(None)

    def _fail(self, error: BaseException) -> None:
        if not self._retry_in:
            self.troubles += 1
            what = str(error) or type(error).__name__
            self._report(
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
            self._report(ok=True, detail="state is kept again")

    def _in_loop(self, call: Callable[[str], None]) -> Callable[[str], None]:
        """Return a function for the thread that makes the loop call `call`."""

        def from_thread(text: str) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(call, text)

        return from_thread

    def _lost(self, what: str) -> None:
        self.troubles += 1
        self._report(ok=False, detail=what)
        if self._is_loaded:
            self._report(ok=True, detail="a new file was begun, with what is in memory")
            self._begun_anew()
        else:
            self._report(
                ok=True, detail="a new file was begun; what was kept before is not restored"
            )

    def _note(self, text: str) -> None:
        self._emit(LedgerNote(detail=f"{self._name}: {text}."))

    def _report(self, *, ok: bool, detail: str) -> None:
        self._emit(LedgerStatus(ok=ok, detail=f"{self._name}: {detail}."))
