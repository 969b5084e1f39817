"""What moves: jobs in their lanes. A lane is the queue of one budget.

Mutable and compact on purpose: there are as many entries as jobs, and the runner alone turns them.

The one heap of due times.

Who may start now: the limits on polls at once, and the line of lanes that wait for a slot.
"""

from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum, auto
from heapq import heapify, heappop, heappush
from typing import Generic, Protocol, TypeVar

import msgspec

from exporter.model.target import Concurrency
from exporter.schedule import budget, state
from exporter.schedule.budget import NOTHING_KNOWN, Budget, Hold
from exporter.schedule.job import BudgetLimits, Job
from exporter.schedule.state import JobState


class QueuePlace(Enum):
    """Where an entry is."""

    AGENDA = auto()  # its time has not come
    QUEUED = auto()  # due, waits for its lane
    PARKED = auto()  # due, another collector of its target is being polled
    RUNNING = auto()
    GONE = auto()  # its target left the config


class HostCount(msgspec.Struct, eq=False):
    """Who is asked. `waiting` lanes have a poll for it when it has fewer running."""

    name: str
    running: int = 0
    waiting: "deque[BudgetQueue]" = msgspec.field(default_factory=deque)


class BudgetQueue(msgspec.Struct, eq=False):
    """The queue of one budget.

    `demand` is what its jobs need, in requests per second; `in_flight` the requests that its
    running polls may still make. Until `excused` its polls waited for the vendor: that is no
    lateness. `lined`: it stands in a line for a free slot.
    """

    key: str
    host: HostCount
    limits: BudgetLimits
    budget: Budget = NOTHING_KNOWN
    demand: float = 0.0
    jobs: int = 0
    in_flight: int = 0
    excused: float = 0.0
    lined: bool = False
    serial: int = 0
    queue: "list[tuple[float, int, JobEntry]] | None" = None
    running: "tuple[JobEntry, ...]" = ()

    def push(self, entry: "JobEntry", turn: int) -> None:
        """Queue an entry that is due. `turn` decides between equal due times."""
        entry.place = QueuePlace.QUEUED
        if self.queue is None:
            self.queue = []
        heappush(self.queue, (entry.state.due, turn, entry))

    def head(self) -> "JobEntry | None":
        """Return the entry whose turn is next."""
        while self.queue:
            entry = self.queue[0][2]
            if entry.place is QueuePlace.QUEUED and entry.lane is self:
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
        return not budget.roomy(self.budget, self.limits, now, self.in_flight)

    def if_process_died(self) -> Budget:
        """Return the budget as another process must find it if this one ends now."""
        starts = [entry.running.started for entry in self.running if entry.running is not None]
        return budget.process_died(self.budget, max(starts)) if starts else self.budget

    def hold(self, now: float, cost: int) -> Hold | None:
        """Return what a poll of `cost` requests must wait for."""
        return budget.hold(self.budget, self.limits, now, cost=cost, in_flight=self.in_flight)


class RunningPoll(msgspec.Struct, eq=False):
    """A poll under way.

    `deaf`: it did not end at its deadline. `dropped`: we cancelled it. `again`: its secret changed
    meanwhile.
    """

    started: float
    cost: int
    host: HostCount
    cancel: Callable[[], object]
    deaf: bool = False
    dropped: bool = False
    again: bool = False


class JobEntry(msgspec.Struct, eq=False):
    """A job, its state, and where it is."""

    job: Job
    state: JobState
    lane: BudgetQueue
    place: QueuePlace = QueuePlace.AGENDA
    serial: int = 0
    running: RunningPoll | None = None
    lateness: float = 0.0

    def if_process_died(self) -> JobState:
        """Return the state as another process must find it if this one ends now."""
        if self.running is None:
            return self.state
        return state.process_died(self.state, self.running.started)


class Timer(msgspec.Struct, eq=False):
    """A callback at a time, until it is cancelled."""

    callback: Callable[[], object]
    drop: "Callable[[Timer], None]"
    serial: int = 0

    def cancel(self) -> None:
        """Never call back. Harmless when it already has."""
        self.drop(self)


SMALL = 64  # below this a heap is never worth cleaning


class HeapEntry(Protocol):
    """Something that comes due. `serial` is the agenda's: 0 while it is not on it."""

    serial: int


Item = TypeVar("Item", bound=HeapEntry)


class TimerHeap(Generic[Item]):
    """Items in the order of their times; an item stands on it at most once.

    An item that moves leaves its old place behind as a stale one, which is dropped when it comes
    up, or all at once when they are the majority.
    """

    __slots__ = ("_heap", "_live", "_serial")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Item]] = []
        self._live = 0
        self._serial = 0

    def __len__(self) -> int:
        """Return how many items stand on the agenda."""
        return self._live

    @property
    def size(self) -> int:
        """How many places are taken, stale ones included."""
        return len(self._heap)

    def put(self, item: Item, when: float) -> None:
        """Put `item` on, or move it to `when`."""
        if item.serial == 0:
            self._live += 1
        self._serial += 1
        item.serial = self._serial
        heappush(self._heap, (when, self._serial, item))
        if len(self._heap) > SMALL + 2 * self._live:
            self._clean()

    def drop(self, item: Item) -> None:
        """Take `item` off, if it is on."""
        if item.serial:
            item.serial = 0
            self._live -= 1

    def next_time(self) -> float | None:
        """Return when the first item comes due."""
        heap = self._heap
        while heap:
            when, serial, item = heap[0]
            if item.serial == serial:
                return when
            heappop(heap)
        return None

    def pop_due(self, now: float) -> Item | None:
        """Take the first item off if its time has come."""
        when = self.next_time()
        if when is None or when > now:
            return None
        item = heappop(self._heap)[2]
        self.drop(item)
        return item

    def _clean(self) -> None:
        self._heap = [place for place in self._heap if place[2].serial == place[1]]
        heapify(self._heap)


