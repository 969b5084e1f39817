"""Which events become which log lines.

Edges only, so that a vendor's bad night is two lines, not 600: the begin and the end of a failure,
a note once for each content, dropped series once an hour for each target and reason. A line has a
constant message, and what varies as fields.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol, TypeVar, assert_never

from exporter.kernel.calendar import format_duration, format_rfc3339
from exporter.model.events import (
    ClockMoved,
    ConfigLoaded,
    ConfigRejected,
    Event,
    LedgerNote,
    LedgerStatus,
    PollCrashed,
    PollFinished,
    ProcessResumed,
    RunnerRecovered,
    SchemaNote,
    SeriesDropped,
    TargetBack,
    TargetDown,
    ValuesExpired,
    WaitCut,
)
from exporter.model.outcome import Failure, Unchanged
from exporter.observe.logs import Log

_HOUR: Final = 3600.0
_REMEMBERED: Final = 10_000
_PROBLEMS_SHOWN: Final = 50
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class EventLog:
    """Writes the lines that an operator wants to see.

    `clock` gives seconds that never go back; `polls` says whether each poll gets its own line
    at debug (its fields cost more than the line that is not written).
    """

    def __init__(self, log: Log, *, clock: Callable[[], float], polls: bool) -> None:
        self._log = log
        self._clock = clock
        self._polls = polls
        # Provider, target and reason: when a line was last written, and series dropped since.
        self._drops: OrderedDict[tuple[str, str, str], tuple[float, int]] = OrderedDict()
        # Provider, target, collector, reason and detail.
        self._notes: OrderedDict[tuple[str, ...], None] = OrderedDict()
        self._ledger_ok = True

    def __call__(self, event: Event) -> None:  # noqa: C901 - one case an event, closed by assert_never
        """Write the line of `event`, if it is worth one."""
        match event:
            case PollFinished():
                if self._polls:
                    self._poll(event)
            case TargetDown():
                self._log.warning(
                    "target is down",
                    **_who(event),
                    health=event.reason.health.value,
                    reason=event.reason.value,
                    detail=event.detail,
                    next_poll=format_rfc3339(round(event.next_poll)),
                )
            case TargetBack():
                self._log.info(
                    "target is back",
                    **_who(event),
                    failures=event.failures,
                    down_for=format_duration(round(max(event.down_for, 0.0))),
                )
            case ValuesExpired():
                self._log.warning(
                    "values are no longer published", **_who(event), cause=event.cause
                )
            case SeriesDropped():
                self._dropped(event)
            case SchemaNote():
                note = (
                    event.provider,
                    event.target,
                    event.collector,
                    event.reason,
                    event.detail,
                )
                if note not in self._notes:
                    _remember(self._notes, note, None)
                    self._log.warning(
                        "something in the vendor's answer does not fit",
                        **_who(event),
                        reason=event.reason,
                        detail=event.detail,
                    )
            case WaitCut():
                self._log.warning(
                    "the vendor asked for a longer wait than max_wait",
                    provider=event.provider,
                    account=event.target,
                    asked=format_duration(event.asked),
                    applied=format_duration(event.applied),
                )
            case PollCrashed():
                self._log.error(
                    "a poll crashed: this is a bug of the exporter", **_who(event), err=event.error
                )
            case RunnerRecovered():
                self._log.error(
                    "the poll loop was rebuilt after an error: this is a bug of the exporter",
                    err=event.error,
                    times=event.times,
                )
            case ConfigLoaded():
                self._log.info(
                    "configuration loaded",
                    targets=event.targets,
                    added=event.added,
                    removed=event.removed,
                    changed=event.changed,
                )
            case ConfigRejected():
                self._log.error(
                    "configuration rejected, the old one stays in force",
                    problems=len(event.problems),
                )
                for problem in event.problems[:_PROBLEMS_SHOWN]:
                    self._log.error("configuration problem", problem=problem)
            case LedgerStatus():
                self._ledger_trouble(event)
            case LedgerNote():
                self._log.warning("state file", detail=event.detail)
            case ClockMoved():
                self._log.warning(
                    "the clock of this machine was set: waits go on as they were",
                    seconds=round(event.by, 1),
                )
            case ProcessResumed():
                self._log.warning(
                    "the process was suspended: polls that came due meanwhile are made now",
                    seconds=round(event.seconds),
                )
            case _:
                assert_never(event)

    def _poll(self, event: PollFinished) -> None:
        poll = event.poll
        statuses = [exchange.status for exchange in poll.exchanges]
        match poll.outcome:
            case Failure() as failure:
                outcome = failure.reason.value
            case Unchanged():
                outcome = "unchanged"
            case _:
                outcome = "ok"
        self._log.debug(
            "poll finished",
            **_who(poll),
            outcome=outcome,
            duration=format_duration(poll.seconds),
            requests=len(statuses),
            status=statuses[-1] if statuses else None,
            bytes=sum(exchange.size for exchange in poll.exchanges),
            failures=event.failures,
            next_poll=format_rfc3339(round(event.next_poll)),
            lateness=format_duration(max(event.lateness, 0.0)),
        )

    def _dropped(self, event: SeriesDropped) -> None:
        key = (event.provider, event.target, event.reason)
        now = self._clock()
        written, since = self._drops.pop(key, (-_HOUR, 0))
        count = since + event.count
        if now - written < _HOUR:
            _remember(self._drops, key, (written, count))
            return
        _remember(self._drops, key, (now, 0))
        self._log.warning(
            "series were left out",
            provider=event.provider,
            account=event.target,
            reason=event.reason,
            count=count,
        )

    def _ledger_trouble(self, event: LedgerStatus) -> None:
        if event.ok == self._ledger_ok:
            return
        self._ledger_ok = event.ok
        if event.ok:
            self._log.info("state is kept again", detail=event.detail)
        else:
            self._log.error("state cannot be kept, polling goes on", detail=event.detail)


class _OfCollector(Protocol):
    @property
    def provider(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def collector(self) -> str: ...


def _who(event: _OfCollector) -> dict[str, str]:
    return {
        "provider": event.provider,
        "account": event.target,
        "collector": event.collector,
    }


def _remember(memory: OrderedDict[_Key, _Value], key: _Key, value: _Value) -> None:
    memory[key] = value
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)
