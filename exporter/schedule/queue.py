"""The mutable bookkeeping of due polls: entries, queues, slots, and the heap of timers.

An entry (a job and its state) is always in one `Place`: on the timer heap until it is due, then in
the queue of its budget, then running. A queue starts its first entry when three things allow it:

- the budget holds nothing back (`budget.hold`), else the queue comes back at the hold's end;
- no other collector of the same target runs, else the entry is set aside until that poll ends;
- a slot is free, of all polls and of the host, else the queue stands in a line until a poll ends.
  No queue overtakes another in a line, so that none starves.

There are as many entries as jobs, up to 50,000, and as many queues as budgets: they are compact.
`Runner` alone changes them.
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

SMALL = 64  # a heap with fewer places is never worth cleaning


class Place(Enum):
    """Where an entry is."""

    TIMER = auto()  # not due yet
    QUEUED = auto()  # due, in the queue of its budget
    TARGET_BUSY = auto()  # due, while another collector of its target runs
    RUNNING = auto()
    REMOVED = auto()  # its target left the config


class Host(msgspec.Struct, eq=False):
    """A host's running polls, and the queues that wait for one of them to end."""

    name: str
    running: int = 0
    waiting: "deque[BudgetQueue]" = msgspec.field(default_factory=deque)


class RunningPoll(msgspec.Struct, eq=False):
    """A poll under way, which is expected to make `cost` requests.

    `hung`: it did not end at its deadline. `discarded`: we cancelled it, what it brings does not
    count. `wake_after`: the secret changed meanwhile.
    """

    started: float
    cost: int
    host: Host
    cancel: Callable[[], object]
    hung: bool = False
    discarded: bool = False
    wake_after: bool = False


class JobEntry(msgspec.Struct, eq=False):
    """A job, its state, and where it is. `serial` is the timer heap's."""

    job: Job
    state: JobState
    queue: "BudgetQueue"
    place: Place = Place.TIMER
    serial: int = 0
    running: RunningPoll | None = None
    lateness: float = 0.0

    @property
    def started(self) -> float:
        """When the running poll started, else the last one."""
        return self.state.started if self.running is None else self.running.started

    def if_process_died(self) -> JobState:
        """Return the state as another process must find it if this one ends now."""
        if self.running is None:
            return self.state
        return state.process_died(self.state, self.running.started)


class BudgetQueue(msgspec.Struct, eq=False):
    """The due polls of one budget, and its running ones.

    `demand` is what its `jobs` need, in requests per second; `in_flight` the requests that its
    running polls may still make. Until `held_until` its polls waited for the vendor, which is no
    lateness. `in_line`: it waits for a slot. `serial` is the timer heap's. `due` is a heap, None
    when empty: that saves 56 bytes in each of many queues.
    """

    key: str
    host: Host
    limits: BudgetLimits
    budget: Budget = NOTHING_KNOWN
    demand: float = 0.0
    jobs: int = 0
    in_flight: int = 0
    held_until: float = 0.0
    in_line: bool = False
    serial: int = 0
    due: "list[tuple[float, int, JobEntry]] | None" = None
    running: "tuple[JobEntry, ...]" = ()

    def push(self, entry: JobEntry, number: int) -> None:
        """Queue an entry that is due. `number` decides between equal due times."""
        entry.place = Place.QUEUED
        if self.due is None:
            self.due = []
        heappush(self.due, (entry.state.due, number, entry))

    def first(self) -> JobEntry | None:
        """Return the entry that is next; drop those that were moved elsewhere."""
        while self.due:
            entry = self.due[0][2]
            if entry.place is Place.QUEUED and entry.queue is self:
                return entry
            heappop(self.due)
        self.due = None
        return None

    def pop(self) -> None:
        """Take the first entry off."""
        if self.due:
            heappop(self.due)
        if not self.due:
            self.due = None

    def full(self, most: int, now: float) -> bool:
        """Return whether no further poll may run beside those that do."""
        if not self.running:
            return False
        if len(self.running) >= most:
            return True
        return not budget.roomy(self.budget, self.limits, now, self.in_flight)

    def hold(self, now: float, cost: int) -> Hold | None:
        """Return what a poll of `cost` requests must wait for."""
        return budget.hold(self.budget, self.limits, now, cost=cost, in_flight=self.in_flight)

    def if_process_died(self) -> Budget:
        """Return the budget as another process must find it if this one ends now."""
        starts = [entry.running.started for entry in self.running if entry.running is not None]
        return budget.process_died(self.budget, max(starts)) if starts else self.budget


