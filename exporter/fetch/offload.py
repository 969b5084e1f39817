"""Work that must not run on the event loop: large answers, and system calls that block.

`Offload` decodes and maps large answers in one thread, one answer at a time. A thread does not make
Python faster: decoding five megabytes holds the interpreter for fifty milliseconds in any thread.
With one thread a scrape waits for one answer, and not for as many as have arrived; and few are in
memory as objects, which take ten times their bytes, because what is begun is finished before the
next answer is looked at. How many polls hold a large answer at all is limited as well.

`BlockingCalls` is for what the system answers only by blocking a thread, for as long as it likes:
``getaddrinfo`` waits for name servers, ``stat`` for a network disk. Neither can be ended. So each
call has a daemon thread of its own, which holds up neither other calls nor the end of the process
(the threads of an executor are joined at exit), and waits for it are bounded.
"""

import asyncio
import functools
import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import IntEnum
from importlib import import_module
from typing import Any, Final, TypeVar

import msgspec

LARGE = 256 * 1024
"""Bytes of an answer that take some milliseconds to decode."""
SLOW = 16 * 1024
"""Bytes of an answer that take some milliseconds to map: each value costs microseconds."""
_M_MMAP_THRESHOLD = -3  # malloc.h
_HOLDERS = 4
"""Polls that may hold an answer of more than `LARGE` bytes at once."""
_Result = TypeVar("_Result")


@functools.cache
def _return_freed_memory() -> None:
    """Have the C library give large blocks back to the system as soon as they are freed.

    glibc raises the size from which it does so with each of them (mallopt(3)), and keeps holes
    where large answers were: after some of them the process would stay twice as large. Other
    libraries have no such setting and no such need.
    """
    try:
        library = import_module("ctypes").CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, LARGE)
    except (ImportError, OSError, AttributeError):
        return


