"""The self-metrics of a fixed size: prometheus_client keeps and writes them."""

import platform
from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter.model.outcome import Poll
from exporter.observe.logs import LEVELS
from exporter.observe.sheet import EOF, Dialect

_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Told:
    """The families that events change, on a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # else `_created` gauges, in text too
        registry = self.registry = CollectorRegistry()
        self.reload_successful = Gauge(
            "usage_exporter_config_last_reload_successful",
            "Whether the last attempt to load the configuration succeeded (1) or not (0).",
            registry=registry,
        )
        self.reload_success_time = Gauge(
            "usage_exporter_config_last_reload_success_timestamp_seconds",
            "Time of the last configuration that was loaded, Unix time.",
            registry=registry,
        )
        self.poll_duration = Histogram(
            "usage_exporter_poll_duration_seconds",
            "Duration of polls, all pages together, in seconds.",
            ["provider"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.http_requests = Counter(
            "usage_exporter_http_requests_total",
            "Requests to vendors' APIs, by status code; code is error when no answer came.",
            ["provider", "code"],
            registry=registry,
        )
        self.targets = Gauge(
            "usage_exporter_targets", "Targets configured.", ["provider"], registry=registry
        )
        self.state_failures = Counter(
            "usage_exporter_state_failures_total",
            "Times that the state could no longer be kept on disk, or was begun anew.",
            registry=registry,
        )
        self.log_messages = Counter(
            "usage_exporter_log_messages_total",
            "Log messages, by level; dropped ones are counted, too.",
            ["level"],
            registry=registry,
        )
        self.log_messages_dropped = Counter(
            "usage_exporter_log_messages_dropped_total",
            "Log messages that could not be written in time (a full pipe, a stalled disk) and were"
            " dropped.",
            registry=registry,
        )
        for level in LEVELS:
            self.log_messages.labels(level)
        self._codes: dict[str, set[str]] = {}

    def poll(self, poll: Poll) -> None:
        """Count a poll and its requests."""
        codes = self._codes.get(poll.provider)
        if codes is None:
            return
        self.poll_duration.labels(poll.provider).observe(poll.seconds)
        for exchange in poll.exchanges:
            code = "error" if exchange.status is None else str(exchange.status)
            codes.add(code)
            self.http_requests.labels(poll.provider, code).inc()

    def track(self, providers: Iterable[str]) -> None:
        """Make `providers`, one for each target, the ones that have series."""
        counts = Tally(providers)
        for gone in self._codes.keys() - counts.keys():
            self.poll_duration.remove(gone)
            for code in self._codes.pop(gone):
                self.http_requests.remove(gone, code)
        self.targets.clear()
        for provider, count in sorted(counts.items()):
            self.poll_duration.labels(provider)
            self.targets.labels(provider).set(count)
            self._codes.setdefault(provider, set())


class Current:
    """What is true at this moment, on a registry of its own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._lateness = Gauge(
            "usage_exporter_poll_lateness_seconds",
            "How late polls start, in seconds: more than moments means too much work.",
            registry=registry,
        )
        self._series = Gauge(
            "usage_exporter_series", "Usage series that are published.", registry=registry
        )
        self._seen = (-1, -1.0)

    def tell(self, *, series: int, lateness: float) -> bool:
        """Set both (lateness in seconds); say whether one is another than before."""
        changed = self._seen != (series, lateness)
        self._seen = (series, lateness)
        self._series.set(series)
        self._lateness.set(lateness)
        return changed


class Rendered:
    """A registry and its text, written again when it is stale."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._texts: dict[Dialect, bytes] = {}
        self.stale = True

    def text(self, dialect: Dialect) -> bytes:
        """Return the families, without ``# EOF``."""
        if self.stale:
            self._texts.clear()
            self.stale = False
        if dialect not in self._texts:
            self._texts[dialect] = (
                generate_latest(self._registry)
                if dialect == "text"
                else generate_openmetrics(self._registry).removesuffix(EOF)  # type: ignore[no-untyped-call]
            )
        return self._texts[dialect]


def still(build: Mapping[str, str], *, process: bool) -> CollectorRegistry:
    """Return what never changes: the build, and with `process` ``python_info``."""
    registry = CollectorRegistry()
    info = Info("usage_exporter_build", "Version of the running exporter.", registry=registry)
    info.info({**build, "python_version": platform.python_version()})
    if process:
        PlatformCollector(registry=registry)
    return registry


def process_files(*, process: bool) -> CollectorRegistry:
    """Return ``process_*``, which reads files below ``/proc`` when it is written."""
    registry = CollectorRegistry()
    if process:
        ProcessCollector(registry=registry)
    return registry
