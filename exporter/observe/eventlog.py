"""Events become log lines: edges only, so that a vendor's bad night is two lines, not 600."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeVar, assert_never

from exporter.kernel.durations import format_duration
from exporter.kernel.timestamps import format_rfc3339
from exporter.model.event import (
    ClockMoved,
    ConfigLoaded,
    ConfigRejected,
    Event,
    LedgerNote,
    LedgerTrouble,
    PollCrashed,
    PollFinished,
    ProcessResumed,
    RunnerMended,
    SchemaNote,
    SeriesDropped,
    TargetBack,
    TargetDown,
    ValuesExpired,
    WaitCut,
)
from exporter.model.outcome import Failure, Poll, Unchanged
from exporter.observe.logs import Log

_HOUR: Final = 3600.0
_REMEMBERED: Final = 10_000
_PROBLEMS_SHOWN: Final = 50

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class EventLog:
    """Writes what an operator wants to know.

    `clock` gives seconds that never go back; `polls` says whether each poll gets its own line
    at debug (its fields cost more than the line that is not written).
    """

    def __init__(self, log: Log, *, clock: Callable[[], float], polls: bool) -> None:
        self._log = log
        self._clock = clock
        self._polls = polls
        self._drops: OrderedDict[tuple[str, str, str], tuple[float, int]] = OrderedDict()
        self._notes: OrderedDict[SchemaNote, None] = OrderedDict()
        self._ledger_ok = True

    def __call__(self, event: Event) -> None:  # noqa: C901, PLR0912 - one case an event
        """Write the line of `event`, if it is worth one."""
        match event:
            case PollFinished():
                if self._polls:
                    self._poll(event)
            case TargetDown():
                self._down(event)
            case TargetBack():
                self._back(event)
            case ValuesExpired():
                self._expired(event)
            case SeriesDropped():
                self._dropped(event)
            case SchemaNote():
                self._note(event)
            case WaitCut():
                self._cut(event)
            case PollCrashed():
                self._crashed(event)
            case RunnerMended():
                self._mended(event)
            case ConfigLoaded():
                self._loaded(event)
            case ConfigRejected():
                self._rejected(event)
            case LedgerTrouble():
                self._ledger(event)
            case LedgerNote():
                self._log.warning("state file", detail=event.detail)
            case ClockMoved():
                self._clock_moved(event)
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
        self._log.debug(
            "poll finished",
            provider=poll.provider,
            account=poll.target,
            collector=poll.collector,
            outcome=_outcome(poll),
            duration=format_duration(poll.seconds),
            requests=len(statuses),
            status=statuses[-1] if statuses else None,
            bytes=sum(exchange.size for exchange in poll.exchanges),
            failures=event.failures,
            next_poll=format_rfc3339(round(event.next_poll)),
            lateness=format_duration(max(event.lateness, 0.0)),
        )

    def _down(self, event: TargetDown) -> None:
        self._log.warning(
            "target is down",
            provider=event.provider,
            account=event.target,
            collector=event.collector,
            reason=event.reason.value,
            detail=event.detail,
            next_poll=format_rfc3339(round(event.next_poll)),
        )

    def _back(self, event: TargetBack) -> None:
        self._log.info(
            "target is back",
            provider=event.provider,
            account=event.target,
            collector=event.collector,
            failures=event.failures,
            down_for=format_duration(round(max(event.down_for, 0.0))),
        )

    def _expired(self, event: ValuesExpired) -> None:
        self._log.warning(
            "values are no longer published",
            provider=event.provider,
            account=event.target,
            collector=event.collector,
            cause=event.cause,
        )

    def _dropped(self, event: SeriesDropped) -> None:
        key = (event.provider, event.target, event.reason)
        now = self._clock()
        said, since = self._drops.pop(key, (-_HOUR, 0))
        count = since + event.count
        if now - said < _HOUR:
            _remember(self._drops, key, (said, count))
            return
        _remember(self._drops, key, (now, 0))
        self._log.warning(
            "series were left out",
            provider=event.provider,
            account=event.target,
            reason=event.reason,
            count=count,
        )

    def _note(self, event: SchemaNote) -> None:
        if event in self._notes:
            return
        _remember(self._notes, event, None)
        self._log.warning(
            "the vendor's answer has changed",
            provider=event.provider,
            account=event.target,
            collector=event.collector,
            reason=event.reason,
            detail=event.detail,
        )

    def _cut(self, event: WaitCut) -> None:
        self._log.warning(
            "the vendor asked for a longer wait than max_wait",
            provider=event.provider,
            account=event.target,
            asked=format_duration(event.asked),
            applied=format_duration(event.applied),
        )

    def _crashed(self, event: PollCrashed) -> None:
        self._log.error(
            "a poll crashed: this is a bug of the exporter",
            provider=event.provider,
            account=event.target,
            collector=event.collector,
            err=event.error,
        )

    def _mended(self, event: RunnerMended) -> None:
        self._log.error(
            "the poll loop was set going again: this is a bug of the exporter",
            err=event.error,
            times=event.times,
        )

    def _loaded(self, event: ConfigLoaded) -> None:
        self._log.info(
            "configuration loaded",
            targets=event.targets,
            added=event.added,
            removed=event.removed,
            changed=event.changed,
        )

    def _rejected(self, event: ConfigRejected) -> None:
        self._log.error(
            "configuration rejected, the old one stays in force", problems=len(event.problems)
        )
        for problem in event.problems[:_PROBLEMS_SHOWN]:
            self._log.error("configuration problem", problem=problem)

    def _ledger(self, event: LedgerTrouble) -> None:
        if event.ok == self._ledger_ok:
            return
        self._ledger_ok = event.ok
        if event.ok:
            self._log.info("state is kept again", detail=event.detail)
        else:
            self._log.error("state cannot be kept, polling goes on", detail=event.detail)

    def _clock_moved(self, event: ClockMoved) -> None:
        self._log.warning(
            "the clock of this machine was set: waits go on as they were",
            seconds=round(event.by, 1),
        )


def _outcome(poll: Poll) -> str:
    match poll.outcome:
        case Failure() as failure:
            return failure.reason.value
        case Unchanged():
            return "unchanged"
        case _:
            return "ok"


def _remember(memory: OrderedDict[_Key, _Value], key: _Key, value: _Value) -> None:
    memory[key] = value
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)
