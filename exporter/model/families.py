"""The one table of what is known of a resource and of money, and the families that publish it.

A `Role` is one number or time: what a definition calls it (``key``), where it stands in readings
and statuses, and its family. Everything else that lists roles is made of this table: the keys that
a definition may write, what mapping reads and merges, the samples, the status page, the generated
documentation, the renderer's HELP and TYPE lines. tests/house/test_change_places.py adds a role and
shows which places then complain. Self-metrics live with ``observe``.
"""

import msgspec

from exporter.kernel.units import Kind

CACHED = "(cached between polls)"
IDENTITY = ("provider", "account", "resource")
SPEND = "spend"
"""The resource that money is in the families of shares, and the name of its budget."""
MEASURED = (Kind.BYTES, Kind.REQUESTS, Kind.SECONDS, Kind.BYTE_SECONDS, Kind.QUANTITY)
"""The kinds that have families of their own."""
SHARE = (Kind.RATIO,)
MONEY = (Kind.MONEY,)
_WORDS = {
    Kind.BYTES: "bytes",
    Kind.REQUESTS: "requests",
    Kind.SECONDS: "seconds",
    Kind.BYTE_SECONDS: "byte-seconds",
    Kind.QUANTITY: "countable units (seats, tokens, characters, e-mails, credits)",
}


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


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """One number or time of a resource, of money, or of an item of a breakdown.

    ``key`` is what a definition calls it, and its attribute in compiled rules and in readings; ""
    where it is worked out and never read. ``field`` is its attribute in a `UsageStatus`: the roles
    of a resource and of money that have one field are twins. ``family`` is the family's name, in
    which ``{}`` stands for the kind; "" where it has none and only helps to work out others.

    ``kinds`` are those of its unit in a definition, () for a time. ``unit`` is the family's, and
    that of a number where the definition says nothing (None: the rule's unit). ``into`` is the key
    that a number with another unit fills: ``percent`` fills ``ratio``. ``is_limit``: sentinels may
    mean "unlimited". ``accrues``: no rows mean that nothing was used, 0. ``is_level``: what there
    is now, of no billing period and of no budget.
    """

    field: str
    key: str = ""
    family: str = ""
    help: str = ""
    unit: str = ""
    kinds: tuple[Kind, ...] = ()
    into: str = ""
    is_limit: bool = False
    accrues: bool = False
    is_level: bool = False


RESOURCE_ROLES = (
    Role(
        field="used",
        key="used",
        family="usage_{}",
        help="Used so far in the billing period, or now for levels such as storage, in {}",
        kinds=MEASURED,
        accrues=True,
    ),
    Role(
        field="limit",
        key="limit",
        family="usage_limit_{}",
        help="Effective limit of the billing period in {}; absent if unlimited or unknown",
        kinds=MEASURED,
        is_limit=True,
    ),
    Role(
        field="remaining",
        key="remaining",
        family="usage_remaining_{}",
        help="What is left in {}, as the vendor says, else the limit less what is used; negative"
        " beyond the limit",
        kinds=MEASURED,
    ),
    Role(
        field="ratio",
        key="ratio",
        family="usage_ratio",
        help="Fraction of the limit used in the billing period (1 = at the limit, can exceed 1);"
        " usage_percent / 100",
        unit="ratio",
        kinds=SHARE,
    ),
    Role(
        field="percent",
        key="percent",
        family="usage_percent",
        help="Percentage of the limit used in the billing period (100 = at the limit, can exceed"
        " 100); usage_ratio * 100",
        unit="percent",
        kinds=SHARE,
        into="ratio",
    ),
    Role(
        field="projected",
        key="projected",
        family="usage_projected_{}",
        help="Expected use at the end of the billing period in {}",
        kinds=MEASURED,
    ),
    Role(
        field="next_period",
        key="next_period",
        family="usage_next_period_{}",
        help="Expected use in the next billing period in {}, where the vendor says",
        kinds=MEASURED,
    ),
    Role(
        field="overage",
        key="overage",
        family="usage_overage_{}",
        help="Use beyond what is included in the billing period in {}",
        kinds=MEASURED,
        accrues=True,
    ),
    Role(
        field="projected_ratio",
        family="usage_projected_ratio",
        help="Use expected at the end of the billing period as a fraction of the limit",
        unit="ratio",
    ),
    Role(
        field="exhausted_at",
        family="usage_exhaustion_timestamp_seconds",
        help="When the limit is reached at the present pace, Unix time; absent if that lies beyond"
        " the end of the billing period",
        unit="seconds",
    ),
    Role(
        field="period_start",
        family="usage_period_start_timestamp_seconds",
        help="Start of the billing period (inclusive), Unix time",
        unit="seconds",
    ),
    Role(
        field="period_end",
        family="usage_period_end_timestamp_seconds",
        help="End of the billing period (exclusive), Unix time",
        unit="seconds",
    ),
    Role(
        field="as_of",
        key="as_of",
        family="usage_data_timestamp_seconds",
        help="Time that the vendor's own data refers to, Unix time",
        unit="seconds",
    ),
)
COST_ROLES = (
    Role(
        field="used",
        key="cost",
        family="usage_cost",
        help="Cost accrued in the billing period",
        kinds=MONEY,
        accrues=True,
    ),
    Role(
        field="base",
        key="base",
        family="usage_cost_base",
        help="Fixed part of the cost of the billing period",
        kinds=MONEY,
        accrues=True,
    ),
    Role(
        field="overage",
        key="overage",
        family="usage_cost_overage",
        help="Cost of the use beyond what is included in the billing period",
        kinds=MONEY,
        accrues=True,
    ),
    Role(
        field="limit",
        key="limit",
        family="usage_cost_limit",
        help="Budget of the billing period",
        kinds=MONEY,
        is_limit=True,
    ),
    Role(
        field="remaining",
        key="remaining",
        family="usage_cost_remaining",
        help="What is left of the budget, as the vendor says, else the budget less the cost;"
        " negative beyond the budget",
        kinds=MONEY,
    ),
    Role(
        field="balance",
        key="balance",
        family="usage_balance",
        help="Prepaid money that is left on the account; negative when the account owes",
        kinds=MONEY,
        is_level=True,
    ),
    Role(
        field="projected",
        key="projected",
        family="usage_cost_projected",
        help="Cost expected at the end of the billing period",
        kinds=MONEY,
    ),
)
ITEM_ROLES = (
    Role(
        field="value",
        key="used",
        family="usage_item_{}",
        help="One part of a breakdown of the billing period's use in {}",
        kinds=MEASURED,
    ),
    Role(
        field="value",
        key="cost",
        family="usage_item_cost",
        help="One part of a breakdown of the billing period's cost, in major units",
        kinds=MONEY,
    ),
)


