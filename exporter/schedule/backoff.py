"""How long to stay away after failures: a function of numbers."""

import math

JITTER = 0.25  # of our own steps, upward: clients that failed together come back apart
WAIT_MARGIN = 1.0  # second: some vendors round their waits down
WAIT_JITTER = 0.1  # of a wait that the vendor asked for, upward too
WAIT_JITTER_MAX = 30.0  # seconds
EXPONENT_MAX = 62  # 2**62 s is far beyond every cap; 2.0**1024 would overflow


def backoff(failures: int, chance: float, *, floor: float, base: float, cap: float) -> float:
    """Return the seconds to wait after so many consecutive failures (1 is the first).

    `base` doubles with each failure; `chance` in [0, 1) spreads the result upward. The result is
    never below `floor` (a vendor's word, or a minimal interval), which is rounded up to a second
    and spread upward, and never above `cap`, which wins over all others.
    """
    exponent = min(max(failures - 1, 0), EXPONENT_MAX)
    step = min(base * 2.0**exponent, cap / (1.0 + JITTER))
    return min(cap, max(step * (1.0 + JITTER * chance), above(floor, chance)))


def above(wait: float, chance: float) -> float:
    """Return `wait` seconds, rounded up and spread upward: a floor is never undercut.

    Vendors round, and reset their counters a moment late; and whoever shares the key was told the
    same instant. Not a number, negative: 0, as nothing was said.
    """
    if not wait > 0.0:
        return 0.0
    if math.isinf(wait):
        return wait
    return (
        math.ceil(wait) + WAIT_MARGIN + chance * min(max(1.0, wait * WAIT_JITTER), WAIT_JITTER_MAX)
    )
