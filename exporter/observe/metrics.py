"""The exporter's metrics about itself.

prometheus_client keeps and writes the families of a fixed size, on several registries: what never
changes is written once, what polls change when they did, and ``process_*`` (files below ``/proc``)
once a second at most. The families with lines for each target are `FamilyTable`s.
"""

import platform
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import msgspec
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

from exporter.kernel.exposition_text import Dialect
from exporter.model.events import (
    ConfigLoaded,
    ConfigRejected,
    Event,
    LedgerStatus,
    PollFinished,
    SchemaNote,
    SeriesDropped,
)
from exporter.model.outcome import Failure, Poll, Reason
from exporter.observe.family_table import FamilyTable, TableColumn, TableRow
from exporter.observe.logs import LEVELS

_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class _EventMetrics:
    """The families of a fixed size that events change, on a registry of their own."""

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
        self._codes: dict[str, set[str]] = {}  # by tracked provider

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
        """Publish the series of these providers alone; `providers` names one for each target."""
        counts = Tally(providers)
        for removed in self._codes.keys() - counts.keys():
            self.poll_duration.remove(removed)
            for code in self._codes.pop(removed):
                self.http_requests.remove(removed, code)
        self.targets.clear()
        for provider, count in sorted(counts.items()):
            self.poll_duration.labels(provider)
            self.targets.labels(provider).set(count)
            self._codes.setdefault(provider, set())


class _Registry:
    """A registry of the client library and its text, written again after `stale` was set."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._texts: dict[Dialect, bytes] = {}
        self.stale = True

    def text(self, dialect: Dialect) -> bytes:
        """Return the families, without the dialect's last line."""
        if self.stale:
            self._texts.clear()
            self.stale = False
        if dialect not in self._texts:
            self._texts[dialect] = (
                generate_latest(self._registry)
                if dialect is Dialect.TEXT
                else generate_openmetrics(self._registry).removesuffix(dialect.end)  # type: ignore[no-untyped-call]
            )
        return self._texts[dialect]


_DROPS: Final = ("series_limit", "duplicate")
_REASONS: Final = tuple(reason.value for reason in Reason)
_INDEX: Final = {reason: index for index, reason in enumerate(Reason)}
_NONE_FAILED: Final = (0,) * len(_REASONS)
_NO_NOTES: Final[Mapping[str, int]] = {}  # of nearly all of 50,000 targets


class CollectorRow(TableRow):
    """A collector of a target: counts since it is tracked, and its interval in seconds."""

    __slots__ = ("failures", "interval", "polls")

    def __init__(self, provider: str, account: str, collector: str, interval: float) -> None:
        super().__init__(provider=provider, account=account, collector=collector)
        self.interval = interval
        self.polls = 0
        self.failures = _NONE_FAILED  # a count for each of _REASONS

    def fail(self, reason: Reason) -> None:
        """Count a failure."""
        index, counts = _INDEX[reason], self.failures
        self.failures = (*counts[:index], counts[index] + 1, *counts[index + 1 :])


class AccountRow(TableRow):
    """A target: the wait that is left, in seconds; dropped series and notes, counted by reason."""

    __slots__ = ("backoff", "drops", "notes")

    def __init__(self, provider: str, account: str) -> None:
        super().__init__(provider=provider, account=account)
        self.backoff = 0.0
        self.drops = dict.fromkeys(_DROPS, 0)
        self.notes: Mapping[str, int] = _NO_NOTES


def _by_reason(name: str, labels: str, counts: Iterable[tuple[str, int]]) -> str:
    return "".join([f'{name}{{{labels},reason="{reason}"}} {n}\n' for reason, n in counts])


_PLACEHOLDER: Final = "\0"
_FAILURES: Final = "usage_exporter_poll_failures_total"
_NO_FAILURES: Final = _by_reason(_FAILURES, _PLACEHOLDER, zip(_REASONS, _NONE_FAILED, strict=True))


def _write_failures(name: str, row: CollectorRow) -> str:
    if row.failures is _NONE_FAILED:  # nearly all of 50,000 targets: five times as fast
        return _NO_FAILURES.replace(_PLACEHOLDER, row.labels)
    return _by_reason(name, row.labels, zip(_REASONS, row.failures, strict=True))


