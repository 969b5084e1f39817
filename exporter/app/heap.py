"""Keeps what stays for long out of the garbage collector's sight.

At 50,000 targets one look at everything holds the event loop for a second, and the collector looks
whenever a quarter more has come. So what is there is frozen. Garbage that hangs together in cycles
is frozen with it, a few objects at each reload: after some reloads everything is looked at after
all. (To count what is frozen takes as long as a look at it.)
"""

import gc
from typing import Final

SWEEP_EVERY: Final = 32
"""Reloads."""


class Heap:
    """The frozen part of this process's memory."""

    def __init__(self) -> None:
        self._reloads = 0

    def rest(self) -> None:
        """Freeze what is there now."""
        gc.freeze()

    def reloaded(self) -> None:
        """Freeze what is there after a reload; of every few reloads free what is garbage."""
        self._reloads += 1
        if self._reloads % SWEEP_EVERY == 0:
            gc.unfreeze()
            gc.collect()
        gc.freeze()
