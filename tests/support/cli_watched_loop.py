"""Command line with its event loop timed: ``python -m tests.support.cli_watched_loop REPORT``.

At each SIGUSR1 it writes to REPORT what was seen since the last one, as JSON, and begins anew:
``callback`` are the seconds of CPU of the longest callback (with ``culprit``), ``beat`` the seconds
of CPU of the whole process between two turns of a timer, so that a thread that keeps the
interpreter for itself counts as well, ``peak`` the largest resident memory in bytes, ``before`` the
resident memory when it began, ``number`` how many reports there were before.
"""

import asyncio
import itertools
import json
import signal
import sys
import time
from pathlib import Path

import msgspec

from tests.support.callback_timer import CallbackTimer

_EVERY = 0.002  # seconds between two turns of the timer


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One report. Seconds of CPU and bytes."""

    number: int
    callback: float
    culprit: str
    beat: float
    peak: int
    before: int


class Beat:
    """A timer of each loop that measures the CPU which went by between two of its turns."""

    def __init__(self) -> None:
        self.longest = 0.0

    def install(self) -> None:
        """Begin with the next loop that runs. To be called once."""
        run_forever = asyncio.BaseEventLoop.run_forever

        def watched(loop: asyncio.BaseEventLoop) -> None:
            last = [time.process_time()]

            def beat() -> None:
                now = time.process_time()
                self.longest = max(self.longest, now - last[0])
                last[0] = now
                loop.call_later(_EVERY, beat)

            loop.call_soon(beat)
            run_forever(loop)

        asyncio.BaseEventLoop.run_forever = watched  # type: ignore[method-assign, assignment]


def _resident(name: str) -> int:
    """Return the resident memory in bytes: ``VmRSS`` now, ``VmHWM`` the largest so far."""
    status = Path("/proc/self/status").read_text()
    found = next(line for line in status.splitlines() if line.startswith(name))
    return int(found.split()[1]) * 1024


def _watch(report: Path) -> None:
    watch, beat, numbers = CallbackTimer(), Beat(), itertools.count()
    before = [0]
    watch.install()
    beat.install()

    def write(_signal: int, _frame: object) -> None:
        told = {
            "number": next(numbers),
            "callback": watch.longest,
            "culprit": watch.culprit,
            "beat": beat.longest,
            "peak": _resident("VmHWM"),
            "before": before[0],
        }
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): the largest so far is forgotten
        before[0] = _resident("VmRSS")
        watch.reset()
        beat.longest = 0.0
        draft = report.with_suffix(".draft")
        draft.write_text(json.dumps(told))
        draft.replace(report)

    signal.signal(signal.SIGUSR1, write)


if __name__ == "__main__":
    from exporter.cli.main import main

    _watch(Path(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
