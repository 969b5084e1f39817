"""The health of a collector and of a target: words that log, page, JSON and metrics share.

Three facts stand side by side. `Health` is how the last poll ended; ``usage_up`` is 1 for `UP`, 0
after failures and absent for `NEVER_POLLED`. `Wait` says whether something other than the interval
holds the next poll back, and `WaitCause` what: a collector that is up waits too when another target
with the same credential was throttled. `Freshness` says which poll the published values are of.

The schedule works out health and wait, once per status; everybody else maps them to words.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

NEAR_LIMIT: Final = 0.75
"""The ratio of used to limit from which the page is yellow and adaptive polls come faster."""
AT_LIMIT: Final = 0.9
"""The ratio from which it is red, and they come as often as they may."""


class Health(StrEnum):
    """How the last poll of a collector ended; of a target: the worst of its collectors.

    In this order from best to worst, as `worst` compares them.
    """

    UP = "up"
    NEVER_POLLED = "never_polled"
    THROTTLED = "throttled"  # the vendor said wait, or the quota is used up
    FAILING = "failing"  # no answer, or none that can be used
    PAUSED = "paused"  # the credential was rejected, or lacks a permission: a person must act

    @property
    def failed(self) -> bool:
        """Whether the last poll failed."""
        return self in _FAILED


_FAILED = frozenset({Health.THROTTLED, Health.FAILING, Health.PAUSED})
_SEVERITY = {health: number for number, health in enumerate(Health)}


def worst(healths: Iterable[Health]) -> Health:
    """Return the health of a target with collectors of these; never polled if it has none."""
    return max(healths, key=_SEVERITY.__getitem__, default=Health.NEVER_POLLED)


class Wait(StrEnum):
    """Who holds the next poll back."""

    THROTTLED = "throttled"  # the vendor: it said wait
    BACKING_OFF = "backing_off"  # we: after failures, or to stay within a limit
    PAUSED = "paused"  # we: the credential was rejected


class WaitCause(StrEnum):
    """Why the next poll is held back, for people."""

    THROTTLED = "throttled"
    QUOTA = "quota exhausted"
    REFUSED = "credential refused"
    FORBIDDEN = "permission refused"
    RESERVE = "reserve reached"
    PACED = "paced until the reset"
    RECOVERING = "recovering"
    RATE = "declared rate"
    FAILURES = "back-off"

    @property
    def wait(self) -> Wait:
        """Who waits by this cause."""
        match self:
            case WaitCause.THROTTLED | WaitCause.QUOTA:
                return Wait.THROTTLED
            case WaitCause.REFUSED | WaitCause.FORBIDDEN:
                return Wait.PAUSED
            case _:
                return Wait.BACKING_OFF


class Freshness(StrEnum):
    """How old the values of a collector are."""

    NONE = "none"  # no poll has succeeded
    FRESH = "fresh"  # of the last poll
    CACHED = "cached"  # of an earlier poll, as the last one failed
    EXPIRED = "expired"  # too old to be published


def freshness(health: Health, *, published: bool, succeeded: bool) -> Freshness:
    """Return the freshness of values; `published`: not too old, `succeeded`: a poll ever did."""
    if published:
        return Freshness.CACHED if health.failed else Freshness.FRESH
    return Freshness.EXPIRED if succeeded else Freshness.NONE
