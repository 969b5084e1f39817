"""What a finished poll, or the mere passing of time, changes on the shelf."""

import math
from collections.abc import Callable, Iterable

import msgspec

from exporter.app.health import health, throttle
from exporter.mapping.join import History, samples
from exporter.mapping.read import drift
from exporter.model.event import Event, SchemaNote, SeriesDropped, ValuesExpired
from exporter.model.outcome import Poll, Unchanged
from exporter.model.reading import Note, RateLimit, Reading
from exporter.model.sample import Sample
from exporter.model.target import Target
from exporter.schedule.agenda import Agenda
from exporter.schedule.lanes import Timer
from exporter.schedule.view import JobStatus
from exporter.store.board import Board
from exporter.store.exposition import DuplicateError, MalformedError, PrefixCache
from exporter.store.shelf import Shelf

DROPS = frozenset({"series_limit", "duplicate"})
"""Notes that say that series were left out; the others tell how an answer has changed."""
TURN = 64
"""Targets that are looked at in one turn when time has come for many."""


class _Shown(msgspec.Struct, eq=False):
    """What is kept of a target from one rendering to the next.

    ``alive`` are the readings that were alive ``at`` the last one (None: there was none), ``due``
    is when time alone changes them. ``serial`` is the agenda's. Epoch seconds.
    """

    target: Target
    cache: PrefixCache
    alive: tuple[Reading, ...] = ()
    at: float | None = None
    due: float = math.inf
    rate: RateLimit | None = None
    serial: int = 0


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
        self._shown: dict[str, _Shown] = {}
        self._agenda: Agenda[_Shown] = Agenda()
        self._timer: Timer | None = None
        self._rings_at = math.inf

    def learn(self, target: Target, poll: Poll) -> None:
        """Take in how a poll ended. `publish` makes it visible."""
        if poll.rate is not None and (poll.rate.limit, poll.rate.remaining) != (None, None):
            self._of(target).rate = poll.rate
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
        now, shown = self._wall(), self._of(target)
        alive = self._board.readings(target.name, now, target.stale_after)
        found, notes = samples(target, alive, now, self._history(target.name))
        self._tell(target, "", notes)
        self._put(shown, found)
        self._come_back(shown, now)
        self._miss(shown, tuple(alive.values()), now)

    def remove(self, name: str) -> None:
        """Forget a target: the next scrape is without it."""
        self._shelf.remove(name)
        self._board.remove(name)
        if (shown := self._shown.pop(name, None)) is not None:
            self._agenda.drop(shown)

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
        self._shelf.put(target.name, blocks)

    def _come_back(self, shown: _Shown, now: float) -> None:
        """See to it that time is noticed. Whoever is due earlier than needed looks and goes on."""
        target = shown.target
        due = self._board.next_change(target.name, now, target.stale_after)
        if due is None:
            self._agenda.drop(shown)
        elif not shown.serial or due < shown.due:
            shown.due = due
            self._agenda.put(shown, due)
            self._arm()

    def _arm(self) -> None:
        due = self._agenda.next_time()
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
                shown = self._agenda.pop_due(now)
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
