"""The exporter's metrics about itself.

prometheus_client keeps and writes the families of a fixed size, on registries of their own:
what never changes is written once, what polls change when they did, and ``process_*`` (files
below ``/proc``) once a second at most. The families with a line for each target are `Sheet`:
at 14 reasons a target the library takes 10 µs and 700 bytes for each line, in every scrape.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from exporter.model.event import (
    ConfigLoaded,
    ConfigRejected,
    Event,
    LedgerTrouble,
    PollFinished,
    SeriesDropped,
)
from exporter.model.outcome import Failure, Poll
from exporter.observe import library
from exporter.observe.rows import (
    BACKOFF,
    DROPPED,
    FAILURES,
    INTERVAL,
    POLLS,
    AccountRow,
    CollectorRow,
)
from exporter.observe.sheet import EOF, Dialect, Sheet

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
        self._told = library.Told()
        self._current = library.Current()
        labels: dict[str, str] = msgspec.structs.asdict(build)
        self._still = library.Rendered(library.still(labels, process=process))
        self._changing = library.Rendered(self._told.registry)
        self._momentary = library.Rendered(self._current.registry)
        self._process = library.Rendered(library.process_files(process=process))
        self._process_read = float("-inf")
        self._collectors: dict[tuple[str, str, str], CollectorRow] = {}
        self._accounts: dict[tuple[str, str], AccountRow] = {}
        self._waiting: set[tuple[str, str]] = set()
        self._by_collector: Sheet[CollectorRow] = Sheet(POLLS, FAILURES, INTERVAL)
        self._by_account: Sheet[AccountRow] = Sheet(BACKOFF, DROPPED)

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
