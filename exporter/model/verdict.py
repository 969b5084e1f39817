"""What an answer means, and the vendor's limit on its own API."""

from enum import StrEnum

import msgspec

from exporter.kernel.select import Selector


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """A condition on an answer: one of the statuses, and where given both conditions hold.

    ``headers`` is evaluated on the map of headers (lower-case names), ``body`` on the decoded body;
    each holds when its result is neither null, false, empty nor zero.
    """

    statuses: frozenset[int]
    headers: Selector | None = None
    body: Selector | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer means. The first rule that fits wins, in the order of the fields.

    ``quota_exhausted`` and ``throttled`` are refusals, ``forbidden`` a lack of permission whatever
    the status; ``absent`` means "there is none" (no samples, no failure); ``accepted`` statuses
    carry a payload. ``guard`` must then hold on the body. ``error`` are the places of the vendor's
    own error text.
    """

    quota_exhausted: tuple[Match, ...] = ()
    throttled: tuple[Match, ...] = ()
    forbidden: tuple[Match, ...] = ()
    absent: tuple[Match, ...] = ()
    accepted: frozenset[int] = frozenset({200})
    guard: Selector | None = None
    error: tuple[Selector, ...] = ()


class ResetKind(StrEnum):
    """How a reset header counts; ``auto`` tells by its size."""

    AUTO = "auto"
    EPOCH = "epoch"
    EPOCH_MS = "epoch_ms"
    DELTA = "delta"
    DATE = "date"


class BudgetScope(StrEnum):
    """Who shares one throttling state."""

    CREDENTIAL = "credential"  # same host, same credential: the default
    HOST = "host"  # all that talk to the host
    TARGET = "target"  # each target alone


class Throttling(msgspec.Struct, frozen=True, kw_only=True):
    """The vendor's limit on its own API.

    ``rate`` is requests per second as declared by the vendor, ``burst`` how many may come at once.
    ``reserve`` is the share of the remaining requests that is left to the key's other users.
    The header names are lower case; empty tuples mean the usual ``x-ratelimit-*`` family.
    """

    scope: BudgetScope = BudgetScope.CREDENTIAL
    rate: float | None = None
    burst: int = 1
    reserve: float = 0.2
    limit_headers: tuple[str, ...] = ()
    remaining_headers: tuple[str, ...] = ()
    reset_headers: tuple[str, ...] = ()
    reset_kind: ResetKind = ResetKind.AUTO
    max_wait: float = 86_400.0
