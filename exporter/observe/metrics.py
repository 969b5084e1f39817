"""Families with a line, or several, for each of up to 50,000 rows, rendered where they change.

A row is a target's collector, or a target; a column is a family. Rows stand in chunks, and a
chunk keeps the text of each column until one of its rows changes it. So a poll costs the text
of one chunk, a scrape nothing but a join, and no row holds text of its own: all reasons of all
targets at 0 are 1.8 kB a target, once.

The self-metrics of a fixed size: prometheus_client keeps and writes them.

The rows and columns of the self-metrics that have a line for each target.

The exporter's metrics about itself.

prometheus_client keeps and writes the families of a fixed size, on registries of their own:
what never changes is written once, what polls change when they did, and ``process_*`` (files
below ``/proc``) once a second at most. The families with a line for each target are `Sheet`:
at 14 reasons a target the library takes 10 µs and 700 bytes for each line, in every scrape.
"""

import platform
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Generic, Literal, TypeAlias, TypeVar

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

from exporter.model.events import (
    ConfigLoaded,
    ConfigRejected,
    Event,
    LedgerTrouble,
    PollFinished,
    SeriesDropped,
)
from exporter.model.outcome import Failure, Poll, Reason
from exporter.observe.logs import LEVELS

Dialect: TypeAlias = Literal["text", "openmetrics"]
EOF: Final = b"# EOF\n"
_DIALECTS: Final[tuple[Dialect, ...]] = ("text", "openmetrics")
_CHUNK: Final = 64
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class TableRow:
    """Something with labels, as text: ``provider="a",account="b"``. Subclasses hold values."""

    __slots__ = ("chunk", "labels")

    def __init__(self, **labels: str) -> None:
        self.labels = ",".join(
            f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items()
        )
        self.chunk = -1


_Row = TypeVar("_Row", bound=TableRow)


