"""An exposition parsed by prometheus_client: its series by name and labels."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families


class Series(NamedTuple):
    """One line of an exposition."""

    name: str
    labels: Mapping[str, str]
    value: float


class ParsedExposition:
    """An exposition in the text format."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.series = tuple(_parsed(text))
        keys = [(one.name, *sorted(one.labels.items())) for one in self.series]
        assert len(keys) == len(set(keys)), "a series stands there twice"

    def all(self, name: str, **labels: str) -> list[Series]:
        """Return the series of a metric that have these labels, among others."""
        return [
            one
            for one in self.series
            if one.name == name and labels.items() <= dict(one.labels).items()
        ]

    def get(self, name: str, **labels: str) -> float | None:
        """Return the one value, None if there is no such series."""
        found = self.all(name, **labels)
        assert len(found) <= 1, f"{name}{labels} is not one series: {found}"
        return found[0].value if found else None

    def names(self, **labels: str) -> set[str]:
        """Return the names of the metrics that have series with these labels."""
        return {one.name for one in self.series if labels.items() <= dict(one.labels).items()}

    def failed(self, account: str, collector: str = "usage") -> dict[str, int]:
        """Return how often the polls of a collector failed, by reason; only those that did."""
        found = self.all("usage_exporter_poll_failures_total", account=account, collector=collector)
        return {one.labels["reason"]: int(one.value) for one in found if one.value}


def _parsed(text: str) -> Iterator[Series]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield Series(sample.name, sample.labels, sample.value)
