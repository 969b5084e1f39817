"""What the status page and ``/api/v1/targets`` show: frozen values that ``app`` fills in.

The JSON is these structs as they are, so their names are a contract. Times are Unix seconds,
spans are seconds, amounts are in base units (bytes, seconds, major currency units), ratios are 1
at the limit. None: not known, or does not apply. Nothing here holds a secret.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

import msgspec

from exporter.model.health import AT_LIMIT, NEAR_LIMIT, Freshness, Health, Wait

YELLOW: Final = NEAR_LIMIT
RED: Final = AT_LIMIT


class ResourceView(msgspec.Struct, frozen=True, kw_only=True):
    """One resource of one account, as its series say it.

    `kind` is bytes, requests, seconds, byte_seconds, quantity or ratio. `account` is the label
    where a target has several, else "". `limit_kind` and `projection` are the labels of
    ``usage_info``: provider, config, unlimited, unknown; provider, linear, none.
    """

    resource: str
    kind: str
    account: str = ""
    unit: str = ""
    used: float | None = None
    limit: float | None = None
    limit_kind: str = "unknown"
    ratio: float | None = None
    projected: float | None = None
    projected_ratio: float | None = None
    projection: str = "none"
    exhaustion: float | None = None
    period_start: float | None = None
    period_end: float | None = None
    data_time: float | None = None


class CostView(msgspec.Struct, frozen=True, kw_only=True):
    """The money of one account in one currency, in major units."""

    currency: str
    account: str = ""
    cost: float | None = None
    base: float | None = None
    overage: float | None = None
    limit: float | None = None
    projected: float | None = None
    balance: float | None = None


class CollectorView(msgspec.Struct, frozen=True, kw_only=True):
    """A collector: how its last poll ended, and how old its values are.

    `reason` and `detail` are of the last poll, where it failed; `failures` counts in a row.
    """

    collector: str
    health: Health = Health.NEVER_POLLED
    freshness: Freshness = Freshness.NONE
    interval: float
    last_success: float | None = None
    next_poll: float | None = None
    failures: int = 0
    reason: str = ""
    detail: str = ""


class ApiView(msgspec.Struct, frozen=True, kw_only=True):
    """The limit of the vendor's own API, as stated in its last answer, for the target's key.

    `reserve` is the share of it that is left to the key's other users; `reset` is when `remaining`
    begins anew.
    """

    reserve: float
    limit: float | None = None
    remaining: float | None = None
    reset: float | None = None


class FailureView(msgspec.Struct, frozen=True, kw_only=True):
    """A poll that failed lately."""

    at: float
    collector: str
    reason: str
    detail: str


class TargetView(msgspec.Struct, frozen=True, kw_only=True):
    """A target. `health` is the worst of its collectors.

    `wait` says who holds the next poll back (None: nobody), for `wait_seconds`, `wait_cause` why.
    `title` is the provider's name for people, `failures` the last ones, newest first, `api` what
    may be asked of the vendor.
    """

    provider: str
    account: str
    title: str = ""
    plan: str = ""
    labels: Mapping[str, str] = {}
    health: Health = Health.NEVER_POLLED
    wait: Wait | None = None
    wait_seconds: float = 0.0
    wait_cause: str = ""
    resources: tuple[ResourceView, ...] = ()
    costs: tuple[CostView, ...] = ()
    collectors: tuple[CollectorView, ...] = ()
    failures: tuple[FailureView, ...] = ()
    api: ApiView | None = None


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    """The whole exporter. `config_problems` are of the last reload, if it failed."""

    version: str
    now: float
    started: float
    config_loaded: float | None = None
    config_problems: tuple[str, ...] = ()
    targets: tuple[TargetView, ...] = ()


class Grade(IntEnum):
    """How much a target needs attention; the higher the more."""

    FINE = 0
    WAITING = 1  # for its first poll
    YELLOW = 2
    WAITS = 3  # longer than its interval, but its last poll succeeded
    RED = 4
    DOWN = 5


def worst_ratio(target: TargetView) -> float:
    """Return the highest ratio of the target's resources, 0 when none is known."""
    return max((one.ratio for one in target.resources if one.ratio is not None), default=0.0)


def grade(target: TargetView) -> Grade:
    """Return the grade of `target`: the worst of its health, its wait and its ratios."""
    if target.health.failed:
        return Grade.DOWN
    ratio = worst_ratio(target)
    if ratio >= RED:
        return Grade.RED
    if target.wait is not None:
        return Grade.WAITS
    if ratio >= YELLOW:
        return Grade.YELLOW
    if target.health is Health.NEVER_POLLED:
        return Grade.WAITING
    return Grade.FINE