class ConcurrencyLimiter:
    """The slots of all polls, of a host and of a budget, and the lanes that wait for one.

    `start` starts a poll, `postpone` brings a lane back at a time. A lane that finds no slot
    stands in line until a poll ends: no lane overtakes, so that none starves. While it is `closed`
    nothing starts.
    """

    def __init__(
        self,
        *,
        concurrency: Concurrency,
        per_budget: int,
        start: Callable[[JobEntry, float], None],
        postpone: Callable[[BudgetQueue, float], None],
    ) -> None:
        self.closed = True
        self.running: dict[str, JobEntry] = {}  # by target: it has one poll at a time
        self.concurrency = concurrency
        self._per_budget = per_budget
        self._start = start
        self._postpone = postpone
        self._line: deque[BudgetQueue] = deque()
        self._queued: set[BudgetQueue] = set()
        self._turns = 0

    def push(self, entry: JobEntry) -> None:
        """Queue an entry that is due in its lane."""
        self._turns += 1
        entry.lane.push(entry, self._turns)
        self._queued.add(entry.lane)

    def pump(self, lane: BudgetQueue, now: float) -> None:
        """Start what may be started of one lane's queue."""
        while not lane.lined and not lane.full(self._per_budget, now):
            entry = lane.head()
            if entry is None:
                self._queued.discard(lane)
                return
            if entry.job.target in self.running:
                self._pop(lane)
                entry.place = QueuePlace.PARKED
                continue
            held = lane.hold(now, entry.state.cost)
            if held is not None:
                if not held.late:
                    lane.excused = max(lane.excused, held.until)
                self._postpone(lane, held.until)
                return
            if not self._has_room(lane):
                return
            self._pop(lane)
            self._start(entry, now)

    def _pop(self, lane: BudgetQueue) -> None:
        lane.pop()
        if lane.queue is None:
            self._queued.discard(lane)

    def _has_room(self, lane: BudgetQueue) -> bool:
        """Tell whether a poll may start; if not, put the lane into the line for a free slot."""
        if self.closed or len(self.running) >= self.concurrency.polls:
            self._line.append(lane)
        elif lane.host.running >= self.concurrency.per_host:
            lane.host.waiting.append(lane)
        else:
            return True
        lane.lined = True
        return False

    def enlist(self, lanes: Iterable[BudgetQueue]) -> None:
        """Give lanes their turn, after those that stand in line."""
        for lane in lanes:
            if lane.queue and not lane.lined:
                lane.lined = True
                self._line.append(lane)

    def drain(self, now: float) -> None:
        """Give the lanes in line their turn, as long as slots are free."""
        while self._line and not self.closed and len(self.running) < self.concurrency.polls:
            lane = self._line.popleft()
            lane.lined = False
            self.pump(lane, now)

    def take(self, entry: JobEntry, running: RunningPoll) -> None:
        """Book the start of a poll."""
        lane = entry.lane
        entry.place, entry.running = QueuePlace.RUNNING, running
        lane.running += (entry,)
        lane.in_flight += running.cost
        running.host.running += 1
        self.running[entry.job.target] = entry

    def free(self, entry: JobEntry, running: RunningPoll) -> None:
        """Book the end of a poll."""
        lane = entry.lane
        entry.running = None
        lane.running = tuple(other for other in lane.running if other is not entry)
        lane.in_flight -= running.cost
        running.host.running -= 1
        self.running.pop(entry.job.target, None)

    def pass_on(self, host: HostCount, now: float) -> None:
        """Give a host's free slots to the lanes that wait for them."""
        while host.waiting and host.running < self.concurrency.per_host:
            lane = host.waiting.popleft()
            lane.lined = False
            self.pump(lane, now)

    def owed(self, now: float) -> float:
        """Return the seconds by which the poll that waits longest for us is late."""
        longest = 0.0
        for lane in tuple(self._queued):
            head = lane.head()
            if head is None:
                self._queued.discard(lane)
                continue
            held = lane.hold(now, head.state.cost)
            if held is None or held.late:
                longest = max(longest, now - max(head.state.due, lane.excused))
        return longest

    def overdue(self, since: float) -> list[tuple[JobEntry, RunningPoll]]:
        """Return the polls that run although their time was over at `since`."""
        return [
            (entry, entry.running)
            for entry in self.running.values()
            if entry.running is not None and entry.running.started + entry.job.timeout < since
        ]
