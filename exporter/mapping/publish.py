"""The samples of one resource, one currency, one part: which families, which labels."""

import math
from collections.abc import Iterable
from typing import TypeAlias

from exporter.kernel.cycles import Span
from exporter.kernel.units import Kind
from exporter.mapping.outlook import Standing
from exporter.model.reading import Item, Money, Usage
from exporter.model.sample import MEASURED, Sample

Labels: TypeAlias = tuple[str, ...]

_HOUR = 3600.0
_LENGTHS = (  # name, shortest, longest: an hour of daylight saving on either side
    ("day", 23 * _HOUR, 25 * _HOUR),
    ("week", 167 * _HOUR, 169 * _HOUR),
    ("month", 671 * _HOUR, 745 * _HOUR),
    ("year", 8759 * _HOUR, 8785 * _HOUR),
)
_MEASURES = ("usage_", "usage_limit_", "usage_projected_", "usage_next_period_", "usage_overage_")
_NAMES = {kind: tuple(f"{prefix}{kind}" for prefix in _MEASURES) for kind in MEASURED}
_COSTS = (
    "usage_cost",
    "usage_cost_limit",
    "usage_cost_projected",
    "usage_cost_base",
    "usage_cost_overage",
)


def usage_samples(labels: Labels, usage: Usage, standing: Standing) -> list[Sample]:
    """Return the samples of a resource; `labels` are provider, account, resource."""
    numbers = (standing.used, standing.limit, standing.projected, usage.next_period, usage.overage)
    return [
        *_present(labels, zip(_NAMES[usage.kind], numbers, strict=True)),
        *_present(labels, [("usage_data_timestamp_seconds", usage.as_of)]),
        *shares(labels, usage.unit or usage.kind, usage.period, standing),
    ]


def cost_samples(labels: Labels, money: Money, standing: Standing) -> list[Sample]:
    """Return the samples of the money in one currency; `labels` are provider, account, currency."""
    numbers = (standing.used, standing.limit, standing.projected, money.base, money.overage)
    return _present(labels, zip(_COSTS, numbers, strict=True))


def shares(labels: Labels, unit: str, period: Span | None, standing: Standing) -> list[Sample]:
    """Return what stands beside the amounts: the share of the limit, the period, the info."""
    ratio = standing.ratio
    found = _present(
        labels,
        (
            ("usage_ratio", ratio),
            ("usage_percent", None if ratio is None else ratio * 100),
            ("usage_projected_ratio", standing.projected_ratio),
            ("usage_exhaustion_timestamp_seconds", standing.exhausted_at),
            ("usage_period_start_timestamp_seconds", None if period is None else period.start),
            ("usage_period_end_timestamp_seconds", None if period is None else period.end),
        ),
    )
    info = (unit, standing.limit_kind, period_name(period), standing.projection)
    found.append(Sample(family="usage_info", labels=(*labels, *info), value=1.0))
    return found


def item_sample(provider: str, account: str, item: Item) -> Sample:
    """Return the sample of one part of a breakdown."""
    labels = (provider, account, item.resource, item.group, item.item)
    if item.kind is Kind.MONEY:
        return Sample(family="usage_item_cost", labels=(*labels, item.currency), value=item.value)
    return Sample(family=f"usage_item_{item.kind}", labels=labels, value=item.value)


def period_name(period: Span | None) -> str:
    """Return the ``period`` label: the civil stretch that a span is as long as."""
    if period is None:
        return "none"
    length = period.end - period.start
    return next((name for name, low, high in _LENGTHS if low <= length <= high), "custom")


def _present(labels: Labels, values: Iterable[tuple[str, float | None]]) -> list[Sample]:
    """Return a sample for each number; a quotient that left the floats is none."""
    return [
        Sample(family=family, labels=labels, value=value)
        for family, value in values
        if value is not None and math.isfinite(value)
    ]
