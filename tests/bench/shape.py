"""The series of the scrape benchmarks: the same for us and for every peer.

Ten families for each resource, as a resource with a limit and a period has; up to a hundred
resources a target. A line has 106 bytes on average.
"""

from collections.abc import Iterator

from exporter.model.families import Sample

FAMILIES = (
    "usage_bytes",
    "usage_limit_bytes",
    "usage_projected_bytes",
    "usage_ratio",
    "usage_percent",
    "usage_projected_ratio",
    "usage_period_start_timestamp_seconds",
    "usage_period_end_timestamp_seconds",
    "usage_exhaustion_timestamp_seconds",
    "usage_data_timestamp_seconds",
)
LABELS = ("provider", "account", "resource")
_WHOLE = 3  # of the families, those whose values are whole numbers


def target_samples(target: int, count: int, turn: int = 0) -> list[Sample]:
    """Return the `count` samples of a target; each `turn` gives other values."""
    account = f"account-{target:05}"
    found = []
    for resource in range(count // len(FAMILIES)):
        labels = ("tpstreams", account, f"resource_{resource:03}")
        for position, family in enumerate(FAMILIES):
            value = float((resource * 7919 + position * 104_729 + target + turn) % 1_000_003)
            value *= 1.0 if position < _WHOLE else 0.37
            found.append(Sample(family=family, labels=labels, value=value))
    return found


def per_target(series: int) -> int:
    """Return how many series each target has, where there are `series` in all."""
    return min(series, 1_000)


def targets(series: int, turn: int = 0) -> Iterator[list[Sample]]:
    """Yield the samples of each target."""
    each = per_target(series)
    for target in range(series // each):
        yield target_samples(target, each, turn)
