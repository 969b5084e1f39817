"""Measures how long callbacks hold the event loop, in seconds of CPU without garbage collection.

CPU and not wall time, because a machine has other things to do than our tests; and without the
garbage collector's share, which depends on all the objects of a test run and not on the callback.
Works on asyncio's own loop; uvloop's handles cannot be looked into.
"""

import asyncio.events
import gc
import time
from collections.abc import Callable

from exporter.kernel.override import override


class CallbackTimer:
    """Times every callback of every loop of this process, from `install` on."""

    def __init__(self) -> None:
        self._run: Callable[[asyncio.events.Handle], None] = asyncio.events.Handle._run
        self._collecting = 0.0
        self._began = 0.0
        self.longest = 0.0
        """Seconds of CPU of the longest callback since the last `reset`."""
        self.culprit = ""

    def install(self) -> None:
        """Begin. To be called once."""
        gc.callbacks.append(self._collects)
        asyncio.events.Handle._run = self._timed()  # type: ignore[method-assign, assignment]

    def reset(self) -> None:
        """Forget what was seen so far."""
        self.longest, self.culprit = 0.0, ""

    @override
    def __str__(self) -> str:
        return f"{1000 * self.longest:.0f} ms of CPU in one callback: {self.culprit}"

    def _timed(self) -> Callable[[asyncio.events.Handle], None]:
        run, clock = self._run, time.thread_time

        def timed(handle: asyncio.events.Handle) -> None:
            callback = handle._callback  # type: ignore[attr-defined] # gone when it has run
            collecting, began = self._collecting, clock()
            run(handle)
            took = clock() - began - (self._collecting - collecting)
            if took > self.longest:
                self.longest, self.culprit = took, _named(callback)

        return timed

    def _collects(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.thread_time()
        else:
            self._collecting += time.thread_time() - self._began


def _named(callback: object) -> str:
    task = getattr(callback, "__self__", None)
    return repr(task if isinstance(task, asyncio.Task) else callback)[:500]
