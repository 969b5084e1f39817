"""Who may start now: the limits on polls at once, and the line of lanes that wait for a slot."""

from collections import deque
from collections.abc import Callable, Iterable

from exporter.model.plan import Concurrency
from exporter.schedule.lanes import Entry, Host, Lane, Place, Running


class Slots:
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
        start: Callable[[Entry, float], None],
        postpone: Callable[[Lane, float], None],
    ) -> None:
        self.closed = True
        self.running: dict[str, Entry] = {}  # by target: it has one poll at a time
        self.concurrency = concurrency
        self._per_budget = per_budget
        self._start = start
        self._postpone = postpone
        self._line: deque[Lane] = deque()
        self._queued: set[Lane] = set()
        self._turns = 0

    def push(self, entry: Entry) -> None:
        """Queue an entry that is due in its lane."""
        self._turns += 1
        entry.lane.push(entry, self._turns)
        self._queued.add(entry.lane)

    def pump(self, lane: Lane, now: float) -> None:
        """Start what may be started of one lane's queue."""
        while not lane.lined and not lane.full(self._per_budget, now):
            entry = lane.head()
            if entry is None:
                self._queued.discard(lane)
                return
            if entry.job.target in self.running:
                self._pop(lane)
                entry.place = Place.PARKED
                continue
            held = lane.hold(now, entry.state.cost)
            if held is not None:
                if not held.ours:
                    lane.excused = max(lane.excused, held.until)
                self._postpone(lane, held.until)
                return
            if not self._has_room(lane):
                return
            self._pop(lane)
            self._start(entry, now)

    def _pop(self, lane: Lane) -> None:
        lane.pop()
        if lane.queue is None:
            self._queued.discard(lane)

    def _has_room(self, lane: Lane) -> bool:
        """Tell whether a poll may start; if not, put the lane into the line for a free slot."""
        if self.closed or len(self.running) >= self.concurrency.polls:
            self._line.append(lane)
        elif lane.host.running >= self.concurrency.per_host:
            lane.host.waiting.append(lane)
        else:
            return True
        lane.lined = True
        return False

    def enlist(self, lanes: Iterable[Lane]) -> None:
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

    def take(self, entry: Entry, running: Running) -> None:
        """Book the start of a poll."""
        lane = entry.lane
        entry.place, entry.running = Place.RUNNING, running
        lane.running += (entry,)
        lane.pledged += running.cost
        running.host.running += 1
        self.running[entry.job.target] = entry

    def free(self, entry: Entry, running: Running) -> None:
        """Book the end of a poll."""
        lane = entry.lane
        entry.running = None
        lane.running = tuple(other for other in lane.running if other is not entry)
        lane.pledged -= running.cost
        running.host.running -= 1
        self.running.pop(entry.job.target, None)

    def pass_on(self, host: Host, now: float) -> None:
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
            if held is None or held.ours:
                longest = max(longest, now - max(head.state.due, lane.excused))
        return longest

    def overdue(self, since: float) -> list[tuple[Entry, Running]]:
        """Return the polls that run although their time was over at `since`."""
        return [
            (entry, entry.running)
            for entry in self.running.values()
            if entry.running is not None and entry.running.started + entry.job.timeout < since
        ]
