"""What moves: jobs in their lanes. A lane is the queue of one budget.

Mutable and compact on purpose: there are as many entries as jobs, and the runner alone turns them.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from heapq import heappop, heappush

import msgspec

from exporter.model.outcome import Poll
from exporter.schedule import budget as budgets
from exporter.schedule import state
from exporter.schedule.budget import Budget, Hold, Settlement
from exporter.schedule.job import Job, Terms
from exporter.schedule.state import JobState


class Place(Enum):
    """Where an entry is."""

    AGENDA = auto()  # its time has not come
    QUEUED = auto()  # due, waits for its lane
    PARKED = auto()  # due, another collector of its target is being polled
    RUNNING = auto()
    GONE = auto()  # its target left the config


class Host(msgspec.Struct, eq=False):
    """Who is asked. `waiting` lanes have a poll for it when it has fewer running."""

    name: str
    running: int = 0
    waiting: "deque[Lane]" = msgspec.field(default_factory=deque)


class Lane(msgspec.Struct, eq=False):
    """The queue of one budget.

    `demand` is what its jobs need, in requests per second; `pledged` the requests that its running
    polls may still make. Until `excused` its polls waited for the vendor: that is no lateness.
    `lined`: it stands in a line for a free slot.
    """

    key: str
    host: Host
    terms: Terms
    budget: Budget = budgets.FRESH
    demand: float = 0.0
    jobs: int = 0
    pledged: int = 0
    excused: float = 0.0
    lined: bool = False
    serial: int = 0
    queue: "list[tuple[float, int, Entry]] | None" = None
    running: "tuple[Entry, ...]" = ()

    def push(self, entry: "Entry", turn: int) -> None:
        """Queue an entry that is due. `turn` decides between equal due times."""
        entry.place = Place.QUEUED
        if self.queue is None:
            self.queue = []
        heappush(self.queue, (entry.state.due, turn, entry))

    def head(self) -> "Entry | None":
        """Return the entry whose turn is next."""
        while self.queue:
            entry = self.queue[0][2]
            if entry.place is Place.QUEUED and entry.lane is self:
                return entry
            heappop(self.queue)
        self.queue = None
        return None

    def pop(self) -> None:
        """Take the head off."""
        if self.queue:
            heappop(self.queue)
        if not self.queue:
            self.queue = None  # 56 bytes for each of many lanes

    def full(self, most: int, now: float) -> bool:
        """Tell whether no further poll may run beside those that do."""
        if not self.running:
            return False
        if len(self.running) >= most:
            return True
        return not budgets.roomy(self.budget, self.terms, now, self.pledged)

    def remembered(self) -> Budget:
        """Return the budget as another process must find it if this one ends now."""
        starts = [entry.running.started for entry in self.running if entry.running is not None]
        return budgets.unended(self.budget, max(starts)) if starts else self.budget

    def hold(self, now: float, cost: int) -> Hold | None:
        """Return what a poll of `cost` requests must wait for."""
        return budgets.hold(self.budget, self.terms, now, cost=cost, pledged=self.pledged)


class Running(msgspec.Struct, eq=False):
    """A poll under way.

    `deaf`: it did not end at its deadline. `dropped`: we cancelled it. `again`: its secret changed
    meanwhile.
    """

    started: float
    cost: int
    host: Host
    cancel: Callable[[], object]
    deaf: bool = False
    dropped: bool = False
    again: bool = False


class Entry(msgspec.Struct, eq=False):
    """A job, its state, and where it is."""

    job: Job
    state: JobState
    lane: Lane
    place: Place = Place.AGENDA
    serial: int = 0
    running: Running | None = None
    lateness: float = 0.0

    def cut(self, started: float, *, stopped: bool) -> None:
        """Take in that we cancelled the poll ourselves; `stopped`: because the process ends."""
        if stopped:
            self.state = state.stopped(self.job, self.state, started)
            self.lane.budget = budgets.unended(self.lane.budget, started)
        else:
            self.state = state.cut_short(self.job, self.state, started)

    def settlement(
        self, running: Running, poll: Poll, now: float, wall: float, chance: float
    ) -> Settlement:
        """Return what the budget must know of the end of `poll`.

        A poll that tells of no request is taken to have made as many as were expected.
        """
        return Settlement(
            now=now,
            wall=wall,
            chance=chance,
            cost=running.cost,
            spent=len(poll.exchanges) or running.cost,
            interval=self.job.interval,
            period_end=self.state.period_end,
        )


class Timer(msgspec.Struct, eq=False):
    """A callback at a time, until it is cancelled."""

    callback: Callable[[], object]
    drop: "Callable[[Timer], None]"
    serial: int = 0

    def cancel(self) -> None:
        """Never call back. Harmless when it already has."""
        self.drop(self)