class TableColumn(msgspec.Struct, Generic[_Row], frozen=True, kw_only=True):
    """A family: its name (of a counter with ``_total``), and how a row is written, as lines."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    write: Callable[[_Row], str]
    unit: str = ""

    def header(self, dialect: Dialect) -> bytes:
        """Return the lines that come before the samples."""
        name = self.name.removesuffix("_total") if dialect == "openmetrics" else self.name
        lines = [f"# HELP {name} {self.help}", f"# TYPE {name} {self.kind}"]
        if self.unit and dialect == "openmetrics":
            lines.append(f"# UNIT {name} {self.unit}")
        return "".join(f"{line}\n" for line in lines).encode()


class _Chunk(Generic[_Row]):
    __slots__ = ("rows", "texts")

    def __init__(self, columns: int) -> None:
        self.rows: list[_Row] = []
        self.texts: list[bytes | None] = [None] * columns


class FamilyTable(Generic[_Row]):
    """Rows and columns. Whoever changes a value of a row says so with `touch`."""

    def __init__(self, *columns: TableColumn[_Row]) -> None:
        self._columns = columns
        self._headers = {
            dialect: [column.header(dialect) for column in columns] for dialect in _DIALECTS
        }
        self._chunks: dict[int, _Chunk[_Row]] = {}
        self._last = 0

    def add(self, row: _Row) -> None:
        """Take `row` in; it must not be in yet."""
        chunk = self._chunks.get(self._last)
        if chunk is None or len(chunk.rows) >= _CHUNK:
            self._last += 1
            chunk = self._chunks[self._last] = _Chunk(len(self._columns))
        row.chunk = self._last
        chunk.rows.append(row)
        chunk.texts = [None] * len(self._columns)

    def remove(self, row: _Row) -> None:
        """Take `row` out."""
        chunk = self._chunks[row.chunk]
        chunk.rows.remove(row)
        chunk.texts = [None] * len(self._columns)
        if not chunk.rows:
            del self._chunks[row.chunk]

    def touch(self, row: _Row, column: TableColumn[_Row]) -> None:
        """Note that `row` has another value in `column`."""
        self._chunks[row.chunk].texts[self._columns.index(column)] = None

    def pieces(self, dialect: Dialect) -> list[bytes]:
        """Return all families. A piece that has not changed is the same object as last time."""
        pieces = []
        if self._chunks:
            for number in range(len(self._columns)):
                pieces.append(self._headers[dialect][number])
                pieces += [self._text(chunk, number) for chunk in self._chunks.values()]
        return pieces

    def warm(self) -> Iterator[None]:
        """Write what is not written yet, a little at each step."""
        for chunk in list(self._chunks.values()):
            for number in range(len(self._columns)):
                self._text(chunk, number)
            yield

    def _text(self, chunk: _Chunk[_Row], number: int) -> bytes:
        text = chunk.texts[number]
        if text is None:
            lines = map(self._columns[number].write, chunk.rows)
            text = chunk.texts[number] = "".join(lines).encode()
        return text


_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class LibraryMetrics:
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


_DROPS: Final = ("series_limit", "duplicate")
_REASONS: Final = tuple(reason.value for reason in Reason)
_PLACE: Final = {reason: place for place, reason in enumerate(Reason)}
_NONE_FAILED: Final = (0,) * len(_REASONS)


class CollectorRow(TableRow):
    """A collector of a target: counts since it is tracked, and its interval in seconds."""

    __slots__ = ("failures", "interval", "polls")

    def __init__(self, provider: str, account: str, collector: str, interval: float) -> None:
        super().__init__(provider=provider, account=account, collector=collector)
        self.interval = interval
        self.polls = 0
        self.failures = _NONE_FAILED

    def fail(self, reason: Reason) -> None:
        """Count a failure."""
        place, counts = _PLACE[reason], self.failures
        self.failures = (*counts[:place], counts[place] + 1, *counts[place + 1 :])


class AccountRow(TableRow):
    """A target: the wait that is left, in seconds, and series left out by reason."""

    __slots__ = ("backoff", "drops")

    def __init__(self, provider: str, account: str) -> None:
        super().__init__(provider=provider, account=account)
        self.backoff = 0.0
        self.drops = dict.fromkeys(_DROPS, 0)


def _write_polls(row: CollectorRow) -> str:
    return f"usage_exporter_polls_total{{{row.labels}}} {row.polls}\n"


def _write_failures(row: CollectorRow) -> str:
    if row.failures is _NONE_FAILED:  # nearly all of 50,000 targets: five times as fast
        return _ZEROS.replace(_PLACEHOLDER, row.labels)
    return _failure_lines(row.labels, row.failures)


def _failure_lines(labels: str, counts: Iterable[int]) -> str:
    head = f"usage_exporter_poll_failures_total{{{labels},reason="
    pairs = zip(_REASONS, counts, strict=True)
    return "".join([f'{head}"{reason}"}} {count}\n' for reason, count in pairs])


_PLACEHOLDER: Final = "\0"
_ZEROS: Final = _failure_lines(_PLACEHOLDER, _NONE_FAILED)


def _write_interval(row: CollectorRow) -> str:
    return f"usage_exporter_poll_interval_seconds{{{row.labels}}} {row.interval}\n"


def _write_backoff(row: AccountRow) -> str:
    return f"usage_exporter_backoff_seconds{{{row.labels}}} {row.backoff}\n"


def _write_drops(row: AccountRow) -> str:
    head = f"usage_exporter_series_dropped_total{{{row.labels},reason="
    return "".join([f'{head}"{reason}"}} {count}\n' for reason, count in row.drops.items()])


POLLS: Final = TableColumn(
    name="usage_exporter_polls_total",
    kind="counter",
    help="Polls that ended, well or not.",
    write=_write_polls,
)
FAILURES: Final = TableColumn(
    name="usage_exporter_poll_failures_total",
    kind="counter",
    help="Polls that failed, by reason.",
    write=_write_failures,
)
INTERVAL: Final = TableColumn(
    name="usage_exporter_poll_interval_seconds",
    kind="gauge",
    help="Seconds between two polls while all goes well.",
    write=_write_interval,
    unit="seconds",
)
BACKOFF: Final = TableColumn(
    name="usage_exporter_backoff_seconds",
    kind="gauge",
    help="Seconds left of the wait that a vendor or our failures impose; 0 when there is none.",
    write=_write_backoff,
    unit="seconds",
)
DROPPED: Final = TableColumn(
    name="usage_exporter_series_dropped_total",
    kind="counter",
    help="Series that were left out, by reason.",
    write=_write_drops,
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


class Now(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked at each scrape.

    `backoffs` gives the seconds left for each (provider, account) that waits, and only for
    those; `lateness` how late polls start, in seconds; `series` how many are published.
    """

    backoffs: Callable[[], Mapping[tuple[str, str], float]]
    lateness: Callable[[], float]
    series: Callable[[], int]