class ConcurrencyLimiter:
    """The slots of all polls, of a host and of a budget, and the queues that wait for one.

    `start` starts a poll, `come_back` brings a queue back at a time. While it is `closed` nothing
    starts.
    """

    def __init__(
        self,
        *,
        concurrency: Concurrency,
        per_budget: int,
        start: Callable[[JobEntry, float], None],
        come_back: Callable[[BudgetQueue, float], None],
    ) -> None:
        self.closed = True
        self.running: dict[str, JobEntry] = {}  # by target: it has one poll at a time
        self.concurrency = concurrency
        self._per_budget = per_budget
        self._start = start
        self._come_back = come_back
        self._line: deque[BudgetQueue] = deque()  # for a slot of all polls
        self._nonempty: set[BudgetQueue] = set()
        self._pushed = 0

    def push(self, entry: JobEntry) -> None:
        """Put an entry that is due into its queue."""
        self._pushed += 1
        entry.queue.push(entry, self._pushed)
        self._nonempty.add(entry.queue)

    def start_due(self, queue: BudgetQueue, now: float) -> None:
        """Start what may be started of a queue."""
        while not queue.in_line and not queue.full(self._per_budget, now):
            entry = queue.first()
            if entry is None:
                self._nonempty.discard(queue)
                return
            if entry.job.target in self.running:
                self._pop(queue)
                entry.place = Place.TARGET_BUSY
                continue
            held = queue.hold(now, entry.state.cost)
            if held is not None:
                if not held.late:
                    queue.held_until = max(queue.held_until, held.until)
                self._come_back(queue, held.until)
                return
            if self.closed or len(self.running) >= self.concurrency.polls:
                self._line.append(queue)
                queue.in_line = True
            elif queue.host.running >= self.concurrency.per_host:
                queue.host.waiting.append(queue)
                queue.in_line = True
            else:
                self._pop(queue)
                self._start(entry, now)

    def _pop(self, queue: BudgetQueue) -> None:
        queue.pop()
        if queue.due is None:
            self._nonempty.discard(queue)

    def line_up(self, queues: Iterable[BudgetQueue]) -> None:
        """Let queues try again, after those that stand in line already."""
        for queue in queues:
            if queue.due and not queue.in_line:
                queue.in_line = True
                self._line.append(queue)

    def serve_line(self, now: float) -> None:
        """Let the queues in line start polls while slots are free."""
        while self._line and not self.closed and len(self.running) < self.concurrency.polls:
            queue = self._line.popleft()
            queue.in_line = False
            self.start_due(queue, now)

    def serve_host(self, host: Host, now: float) -> None:
        """Let the queues that wait for a host start polls while its slots are free."""
        while host.waiting and host.running < self.concurrency.per_host:
            queue = host.waiting.popleft()
            queue.in_line = False
            self.start_due(queue, now)

    def occupy(self, entry: JobEntry, running: RunningPoll) -> None:
        """Take the slots of a poll that starts."""
        queue = entry.queue
        entry.place, entry.running = Place.RUNNING, running
        queue.running += (entry,)
        queue.in_flight += running.cost
        running.host.running += 1
        self.running[entry.job.target] = entry

    def free(self, entry: JobEntry, running: RunningPoll) -> None:
        """Give back the slots of a poll that ended."""
        queue = entry.queue
        entry.running = None
        queue.running = tuple(other for other in queue.running if other is not entry)
        queue.in_flight -= running.cost
        running.host.running -= 1
        self.running.pop(entry.job.target, None)

    def lateness(self, now: float) -> float:
        """Return the seconds by which the longest waiting poll is late for a reason of ours."""
        longest = 0.0
        for queue in tuple(self._nonempty):
            first = queue.first()
            if first is None:
                self._nonempty.discard(queue)
                continue
            held = queue.hold(now, first.state.cost)
            if held is None or held.late:
                longest = max(longest, now - max(first.state.due, queue.held_until))
        return longest

    def overdue(self, since: float) -> list[tuple[JobEntry, RunningPoll]]:
        """Return the polls that run although their time was over at `since`."""
        return [
            (entry, entry.running)
            for entry in self.running.values()
            if entry.running is not None and entry.running.started + entry.job.timeout < since
        ]


class Timer(msgspec.Struct, eq=False):
    """A callback at a time, until it is cancelled."""

    callback: Callable[[], object]
    drop: "Callable[[Timer], None]"
    serial: int = 0

    def cancel(self) -> None:
        """Never call back. Harmless when it already has."""
        self.drop(self)


class HeapItem(Protocol):
    """Something that comes due. `serial` belongs to the heap: 0 while the item is not on it."""

    serial: int


Item = TypeVar("Item", bound=HeapItem)


class TimerHeap(Generic[Item]):
    """Items in the order of their times; each at most once.

    An item that moves leaves its old place behind, which is dropped when it comes up, or all of
    them at once when they are the majority.
    """

    __slots__ = ("_heap", "_live", "_serial")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Item]] = []
        self._live = 0
        self._serial = 0

    def __len__(self) -> int:
        """Return how many items are on the heap."""
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
            self._heap = [place for place in self._heap if place[2].serial == place[1]]
            heapify(self._heap)

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
