"""The rows and columns of the self-metrics that have a line for each target."""

from collections.abc import Iterable
from typing import Final

from exporter.model.outcome import Reason
from exporter.observe.sheet import Column, Row

_DROPS: Final = ("series_limit", "duplicate")
_REASONS: Final = tuple(reason.value for reason in Reason)
_PLACE: Final = {reason: place for place, reason in enumerate(Reason)}
_NONE_FAILED: Final = (0,) * len(_REASONS)


class CollectorRow(Row):
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


class AccountRow(Row):
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


POLLS: Final = Column(
    name="usage_exporter_polls_total",
    kind="counter",
    help="Polls that ended, well or not.",
    write=_write_polls,
)
FAILURES: Final = Column(
    name="usage_exporter_poll_failures_total",
    kind="counter",
    help="Polls that failed, by reason.",
    write=_write_failures,
)
INTERVAL: Final = Column(
    name="usage_exporter_poll_interval_seconds",
    kind="gauge",
    help="Seconds between two polls while all goes well.",
    write=_write_interval,
    unit="seconds",
)
BACKOFF: Final = Column(
    name="usage_exporter_backoff_seconds",
    kind="gauge",
    help="Seconds left of the wait that a vendor or our failures impose; 0 when there is none.",
    write=_write_backoff,
    unit="seconds",
)
DROPPED: Final = Column(
    name="usage_exporter_series_dropped_total",
    kind="counter",
    help="Series that were left out, by reason.",
    write=_write_drops,
)