class Offload:
    """Runs work on large answers in a thread, in turn, and small work at once."""

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._queue: deque[asyncio.Future[None]] = deque()
        self._busy = False
        self._places = asyncio.Semaphore(_HOLDERS)
        self._holders: set[asyncio.Task[object]] = set()

    async def admit(self) -> None:
        """Return when the poll of this task may hold a large answer; until the task ends.

        A poll takes one place, however many large answers it has: no poll waits for a place while
        it keeps others from going on. To be called in a task.
        """
        task = asyncio.current_task()
        if task is None or task in self._holders:
            return
        _return_freed_memory()
        await self._places.acquire()
        self._holders.add(task)
        task.add_done_callback(self._release)

    def leave(self) -> None:
        """Give the place of this task to the next: its answers are no longer held."""
        task = asyncio.current_task()
        if task is not None and task in self._holders:
            task.remove_done_callback(self._release)
            self._release(task)

    def _release(self, task: asyncio.Task[object]) -> None:
        self._holders.discard(task)
        self._places.release()

    async def call(
        self,
        work: Callable[[], _Result],
        *,
        size: int,
        large: int = LARGE,
        finishing: bool = False,
    ) -> _Result:
        """Return what `work` on `size` bytes returns; above `large` bytes it runs in the thread.

        `finishing`: the work lets go of what an earlier call made. It comes before work that begins
        with another answer.
        """
        if size <= large:
            return work()
        await self._wait_for_turn(ahead=finishing)
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="offload")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, work)
        finally:
            # Not at once: the poll that waited for this may have to finish something, and is first.
            loop.call_soon(self._wake_next)

    def close(self) -> None:
        """End the thread. What it works on is abandoned."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    async def _wait_for_turn(self, *, ahead: bool) -> None:
        if not self._busy:
            self._busy = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._queue.appendleft if ahead else self._queue.append)(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._wake_next()  # the turn came just when this task was cancelled
            raise

    def _wake_next(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._busy = False


_REMEMBERED: Final = 4096  # keys of which the last outcome is known


class _Rank(IntEnum):
    """Which calls come first when threads are scarce: by how the last one of the same key ended."""

    GOOD = 0
    NEW = 1
    BAD = 2  # it failed, or took longer than the caller waited


_THREADS: Final = {_Rank.GOOD: 256, _Rank.NEW: 192, _Rank.BAD: 64}
"""A call of that rank begins while fewer than so many run. The rest is reserved for better ranks:
names that are never answered for cannot starve those that are. (As many new names as polls run at
once, 64, may hang for three times as long as anybody waits before the next new one has to wait.)"""


class _Call(msgspec.Struct, eq=False):
    """A call that runs or is queued, and how many callers wait for it."""

    work: Callable[[], Any]
    outcome: asyncio.Future[Any]
    waiters: int = 0
    begun: bool = False


class BlockingCalls:
    """Blocking calls in daemon threads: one at a time for each key, shared by all callers."""

    def __init__(self) -> None:
        self._calls: dict[Hashable, _Call] = {}
        self._queue: dict[Hashable, _Call] = {}
        self._running = 0
        self._ranks: dict[Hashable, _Rank] = {}

    async def call(self, key: Hashable, work: Callable[[], _Result], *, timeout: float) -> _Result:  # noqa: ASYNC109 - the call goes on after it
        """Return what `work` returns, or raise what it raises.

        A call of the same key that is under way is joined. Raises TimeoutError after `timeout`
        seconds; the call goes on.
        """
        call = self._calls.get(key)
        if call is None:
            call = _Call(work, asyncio.get_running_loop().create_future())
            call.outcome.add_done_callback(_retrieve)
            self._calls[key] = self._queue[key] = call
            self._begin_queued()
        call.waiters += 1
        try:
            done, _ = await asyncio.wait([call.outcome], timeout=timeout)
        finally:
            call.waiters -= 1
            if not call.begun and not call.waiters:
                del self._queue[key], self._calls[key]
        if not done:
            if call.begun:
                self._remember(key, _Rank.BAD)
            raise TimeoutError
        result: _Result = call.outcome.result()
        return result

    def _begin_queued(self) -> None:
        """Begin the queued calls that may have a thread: the best rank first, then the oldest."""
        while self._queue:
            key = min(self._queue, key=self._rank)
            if self._running >= _THREADS[self._rank(key)]:
                return
            self._begin(key, self._queue.pop(key))

    def _begin(self, key: Hashable, call: _Call) -> None:
        loop = call.outcome.get_loop()

        def run() -> None:
            result, error = None, None
            try:
                result = call.work()
            except Exception as raised:  # noqa: BLE001 - the callers get it
                error = raised
            with suppress(RuntimeError):  # the loop has ended, and nobody waits
                loop.call_soon_threadsafe(self._finish, key, call, result, error)

        call.begun = True
        self._running += 1
        try:
            threading.Thread(target=run, name="blocking", daemon=True).start()
        except RuntimeError:  # the system grants no thread
            error = OSError("this process may not start another thread")
            loop.call_soon(self._finish, key, call, None, error)

    def _finish(self, key: Hashable, call: _Call, result: object, error: Exception | None) -> None:
        self._running -= 1
        del self._calls[key]
        self._remember(key, _Rank.GOOD if error is None else _Rank.BAD)
        if not call.outcome.done():
            if error is None:
                call.outcome.set_result(result)
            else:
                call.outcome.set_exception(error)
        self._begin_queued()

    def _rank(self, key: Hashable) -> _Rank:
        return self._ranks.get(key, _Rank.NEW)

    def _remember(self, key: Hashable, rank: _Rank) -> None:
        self._ranks.pop(key, None)
        self._ranks[key] = rank
        if len(self._ranks) > _REMEMBERED:
            del self._ranks[next(iter(self._ranks))]


def _retrieve(outcome: asyncio.Future[Any]) -> None:
    """Retrieve an exception that no caller waits for any more, or asyncio logs it."""
    if not outcome.cancelled():
        outcome.exception()
