"""What was saved and is not written yet: the latest of each record, bounded whatever the disk does.

Records are written in the order of their last saving, so that what came before a target was
forgotten, or became another one, cannot come back.
"""

from collections import deque
from collections.abc import Iterable
from itertools import chain
from typing import TypeAlias

import msgspec

from exporter.store.records import PointRecord, Record

POINTS = 50_000
"""Points of the history that may wait; the oldest go first."""

Key: TypeAlias = tuple[str, ...]


class Batch(msgspec.Struct, frozen=True):
    """What is written at once. `number` counts everything saved so far."""

    records: dict[Key, Record]
    points: tuple[PointRecord, ...]
    number: int


class Waiting:
    """A queue of records with one place for each key, and of points."""

    def __init__(self, points: int = POINTS) -> None:
        self._records: dict[Key, Record] = {}
        self._points: deque[PointRecord] = deque(maxlen=points)
        self.saved = 0

    def __bool__(self) -> bool:
        return bool(self._records or self._points)

    def put(self, key: Key, record: Record) -> None:
        """Add a record at the end, in the place of an older one of its key."""
        self.saved += 1
        self._records.pop(key, None)
        self._records[key] = record

    def extend(self, points: Iterable[PointRecord]) -> None:
        """Add points; beyond the limit the oldest are lost."""
        self.saved += 1
        self._points.extend(points)

    def take(self) -> Batch:
        """Return all that waits and begin anew."""
        batch = Batch(self._records, tuple(self._points), self.saved)
        self._records = {}
        self._points.clear()
        return batch

    def put_back(self, batch: Batch) -> None:
        """Return a batch that could not be written: before what has been saved since."""
        older = {key: r for key, r in batch.records.items() if key not in self._records}
        self._records = older | self._records
        self._points = deque(chain(batch.points, self._points), maxlen=self._points.maxlen)
