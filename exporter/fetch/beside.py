"""Large answers are worked on beside the event loop, one at a time.

A thread does not make Python faster: whoever decodes five megabytes holds the interpreter for fifty
milliseconds, wherever that is. With one thread a scrape waits for one answer, and not for as many
as have arrived; and as few as possible are in memory as objects, which take ten times their bytes:
what is begun is finished before the next answer is looked at.

How many polls hold a large answer at once is limited as well, or as many as may run at once would
wait in memory for their turn.

I/O: one thread, made when it is needed.
"""

import asyncio
import functools
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TypeVar

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


class Beside:
    """Calls what takes long: in a thread of its own if it is about many bytes."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._line: deque[asyncio.Future[None]] = deque()
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
        task.add_done_callback(self._dismiss)

    def leave(self) -> None:
        """Give the place of this task to the next: its answers are no longer held."""
        task = asyncio.current_task()
        if task is not None and task in self._holders:
            task.remove_done_callback(self._dismiss)
            self._dismiss(task)

    def _dismiss(self, task: asyncio.Task[object]) -> None:
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
        """Return what `work` does, which is about `size` bytes, when its turn has come.

        More than `large` bytes are worked on in the thread.
        `finishing`: it lets go of what an earlier call made, and comes before what only begins.
        """
        if size <= large:
            return work()
        await self._turn(ahead=finishing)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker(), work)
        finally:
            # Not at once: the poll that waited for this may have to finish something, and is first.
            asyncio.get_running_loop().call_soon(self._pass_on)

    def close(self) -> None:
        """Let the thread go. What it works on is nobody's any more."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None

    def _worker(self) -> ThreadPoolExecutor:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="beside")
        return self._thread

    async def _turn(self, *, ahead: bool) -> None:
        if not self._busy:
            self._busy = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._line.appendleft if ahead else self._line.append)(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()  # it came just when nobody wanted it any more
            raise

    def _pass_on(self) -> None:
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._busy = False
