"""The command line with its event loop watched: ``python -m tests.support.held REPORT run …``.

From the signal SIGUSR1 on, so that the start is left out. When the process ends it writes to REPORT how long the loop was held, as JSON: ``callback`` are the
seconds of CPU of the longest callback (with ``culprit``), ``beat`` the seconds of CPU of the whole
process between two turns of a timer, so that a thread that keeps the interpreter for itself counts
as well, ``peak`` the largest resident memory in bytes.
"""

import asyncio
import atexit
import json
import signal
import sys
import time
from pathlib import Path

from tests.support.stalls import Stopwatch

_EVERY = 0.002  # seconds between two beats


class Beat:
    """A timer of each loop that measures the CPU which went by between two of its turns."""

    def __init__(self) -> None:
        self.longest = 0.0

    def install(self) -> None:
        """Begin with the first loop that runs."""
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

        asyncio.BaseEventLoop.run_forever = watched  # type: ignore[method-assign]


def peak() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _watch(report: Path) -> None:
    watch, beat = Stopwatch(), Beat()
    watch.install()
    beat.install()

    def write() -> None:
        told = {
            "callback": watch.longest,
            "culprit": watch.culprit,
            "beat": beat.longest,
            "peak": peak(),
        }
        report.write_text(json.dumps(told))

    def begin(_signal: int, _frame: object) -> None:
        watch.reset()
        beat.longest = 0.0

    signal.signal(signal.SIGUSR1, begin)
    atexit.register(write)


if __name__ == "__main__":
    from exporter.cli.main import main

    _watch(Path(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