def numbers(roles: tuple[Role, ...]) -> dict[str, Role]:
    """Return the roles whose numbers a definition can name, by their keys."""
    return {role.key: role for role in roles if role.key and role.kinds}


def read_roles(roles: tuple[Role, ...]) -> tuple[Role, ...]:
    """Return the roles that are attributes, by their keys, of compiled rules and of readings."""
    return tuple(role for role in roles if role.key and not role.into)


def _measured(role: Role, *more: str) -> list[Family]:
    return [
        Family(
            name=role.family.format(kind),
            help=f"{role.help.format(_WORDS[kind])} {CACHED}.",
            labels=(*IDENTITY, *more),
            unit=kind if kind in (Kind.BYTES, Kind.SECONDS) else "",
        )
        for kind in MEASURED
    ]


def _families() -> tuple[Family, ...]:
    """Return every usage family, in the order of the exposition."""
    used, cost = ITEM_ROLES
    return (
        *(family for role in RESOURCE_ROLES if "{}" in role.family for family in _measured(role)),
        *(
            Family(name=role.family, help=f"{role.help} {CACHED}.", labels=IDENTITY, unit=role.unit)
            for role in RESOURCE_ROLES
            if role.family and "{}" not in role.family
        ),
        Family(
            name="usage_info",
            help=f"Unit, origin of the limit, billing period and projection; always 1 {CACHED}.",
            labels=(*IDENTITY, "unit", "limit_kind", "period", "projection"),
        ),
        *_measured(used, "group", "item"),
        Family(
            name=cost.family,
            help=f"{cost.help} {CACHED}.",
            labels=(*IDENTITY, "group", "item", "currency"),
        ),
        *(
            Family(
                name=role.family,
                help=f"{role.help}, in major units of the currency {CACHED}.",
                labels=("provider", "account", "currency"),
            )
            for role in COST_ROLES
            if role.family
        ),
        Family(
            name="usage_account_info",
            help=f"Plan and the target's own labels, for joins; always 1 {CACHED}.",
            labels=("provider", "account", "plan"),
            open_labels=True,
        ),
        *_HEALTH,
    )


_COLLECTOR = ("provider", "account", "collector")
_ACCOUNT = ("provider", "account")
_HEALTH = (
    Family(
        name="usage_up",
        help="Whether the last poll of the collector succeeded (1) or not (0).",
        labels=_COLLECTOR,
    ),
    Family(
        name="usage_last_success_timestamp_seconds",
        help="Time of the last successful poll, Unix time.",
        labels=_COLLECTOR,
        unit="seconds",
    ),
    Family(
        name="usage_next_poll_timestamp_seconds",
        help="Time of the next poll, Unix time.",
        labels=_COLLECTOR,
        unit="seconds",
    ),
    Family(
        name="usage_api_rate_limit",
        help=f"Requests that the vendor's API allows in its window, from its headers {CACHED}.",
        labels=_ACCOUNT,
    ),
    Family(
        name="usage_api_rate_limit_remaining",
        help=f"Requests left in the window of the vendor's API, from its headers {CACHED}.",
        labels=_ACCOUNT,
    ),
    Family(
        name="usage_api_rate_limit_reset_timestamp_seconds",
        help=f"Time at which the window of the vendor's API resets, Unix time {CACHED}.",
        labels=_ACCOUNT,
        unit="seconds",
    ),
)
FAMILIES: tuple[Family, ...] = _families()
"""Every usage family, in the order of the exposition."""
FAMILY: dict[str, Family] = {family.name: family for family in FAMILIES}
