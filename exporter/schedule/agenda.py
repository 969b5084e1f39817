"""The one heap of due times."""

from heapq import heapify, heappop, heappush
from typing import Generic, Protocol, TypeVar

SMALL = 64  # below this a heap is never worth cleaning


class Dated(Protocol):
    """Something that comes due. `serial` is the agenda's: 0 while it is not on it."""

    serial: int


Item = TypeVar("Item", bound=Dated)


class Agenda(Generic[Item]):
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