POLLS: Final = TableColumn[CollectorRow](
    name="usage_exporter_polls_total",
    kind="counter",
    help="Polls that ended, well or not.",
    write=lambda name, row: f"{name}{{{row.labels}}} {row.polls}\n",
)
FAILURES: Final = TableColumn[CollectorRow](
    name=_FAILURES, kind="counter", help="Polls that failed, by reason.", write=_write_failures
)
INTERVAL: Final = TableColumn[CollectorRow](
    name="usage_exporter_poll_interval_seconds",
    kind="gauge",
    help="Seconds between two polls while all goes well.",
    write=lambda name, row: f"{name}{{{row.labels}}} {row.interval}\n",
    unit="seconds",
)
BACKOFF: Final = TableColumn[AccountRow](
    name="usage_exporter_backoff_seconds",
    kind="gauge",
    help="Seconds left of the wait that a vendor or our failures impose; 0 when there is none.",
    write=lambda name, row: f"{name}{{{row.labels}}} {row.backoff}\n",
    unit="seconds",
)
DROPPED: Final = TableColumn[AccountRow](
    name="usage_exporter_series_dropped_total",
    kind="counter",
    help="Series that were left out, by reason.",
    write=lambda name, row: _by_reason(name, row.labels, row.drops.items()),
)
NOTED: Final = TableColumn[AccountRow](
    name="usage_exporter_answer_notes_total",
    kind="counter",
    help="Things in good answers that did not fit and cost only themselves, or are not there any"
    " more, by reason; a reason is there from its first note on.",
    write=lambda name, row: _by_reason(name, row.labels, row.notes.items()),
)
_PROCESS_AGE: Final = 1.0  # seconds


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """What runs: the labels of ``usage_exporter_build_info``."""

    version: str
    revision: str = ""
    branch: str = ""


class Tracked(msgspec.Struct, frozen=True, kw_only=True):
    """A target of the configuration; `intervals` maps its collectors to seconds."""

    provider: str
    account: str
    intervals: Mapping[str, float]


class LiveValues(msgspec.Struct, frozen=True, kw_only=True):
    """What is read at each scrape.

    `backoffs` gives the seconds left for each (provider, account) that waits, and only for
    those; `lateness` how late polls start, in seconds; `series` how many are published.
    """

    backoffs: Callable[[], Mapping[tuple[str, str], float]] = dict
    lateness: Callable[[], float] = float
    series: Callable[[], int] = int


