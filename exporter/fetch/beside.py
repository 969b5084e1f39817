"""Large answers are worked on beside the event loop, one at a time.

A thread does not make Python faster: whoever decodes five megabytes holds the interpreter for fifty
milliseconds, wherever that is. With one thread a scrape waits for one answer, and not for as many
as have arrived; and as few as possible are in memory as objects, which take ten times their bytes:
what is begun is finished before the next answer is looked at.

I/O: one thread, made when it is needed.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

LARGE = 256 * 1024
"""Bytes of an answer that take some milliseconds."""

_Result = TypeVar("_Result")


class Beside:
    """Calls what takes long: in a thread of its own if it is about many bytes."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._line: deque[asyncio.Future[None]] = deque()
        self._busy = False

    async def call(
        self, work: Callable[[], _Result], *, size: int, finishing: bool = False
    ) -> _Result:
        """Return what `work` does, which is about `size` bytes, when its turn has come.

        `finishing`: it lets go of what an earlier call made, and comes before what only begins.
        """
        if size <= LARGE:
            return work()
        await self._turn(ahead=finishing)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker(), work)
        finally:
            self._pass_on()

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
