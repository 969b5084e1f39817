"""Families and samples: the closed table of what is published about usage.

The table is the source of the documentation, of the renderer's HELP and TYPE lines and of the
tests that compare both. Self-metrics live with ``observe``.
"""

import msgspec

from exporter.kernel.units import Kind

CACHED = "(cached between polls)"
IDENTITY = ("provider", "account", "resource")
MEASURED = (Kind.BYTES, Kind.REQUESTS, Kind.SECONDS, Kind.BYTE_SECONDS, Kind.QUANTITY)
"""The kinds that have families of their own."""


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """A metric family; all are gauges. ``labels`` are the label names in their order.

    ``open_labels``: a sample may carry further labels of its own (``usage_account_info``).
    """

    name: str
    help: str
    labels: tuple[str, ...]
    unit: str = ""
    open_labels: bool = False


class Sample(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One value: ``labels`` are the values of the family's labels, ``extra`` further pairs."""

    family: str
    labels: tuple[str, ...]
    value: float
    extra: tuple[tuple[str, str], ...] = ()


_WORDS = {
    Kind.BYTES: "bytes",
    Kind.REQUESTS: "requests",
    Kind.SECONDS: "seconds",
    Kind.BYTE_SECONDS: "byte-seconds",
    Kind.QUANTITY: "countable units (seats, tokens, characters, e-mails, credits)",
}
_MEASURES = (
    ("usage_", "Used so far in the billing period, or now for levels such as storage, in {}"),
    ("usage_limit_", "Effective limit of the billing period in {}; absent if unlimited or unknown"),
    ("usage_projected_", "Expected use at the end of the billing period in {}"),
    ("usage_next_period_", "Expected use in the next billing period in {}, where the vendor says"),
    ("usage_overage_", "Use beyond what is included in the billing period in {}"),
)
_COST = (
    ("usage_cost", "Cost accrued in the billing period"),
    ("usage_cost_base", "Fixed part of the cost of the billing period"),
    ("usage_cost_overage", "Cost of the use beyond what is included in the billing period"),
    ("usage_cost_limit", "Budget of the billing period"),
    ("usage_cost_projected", "Cost expected at the end of the billing period"),
)


def _measured() -> list[Family]:
    return [
        Family(
            name=f"{prefix}{kind}",
            help=f"{text.format(_WORDS[kind])} {CACHED}.",
            labels=IDENTITY,
            unit=kind if kind in (Kind.BYTES, Kind.SECONDS) else "",
        )
        for prefix, text in _MEASURES
        for kind in MEASURED
    ]


def _identity(name: str, text: str, *more: str, unit: str = "") -> Family:
    return Family(name=name, help=text, labels=(*IDENTITY, *more), unit=unit)


def _shares() -> list[Family]:
    return [
        _identity(
            "usage_ratio",
            "Fraction of the limit used in the billing period (1 = at the limit, can exceed 1);"
            f" usage_percent / 100 {CACHED}.",
            unit="ratio",
        ),
        _identity(
            "usage_percent",
            "Percentage of the limit used in the billing period (100 = at the limit, can exceed"
            f" 100); usage_ratio * 100 {CACHED}.",
            unit="percent",
        ),
        _identity(
            "usage_projected_ratio",
            f"Use expected at the end of the billing period as a fraction of the limit {CACHED}.",
            unit="ratio",
        ),
        _identity(
            "usage_exhaustion_timestamp_seconds",
            "When the limit is reached at the present pace, Unix time; absent if that lies beyond"
            f" the end of the billing period {CACHED}.",
            unit="seconds",
        ),
        _identity(
            "usage_period_start_timestamp_seconds",
            f"Start of the billing period (inclusive), Unix time {CACHED}.",
            unit="seconds",
        ),
        _identity(
            "usage_period_end_timestamp_seconds",
            f"End of the billing period (exclusive), Unix time {CACHED}.",
            unit="seconds",
        ),
        _identity(
            "usage_data_timestamp_seconds",
            f"Time that the vendor's own data refers to, Unix time {CACHED}.",
            unit="seconds",
        ),
        _identity(
            "usage_info",
            f"Unit, origin of the limit, billing period and projection; always 1 {CACHED}.",
            "unit",
            "limit_kind",
            "period",
            "projection",
        ),
    ]


def _breakdowns() -> list[Family]:
    measured = [
        _identity(
            f"usage_item_{kind}",
            f"One part of a breakdown of the billing period's use in {_WORDS[kind]} {CACHED}.",
            "group",
            "item",
            unit=kind if kind in (Kind.BYTES, Kind.SECONDS) else "",
        )
        for kind in MEASURED
    ]
    cost = f"One part of a breakdown of the billing period's cost, in major units {CACHED}."
    return [*measured, _identity("usage_item_cost", cost, "group", "item", "currency")]


def _account() -> list[Family]:
    money = [
        Family(
            name=name,
            help=f"{text}, in major units of the currency {CACHED}.",
            labels=("provider", "account", "currency"),
        )
        for name, text in _COST
    ]
    info = Family(
        name="usage_account_info",
        help=f"Plan and the target's own labels, for joins; always 1 {CACHED}.",
        labels=("provider", "account", "plan"),
        open_labels=True,
    )
    return [*money, info]


def _health() -> list[Family]:
    labels = ("provider", "account", "collector")
    throttle = ("provider", "account")
    return [
        Family(
            name="usage_up",
            help="Whether the last poll of the collector succeeded (1) or not (0).",
            labels=labels,
        ),
        Family(
            name="usage_last_success_timestamp_seconds",
            help="Time of the last successful poll, Unix time.",
            labels=labels,
            unit="seconds",
        ),
        Family(
            name="usage_next_poll_timestamp_seconds",
            help="Time of the next poll, Unix time.",
            labels=labels,
            unit="seconds",
        ),
        Family(
            name="usage_api_rate_limit",
            help=f"Requests that the vendor's API allows in its window, from its headers {CACHED}.",
            labels=throttle,
        ),
        Family(
            name="usage_api_rate_limit_remaining",
            help=f"Requests left in the window of the vendor's API, from its headers {CACHED}.",
            labels=throttle,
        ),
        Family(
            name="usage_api_rate_limit_reset_timestamp_seconds",
            help=f"Time at which the window of the vendor's API resets, Unix time {CACHED}.",
            labels=throttle,
            unit="seconds",
        ),
    ]


FAMILIES: tuple[Family, ...] = (
    *_measured(),
    *_shares(),
    *_breakdowns(),
    *_account(),
    *_health(),
)
"""Every usage family, in the order of the exposition."""
FAMILY: dict[str, Family] = {family.name: family for family in FAMILIES}
