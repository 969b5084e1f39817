"""What a finished poll, or the mere passing of time, changes on the shelf."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from exporter.app.health import health, throttle
from exporter.mapping.join import History, samples
from exporter.mapping.read import drift
from exporter.model.event import Event, SchemaNote, SeriesDropped, ValuesExpired
from exporter.model.outcome import Poll, Unchanged
from exporter.model.reading import Note, RateLimit, Reading
from exporter.model.sample import Sample
from exporter.model.target import Target
from exporter.schedule.lanes import Timer
from exporter.schedule.view import JobStatus
from exporter.store.board import Board
from exporter.store.exposition import DuplicateError, MalformedError, PrefixCache
from exporter.store.shelf import Shelf

DROPS = frozenset({"series_limit", "duplicate"})
"""Notes that say that series were left out; the others tell how an answer has changed."""


class Published(NamedTuple):
    """The readings that were alive when a target was rendered last; epoch seconds."""

    alive: Mapping[str, Reading]
    at: float


class Publisher:
    """Keeps the shelf true: after each poll, and when values grow stale or a period ends.

    ``statuses`` gives the jobs of a target, ``history`` its past values, ``at`` calls back at an
    epoch. ``wall`` is the clock of epoch seconds.
    """

    def __init__(
        self,
        *,
        board: Board,
        shelf: Shelf,
        wall: Callable[[], float],
        at: Callable[[float, Callable[[], object]], Timer],
        statuses: Callable[[str], Iterable[JobStatus]],
        history: Callable[[str], History],
        emit: Callable[[Event], None],
    ) -> None:
        self._board = board
        self._shelf = shelf
        self._wall = wall
        self._at = at
        self._statuses = statuses
        self._history = history
        self._emit = emit
        self._published: dict[str, Published] = {}
        self._caches: dict[str, PrefixCache] = {}
        self._timers: dict[str, Timer] = {}
        self._rates: dict[str, RateLimit] = {}

    def learn(self, target: Target, poll: Poll) -> None:
        """Take in how a poll ended. `publish` makes it visible."""
        if poll.rate is not None and (poll.rate.limit, poll.rate.remaining) != (None, None):
            self._rates[target.name] = poll.rate
        match poll.outcome:
            case Reading() as reading:
                self._compare(target, reading)
                self._board.accept(target.name, reading, poll.at)
            case Unchanged():
                self._board.unchanged(target.name, poll.collector, poll.at)
            case _:
                pass  # a failed poll keeps the values; they age

    def publish(self, target: Target) -> None:
        """Render what is known of a target now, and come back when time alone changes it."""
        now = self._wall()
        alive = self._board.readings(target.name, now, target.stale_after)
        found, notes = samples(target, alive, now, self._history(target.name))
        self._tell(target, "", notes)
        self._put(target, found)
        self._come_back(target, now)
        self._miss(target, Published(alive, now))

    def remove(self, name: str) -> None:
        """Forget a target: the next scrape is without it."""
        self._shelf.remove(name)
        self._board.remove(name)
        self._published.pop(name, None)
        self._caches.pop(name, None)
        self._rates.pop(name, None)
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()

    def _put(self, target: Target, found: Iterable[Sample]) -> None:
        cache = self._caches.setdefault(target.name, PrefixCache())
        rate = self._rates.get(target.name)
        ours = [
            *health(self._statuses(target.name)),
            *throttle(target.provider, target.name, rate),
        ]
        try:
            blocks = cache.render([*found, *ours])
        except (DuplicateError, MalformedError) as error:
            # One bad target can never make /metrics fail: its values go, its health stays.
            self._tell(target, "", (Note(reason="duplicate", detail=str(error)),))
            blocks = cache.render(ours)
        self._shelf.put(target.name, blocks)

    def _come_back(self, target: Target, now: float) -> None:
        if (timer := self._timers.pop(target.name, None)) is not None:
            timer.cancel()
        moment = self._board.next_change(target.name, now, target.stale_after)
        if moment is not None:
            self._timers[target.name] = self._at(moment, partial(self.publish, target))

    def _miss(self, target: Target, after: Published) -> None:
        """Tell which values went although nothing newer came, whatever it was that showed it."""
        before = self._published.get(target.name, after)
        self._published[target.name] = after
        for collector, reading in before.alive.items():
            if collector not in target.stale_after:
                continue  # it is not polled any more
            if collector not in after.alive:
                cause = "stale"
            elif after.alive[collector] is reading and _ended(reading, before.at, after.at):
                cause = "period_over"
            else:
                continue
            self._emit(
                ValuesExpired(
                    provider=target.provider, target=target.name, collector=collector, cause=cause
                )
            )

    def _compare(self, target: Target, reading: Reading) -> None:
        known = self._board.readings(target.name, self._wall(), target.stale_after)
        before = known.get(reading.collector)
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
                    )
                )


def _ended(reading: Reading, since: float, now: float) -> bool:
    """Tell whether a period of a reading came to its end after ``since`` and by now."""
    periods = [usage.period for usage in reading.usages]
    periods += [money.period for money in reading.money]
    return any(period is not None and since < period.end <= now for period in periods)
