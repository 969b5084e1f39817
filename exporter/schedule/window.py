"""The vendor's window: what its headers say of its own limit, and what follows for our pace.

What remains beyond the reserve must last for all polls until the reset: they slow down ahead of
it, and stop at the reserve. Times are loop time.
"""

import math

import msgspec

from exporter.model.reading import RateLimit
from exporter.schedule.job import Terms

RESET_TOLERANCE = 5.0  # vendors' reset times jitter; a new window moves further
RESET_MARGIN = 1.0  # resets are told in whole seconds
UNKNOWN_WINDOW = 300.0  # how long a `remaining` without a reset is believed
ROOMY = 0.25  # of the limit, beyond the reserve: nobody uses that up in the time of a poll
EPSILON = 1e-9  # of a request: sums of floats must not cost a turn


class Window(msgspec.Struct, frozen=True, gc=False):
    """What the vendor said of its own limit. `limit` and `reset` are None where it did not say."""

    limit: float | None
    remaining: float
    reset: float | None
    seen: float

    @property
    def end(self) -> float:
        """When a new window surely has begun."""
        if self.reset is None:
            return self.seen + UNKNOWN_WINDOW
        return self.reset + RESET_MARGIN

    def over(self, now: float) -> bool:
        """Tell whether the numbers mean nothing any more."""
        return now >= self.end


def observe(
    old: Window | None, rate: RateLimit | None, *, now: float, wall: float
) -> Window | None:
    """Return the window after an answer; `old` itself if the answer says nothing.

    Answers may overtake each other: within a window `remaining` only falls. `wall` is `now` in
    epoch seconds, as resets are.
    """
    remaining = _count(None if rate is None else rate.remaining)
    if rate is None or remaining is None:
        return old
    reset = None if rate.reset_at is None else now + rate.reset_at - wall
    if reset is not None and not now <= reset < math.inf:
        reset = None
    if old is not None and _same(old, reset, now):
        remaining, reset = min(remaining, old.remaining), old.reset
    return Window(_count(rate.limit), remaining, reset, now)


def _count(number: float | None) -> float | None:
    return number if number is not None and 0.0 <= number < math.inf else None


def _same(old: Window, reset: float | None, now: float) -> bool:
    if reset is None or old.reset is None or old.over(now):
        return False
    return abs(reset - old.reset) <= RESET_TOLERANCE


def closed_until(window: Window, terms: Terms, now: float, *, cost: float, pledged: float) -> float:
    """Return when a poll of `cost` requests may start; not later than `now` if it may.

    `pledged` are the requests that running polls may still make. A window that ends in weeks is
    asked again after `max_wait`: the vendor may have changed its mind.
    """
    if window.over(now):
        return -math.inf
    # A poll that is dearer than all that the reserve leaves must start some time: in a full window.
    need = cost if window.limit is None else min(cost, window.limit - _kept(window, terms))
    if _available(window, terms, pledged) >= need - EPSILON:
        return -math.inf
    return min(window.end, window.seen + terms.max_wait)


def roomy(window: Window, terms: Terms, now: float, pledged: float) -> bool:
    """Tell whether much is left, by the vendor's own word."""
    if window.limit is None or window.over(now):
        return False
    return _available(window, terms, pledged) >= ROOMY * window.limit


def pace(
    window: Window, terms: Terms, now: float, *, pledged: float, demand: float
) -> float | None:
    """Return the requests per second that last until the reset; None if `demand` is less."""
    if window.reset is None or window.over(now):
        return None
    left = window.end - now
    available = max(_available(window, terms, pledged), EPSILON)
    return available / left if demand * left > available else None


def _available(window: Window, terms: Terms, pledged: float) -> float:
    return window.remaining - _kept(window, terms) - pledged


def _kept(window: Window, terms: Terms) -> float:
    """Return the requests that are the others': the reserve, but never all."""
    whole = window.remaining if window.limit is None else window.limit
    return max(0.0, min(math.floor(terms.reserve * whole), whole - 1.0))
