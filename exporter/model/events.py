"""What happened in the exporter, for its observers: log, self-metrics, history.

An event is emitted once, after the fact, by the part that knows it; observers read it and cannot
change anything. None holds a secret. Texts in ``detail`` and ``error`` are one line for people.
Spans are seconds, instants epoch seconds; ``provider``, ``target``, ``collector`` are the labels.
"""

from typing import TypeAlias

import msgspec

from exporter.model.outcome import Poll, Reason


class PollFinished(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A poll ended, well or not, and ``next_poll`` is when the next one may start.

    ``lateness`` is how late it started. ``interval`` is between two polls that succeed; 0: unknown.
    """

    poll: Poll
    failures: int  # consecutive failures, this one included; 0 after a success
    next_poll: float
    lateness: float
    interval: float = 0.0


class TargetDown(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The first failure after a success (or the first poll of all), or a change of its reason."""

    provider: str
    target: str
    collector: str
    reason: Reason
    detail: str
    next_poll: float


class TargetBack(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The first success after ``failures``, the first of which ended ``down_for`` seconds ago."""

    provider: str
    target: str
    collector: str
    failures: int
    down_for: float


class ValuesExpired(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Values are no longer published; ``cause`` is ``stale`` or ``period_over``."""

    provider: str
    target: str
    collector: str
    cause: str


class SeriesDropped(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Series were left out; ``reason`` is bounded: series_limit, duplicate."""

    provider: str
    target: str
    reason: str
    count: int


class SchemaNote(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something in a good answer did not fit, or is not there any more: a `Note` of the reading.

    ``reason`` is one of `model.reading.NOTES`; ``count`` how often the answer has it.
    """

    provider: str
    target: str
    collector: str
    reason: str
    detail: str
    count: int = 1


class WaitCut(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A vendor ``asked`` for a longer wait than ``max_wait`` allows; ``applied`` is what we do."""

    provider: str
    target: str
    asked: float
    applied: float


class PollCrashed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Our own bug: a poll raised. ``error`` is type and place, never values."""

    provider: str
    target: str
    collector: str
    error: str


class RunnerRecovered(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Our own bug: a step of the poll loop raised, or its timer was lost; the heap was rebuilt.

    ``error`` is type and place, never values. ``times`` counts since the start.
    """

    error: str
    times: int


class ConfigLoaded(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A configuration is in force: at start, or after a reload."""

    at: float
    targets: int
    added: int = 0
    removed: int = 0
    changed: int = 0


class ConfigRejected(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A reload failed; the old configuration stays."""

    at: float
    problems: tuple[str, ...]


class LedgerStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The state file cannot be written (``ok`` False) or can be again. Polling goes on."""

    ok: bool
    detail: str


class LedgerNote(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A problem of the state file that does not stop writing it: damaged rows, for example."""

    detail: str


class ProcessResumed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The process did not run for so many ``seconds``: the machine was suspended, or it was."""

    seconds: float


class ClockMoved(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The machine's clock was set, ``by`` so many seconds: forward, or back when negative."""

    by: float


Event: TypeAlias = (
    PollFinished
    | TargetDown
    | TargetBack
    | ValuesExpired
    | SeriesDropped
    | SchemaNote
    | WaitCut
    | PollCrashed
    | RunnerRecovered
    | ConfigLoaded
    | ConfigRejected
    | LedgerStatus
    | LedgerNote
    | ClockMoved
    | ProcessResumed
)