class SelfMetrics:
    """Reads events, and is rendered at each scrape.

    `clock` gives seconds that never go back; `process` False leaves ``process_*`` and
    ``python_info`` out (``--web.disable-exporter-metrics``).
    """

    def __init__(
        self, build: Build, now: Now, *, clock: Callable[[], float], process: bool = True
    ) -> None:
        self._now = now
        self._clock = clock
        self._told = LibraryMetrics()
        self._current = Current()
        labels: dict[str, str] = msgspec.structs.asdict(build)
        self._still = Rendered(still(labels, process=process))
        self._changing = Rendered(self._told.registry)
        self._momentary = Rendered(self._current.registry)
        self._process = Rendered(process_files(process=process))
        self._process_read = float("-inf")
        self._collectors: dict[tuple[str, str, str], CollectorRow] = {}
        self._accounts: dict[tuple[str, str], AccountRow] = {}
        self._waiting: set[tuple[str, str]] = set()
        self._by_collector: FamilyTable[CollectorRow] = FamilyTable(POLLS, FAILURES, INTERVAL)
        self._by_account: FamilyTable[AccountRow] = FamilyTable(BACKOFF, DROPPED)

    def __call__(self, event: Event) -> None:
        """Count what `event` tells. Targets that are not tracked (any more) are left alone."""
        match event:
            case PollFinished(poll=poll, interval=interval):
                self._polled(poll)
                if interval:
                    self.retime(poll.provider, poll.target, poll.collector, interval)
            case SeriesDropped(provider=provider, target=account, reason=reason, count=count):
                self._dropped(provider, account, reason, count)
            case ConfigLoaded(at=at):
                self._told.reload_successful.set(1)
                self._told.reload_success_time.set(at)
            case ConfigRejected():
                self._told.reload_successful.set(0)
            case LedgerTrouble(ok=False):
                self._told.state_failures.inc()
            case _:
                return
        self._changing.stale = True

    def count_log_message(self, level: str) -> None:
        """Count a log line. `level` is one of `LEVELS`."""
        self._told.log_messages.labels(level).inc()
        self._changing.stale = True

    def count_dropped_log_messages(self, count: int) -> None:
        """Count log lines that nobody read and that were dropped; from any thread."""
        self._told.log_messages_dropped.inc(count)
        self._changing.stale = True

    def track(self, targets: Iterable[Tracked]) -> None:
        """Make `targets` the ones that have series: new ones begin at 0, gone ones go."""
        targets = list(targets)
        wanted = {
            (target.provider, target.account, collector): interval
            for target in targets
            for collector, interval in target.intervals.items()
        }
        for key in self._collectors.keys() - wanted.keys():
            self._by_collector.remove(self._collectors.pop(key))
        for key, interval in wanted.items():
            if key not in self._collectors:
                row = self._collectors[key] = CollectorRow(*key, interval)
                self._by_collector.add(row)
            self.retime(*key, interval)
        self._track_accounts({(target.provider, target.account) for target in targets})
        self._told.track(target.provider for target in targets)
        self._changing.stale = True

    def retime(self, provider: str, account: str, collector: str, interval: float) -> None:
        """Note another interval, in seconds, of a collector (adaptive polling)."""
        row = self._collectors.get((provider, account, collector))
        if row is not None and row.interval != interval:
            row.interval = interval
            self._by_collector.touch(row, INTERVAL)

    def warm(self) -> Iterator[None]:
        """Write what `pieces` would write, a little at each step: 50,000 new targets take 0.2 s."""
        yield from self._by_collector.warm()
        yield from self._by_account.warm()

    def pieces(self, dialect: Dialect) -> list[bytes]:
        """Return the exposition in pieces; those that have not changed are the same objects."""
        return [*self.steady(dialect), *self.moving(dialect)]

    def steady(self, dialect: Dialect) -> list[bytes]:
        """Return the pieces that only a poll changes: 2 kB for each target."""
        self._ask_now()
        return [
            self._still.text(dialect),
            *self._by_collector.pieces(dialect),
            *self._by_account.pieces(dialect),
        ]

    def moving(self, dialect: Dialect) -> list[bytes]:
        """Return the few kB that may be others at each scrape; they come after `steady`."""
        pieces = [
            self._changing.text(dialect),
            self._momentary.text(dialect),
            self._process.text(dialect),
        ]
        if dialect == "openmetrics":
            pieces.append(EOF)
        return pieces

    def render(self, dialect: Dialect) -> bytes:
        """Return the exposition. In OpenMetrics it ends with ``# EOF``: it is the tail."""
        return b"".join(self.pieces(dialect))

    def _polled(self, poll: Poll) -> None:
        self._told.poll(poll)
        row = self._collectors.get((poll.provider, poll.target, poll.collector))
        if row is None:
            return
        row.polls += 1
        self._by_collector.touch(row, POLLS)
        if isinstance(poll.outcome, Failure):
            row.fail(poll.outcome.reason)
            self._by_collector.touch(row, FAILURES)

    def _dropped(self, provider: str, account: str, reason: str, count: int) -> None:
        row = self._accounts.get((provider, account))
        if row is not None:
            row.drops[reason] = row.drops.get(reason, 0) + count
            self._by_account.touch(row, DROPPED)

    def _track_accounts(self, wanted: set[tuple[str, str]]) -> None:
        for key in self._accounts.keys() - wanted:
            self._by_account.remove(self._accounts.pop(key))
        for key in sorted(wanted - self._accounts.keys()):
            row = self._accounts[key] = AccountRow(*key)
            self._by_account.add(row)

    def _ask_now(self) -> None:
        waits = self._now.backoffs()
        for key in self._waiting | waits.keys():
            row = self._accounts.get(key)
            left = round(max(waits.get(key, 0.0), 0.0), 3)
            if row is not None and row.backoff != left:
                row.backoff = left
                self._by_account.touch(row, BACKOFF)
        self._waiting = set(waits)
        if self._current.tell(series=self._now.series(), lateness=self._now.lateness()):
            self._momentary.stale = True
        if self._clock() - self._process_read >= _PROCESS_AGE:
            self._process_read = self._clock()
            self._process.stale = True