class SelfMetrics:
    """Counts events, and is rendered at each scrape.

    `clock` gives seconds that never go back; `process` False leaves ``process_*`` and
    ``python_info`` out (``--web.disable-exporter-metrics``).
    """

    def __init__(
        self,
        build: Build,
        live: LiveValues = LiveValues(),  # noqa: B008 - it is immutable
        *,
        clock: Callable[[], float],
        process: bool = True,
    ) -> None:
        self.live = live
        self._clock = clock

        constant = CollectorRegistry()
        info = Info("usage_exporter_build", "Version of the running exporter.", registry=constant)
        info.info({**msgspec.structs.asdict(build), "python_version": platform.python_version()})
        process_files = CollectorRegistry()
        if process:
            PlatformCollector(registry=constant)
            ProcessCollector(registry=process_files)
        self._constant = _Registry(constant)
        self._process = _Registry(process_files)
        self._process_read = float("-inf")  # clock

        self._counts = _EventMetrics()
        self._counted = _Registry(self._counts.registry)

        momentary = CollectorRegistry()
        self._lateness = Gauge(
            "usage_exporter_poll_lateness_seconds",
            "How late polls start, in seconds: more than moments means too much work.",
            registry=momentary,
        )
        self._series = Gauge(
            "usage_exporter_series", "Usage series that are published.", registry=momentary
        )
        self._momentary = _Registry(momentary)
        self._momentary_values = (-1, -1.0)

        self._collectors: dict[tuple[str, str, str], CollectorRow] = {}
        self._accounts: dict[tuple[str, str], AccountRow] = {}
        self._waiting: set[tuple[str, str]] = set()  # accounts whose backoff may be above 0
        self._by_collector: FamilyTable[CollectorRow] = FamilyTable(POLLS, FAILURES, INTERVAL)
        self._by_account: FamilyTable[AccountRow] = FamilyTable(BACKOFF, DROPPED, NOTED)

    def __call__(self, event: Event) -> None:
        """Count `event`. Those of targets that are not tracked (any more) are ignored."""
        match event:
            case PollFinished(poll=poll, interval=interval):
                self._count_poll(poll)
                if interval:
                    self.retime(poll.provider, poll.target, poll.collector, interval)
            case SeriesDropped(provider=provider, target=account, reason=reason, count=count):
                target = self._accounts.get((provider, account))
                if target is not None:
                    target.drops[reason] = target.drops.get(reason, 0) + count
                    self._by_account.touch(target, DROPPED)
            case SchemaNote(provider=provider, target=account, reason=reason, count=count):
                target = self._accounts.get((provider, account))
                if target is not None:
                    target.notes = {**target.notes, reason: target.notes.get(reason, 0) + count}
                    self._by_account.touch(target, NOTED)
            case ConfigLoaded(at=at):
                self._counts.reload_successful.set(1)
                self._counts.reload_success_time.set(at)
            case ConfigRejected():
                self._counts.reload_successful.set(0)
            case LedgerStatus(ok=False):
                self._counts.state_failures.inc()
            case _:
                return
        self._counted.stale = True

    def count_log_message(self, level: str) -> None:
        """Count a log line. `level` is one of `LEVELS`."""
        self._counts.log_messages.labels(level).inc()
        self._counted.stale = True

    def count_dropped_log_messages(self, count: int) -> None:
        """Count log lines that nobody read and that were dropped; from any thread."""
        self._counts.log_messages_dropped.inc(count)
        self._counted.stale = True

    def track(self, targets: Iterable[Tracked]) -> None:
        """Publish the series of these targets alone: new ones begin at 0."""
        targets = list(targets)
        intervals = {
            (target.provider, target.account, collector): interval
            for target in targets
            for collector, interval in target.intervals.items()
        }
        for key in self._collectors.keys() - intervals.keys():
            self._by_collector.remove(self._collectors.pop(key))
        for key, interval in intervals.items():
            if key not in self._collectors:
                row = self._collectors[key] = CollectorRow(*key, interval)
                self._by_collector.add(row)
            self.retime(*key, interval)
        accounts = {(target.provider, target.account) for target in targets}
        for account in self._accounts.keys() - accounts:
            self._by_account.remove(self._accounts.pop(account))
        for account in sorted(accounts - self._accounts.keys()):
            self._accounts[account] = AccountRow(*account)
            self._by_account.add(self._accounts[account])
        self._counts.track(target.provider for target in targets)
        self._counted.stale = True

    def retime(self, provider: str, account: str, collector: str, interval: float) -> None:
        """Note another interval, in seconds, of a collector (adaptive polling)."""
        row = self._collectors.get((provider, account, collector))
        if row is not None and row.interval != interval:
            row.interval = interval
            self._by_collector.touch(row, INTERVAL)

    def warm(self) -> Iterator[None]:
        """Render the tables, a little at each step: 50,000 new targets take 0.2 s."""
        yield from self._by_collector.warm()
        yield from self._by_account.warm()

    def render(self, dialect: Dialect) -> bytes:
        """Return the exposition, with the dialect's last line: it is the end of a scrape."""
        return b"".join(self.pieces(dialect))

    def pieces(self, dialect: Dialect) -> list[bytes]:
        """Return the exposition in pieces; those that have not changed are the same objects."""
        return [*self.steady(dialect), *self.moving(dialect)]

    def steady(self, dialect: Dialect) -> list[bytes]:
        """Return the pieces that only polls change: 2 kB for each target."""
        self._read_live_values()
        return [
            self._constant.text(dialect),
            *self._by_collector.pieces(dialect),
            *self._by_account.pieces(dialect),
        ]

    def moving(self, dialect: Dialect) -> list[bytes]:
        """Return the few kB that may change at each scrape; they come after `steady`."""
        return [
            self._counted.text(dialect),
            self._momentary.text(dialect),
            self._process.text(dialect),
            *filter(None, [dialect.end]),
        ]

    def _count_poll(self, poll: Poll) -> None:
        self._counts.poll(poll)
        row = self._collectors.get((poll.provider, poll.target, poll.collector))
        if row is None:
            return
        row.polls += 1
        self._by_collector.touch(row, POLLS)
        if isinstance(poll.outcome, Failure):
            row.fail(poll.outcome.reason)
            self._by_collector.touch(row, FAILURES)

    def _read_live_values(self) -> None:
        waits = self.live.backoffs()
        for key in self._waiting | waits.keys():
            row = self._accounts.get(key)
            left = round(max(waits.get(key, 0.0), 0.0), 3)
            if row is not None and row.backoff != left:
                row.backoff = left
                self._by_account.touch(row, BACKOFF)
        self._waiting = set(waits)
        values = series, lateness = self.live.series(), self.live.lateness()
        if values != self._momentary_values:
            self._momentary_values = values
            self._series.set(series)
            self._lateness.set(lateness)
            self._momentary.stale = True
        if self._clock() - self._process_read >= _PROCESS_AGE:
            self._process_read = self._clock()
            self._process.stale = True
