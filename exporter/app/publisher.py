"""How a target is: the samples that are there whether or not its values are known.

What a finished poll, or the passing of time alone, changes in the exposition.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import msgspec

from exporter.mapping.read import drift
from exporter.mapping.samples import samples
from exporter.mapping.status import TargetStatus, target_status
from exporter.model.events import Event, SchemaNote, SeriesDropped, ValuesExpired
from exporter.model.families import Sample
from exporter.model.health import Health
from exporter.model.outcome import Poll, Unchanged
from exporter.model.reading import DROPS, Note, RateLimit, Reading
from exporter.model.target import Target
from exporter.schedule.queue import Timer, TimerHeap
from exporter.schedule.status import JobStatus
from exporter.store.cache import ExpositionCache
from exporter.store.exposition import DuplicateError, MalformedError, PrefixCache
from exporter.store.readings import ReadingCache, UsageHistory


def health(statuses: Iterable[JobStatus]) -> Iterator[Sample]:
    """Yield the health samples of the jobs of one target.

    ``usage_up`` and the last success are there from the first attempt and the first success on:
    before, nothing is known.
    """
    for status in statuses:
        labels = (status.provider, status.target, status.collector)
        if status.health is not Health.NEVER_POLLED:
            up = 1.0 if status.health is Health.UP else 0.0
            yield Sample(family="usage_up", labels=labels, value=up)
        if status.last_success is not None:
            yield Sample(
                family="usage_last_success_timestamp_seconds",
                labels=labels,
                value=round(status.last_success, 3),
            )
        yield Sample(
            family="usage_next_poll_timestamp_seconds",
            labels=labels,
            value=round(status.next_poll, 3),
        )


def throttle(provider: str, account: str, rate: RateLimit | None) -> Iterator[Sample]:
    """Yield what the vendor's headers last said of its API's own throttle."""
    if rate is None:
        return
    for family, value in (
        ("usage_api_rate_limit", rate.limit),
        ("usage_api_rate_limit_remaining", rate.remaining),
        ("usage_api_rate_limit_reset_timestamp_seconds", rate.reset_at),
    ):
        if value is not None:
            yield Sample(family=family, labels=(provider, account), value=value)


TURN = 64
"""Targets that are looked at in one turn when time has come for many."""


class _Shown(msgspec.Struct, eq=False):
    """What is kept of a target from one rendering to the next.

    ``alive`` are the readings that were alive ``at`` the last one (None: there was none), ``due``
    is when time alone changes them. ``learned`` is the status after a poll until it is published.
    ``serial`` is the timer heap's. Epoch seconds.
    """

    target: Target
    cache: PrefixCache
    alive: tuple[Reading, ...] = ()
    at: float | None = None
    due: float = math.inf
    learned: TargetStatus | None = None
    rate: RateLimit | None = None
    serial: int = 0


class Publisher:
    """Keeps the exposition current: after each poll, when values grow stale, when a period ends.

    ``statuses`` gives the jobs of a target, ``at`` calls back at an epoch. ``wall`` is the clock of
    epoch seconds.
    """

    def __init__(
        self,
        *,
        readings: ReadingCache,
        exposition: ExpositionCache,
        wall: Callable[[], float],
        at: Callable[[float, Callable[[], object]], Timer],
        statuses: Callable[[str], Iterable[JobStatus]],
        history: UsageHistory,
        emit: Callable[[Event], None],
    ) -> None:
        self._readings = readings
        self._exposition = exposition
        self._wall = wall
        self._at = at
        self._statuses = statuses
        self._history = history
        self._emit = emit
        self._shown: dict[str, _Shown] = {}
        self._timers: TimerHeap[_Shown] = TimerHeap()
        self._timer: Timer | None = None
        self._rings_at = math.inf

    def learn(self, target: Target, poll: Poll) -> TargetStatus | None:
        """Take in how a poll ended and return how the target stands; `publish` makes it visible.

        None after a failed poll: the values stay as they are, and age.
        """
        shown = self._of(target)
        if poll.rate is not None and (poll.rate.limit, poll.rate.remaining) != (None, None):
            shown.rate = poll.rate
        match poll.outcome:
            case Reading() as reading:
                self._compare(target, reading)
                self._readings.accept(target.name, reading, poll.at)
            case Unchanged():
                self._readings.unchanged(target.name, poll.collector, poll.at)
            case _:
                return None
        shown.learned = self.status(target)
        return shown.learned

    def status(self, target: Target) -> TargetStatus:
        """Return how a target stands now."""
        now = self._wall()
        alive = self._readings.readings(target.name, now, target.stale_after)
        return target_status(
            target,
            alive,
            now,
            partial(self._history.points, target.name),
            self._readings.successes(target.name),
        )

    def publish(self, target: Target) -> None:
        """Render what is known of a target now, and come back when time alone changes it."""
        shown = self._of(target)
        status, shown.learned = shown.learned, None
        if status is None or status.target is not target:  # nothing new, or a reload in between
            status = self.status(target)
        found, notes = samples(status)
        self._tell(target, "", notes)
        self._put(shown, found)
        self._come_back(shown, status.now)
        self._miss(shown, tuple(status.readings.values()), status.now)

    def remove(self, name: str) -> None:
        """Forget a target: the next scrape is without it."""
        self._exposition.remove(name)
        self._readings.remove(name)
        if (shown := self._shown.pop(name, None)) is not None:
            self._timers.drop(shown)

    def clock_moved(self) -> None:
        """Come back when the clock says so that was just set."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._arm()

    def _of(self, target: Target) -> _Shown:
        shown = self._shown.get(target.name)
        if shown is None:
            shown = self._shown[target.name] = _Shown(target, PrefixCache())
        shown.target = target
        return shown

    def _put(self, shown: _Shown, found: Iterable[Sample]) -> None:
        target, cache = shown.target, shown.cache
        ours = [
            *health(self._statuses(target.name)),
            *throttle(target.provider, target.name, shown.rate),
        ]
        try:
            blocks = cache.render([*found, *ours])
        except (DuplicateError, MalformedError) as error:
            # One bad target can never make /metrics fail: its values go, its health stays.
            self._tell(target, "", (Note(reason="duplicate", detail=str(error)),))
            blocks = cache.render(ours)
        self._exposition.put(target.name, blocks)

    def _come_back(self, shown: _Shown, now: float) -> None:
        """Set the timer of a target. One that fires earlier than needed is set again."""
        target = shown.target
        due = self._readings.next_change(target.name, now, target.stale_after)
        if due is None:
            self._timers.drop(shown)
        elif not shown.serial or due < shown.due:
            shown.due = due
            self._timers.put(shown, due)
            self._arm()

    def _arm(self) -> None:
        due = self._timers.next_time()
        if due is None or (self._timer is not None and self._rings_at <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = due
        self._timer = self._at(due, self._ring)

    def _ring(self) -> None:
        """Look at those whose time has come, a few at a turn."""
        self._timer = None
        now = self._wall()
        try:
            for _ in range(TURN):
                shown = self._timers.pop_due(now)
                if shown is None:
                    break
                self.publish(shown.target)
        finally:
            self._arm()

    def _miss(self, shown: _Shown, alive: tuple[Reading, ...], now: float) -> None:
        """Tell which values went although nothing newer came, whatever it was that showed it."""
        before, since = shown.alive, shown.at
        shown.alive, shown.at = alive, now
        if since is None:
            return
        after = {reading.collector: reading for reading in alive}
        for reading in before:
            collector = reading.collector
            if collector not in shown.target.stale_after:
                continue  # it is not polled any more
            if collector not in after:
                cause = "stale"
            elif after[collector] is reading and _ended(reading, since, now):
                cause = "period_over"
            else:
                continue
            self._emit(
                ValuesExpired(
                    provider=shown.target.provider,
                    target=shown.target.name,
                    collector=collector,
                    cause=cause,
                )
            )

    def _compare(self, target: Target, reading: Reading) -> None:
        before = self._readings.reading(
            target.name, reading.collector, self._wall(), target.stale_after
        )
        gone = drift(before, reading) if before is not None else ()
        self._tell(target, reading.collector, (*reading.notes, *gone))

    def _tell(self, target: Target, collector: str, notes: Iterable[Note]) -> None:
        for note in notes:
            if note.reason in DROPS:
                self._emit(
                    SeriesDropped(
                        provider=target.provider,
                        target=target.name,
                        reason=note.reason,
                        count=note.count,
                    )
                )
            else:
                self._emit(
                    SchemaNote(
                        provider=target.provider,
                        target=target.name,
                        collector=collector,
                        reason=note.reason,
                        detail=note.detail,
                        count=note.count,
                    )
                )


def _ended(reading: Reading, since: float, now: float) -> bool:
    """Tell whether a period of a reading came to its end after ``since`` and by now."""
    periods = [usage.period for usage in reading.usages]
    periods += [money.period for money in reading.money]
    return any(period is not None and since < period.end <= now for period in periods)
