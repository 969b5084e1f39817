"""What the payloads of one poll gave, until it is a reading."""

import heapq
from collections import Counter

import msgspec

from exporter.model.reading import Item, Money, Note, Reading, Usage

_DETAILS = 20  # different notes of one reason that are told one by one
_FURTHER = "and others like these"


class Gathered(msgspec.Struct):
    """Lists that grow with each payload (one per account of a fan-out)."""

    usages: list[Usage] = msgspec.field(default_factory=list)
    money: list[Money] = msgspec.field(default_factory=list)
    items: list[Item] = msgspec.field(default_factory=list)
    notes: list[Note] = msgspec.field(default_factory=list)
    matched: set[str] = msgspec.field(default_factory=set)
    plans: dict[str, str] = msgspec.field(default_factory=dict)
    dropped: int = 0

    def trim(self, most: int) -> None:
        """Keep the first `most` usages and amounts of money and the largest items.

        The others are counted. Called after each payload, so that many accounts do not gather what
        is dropped at the end.
        """
        if len(self.items) > most:
            self.dropped += len(self.items) - most
            self.items = heapq.nlargest(most, self.items, key=lambda one: one.value)
        for kept in (self.usages, self.money):
            self.dropped += max(len(kept) - most, 0)
            del kept[most:]

    def size(self) -> int:
        """Return how much was learned so far."""
        return len(self.usages) + len(self.money) + len(self.items) + len(self.plans)

    def reading(self, collector: str, at: float, most: int) -> Reading:
        """Return the reading. Beyond `most` usages or items the later and the smaller go.

        That bounds the memory of a reading; the series are counted by the join.
        """
        self.trim(most)
        if self.dropped:
            self.notes.append(Note(reason="series_limit", detail=collector, count=self.dropped))
        return Reading(
            collector=collector,
            at=at,
            usages=tuple(self.usages),
            money=tuple(self.money),
            items=tuple(self.items),
            plans=tuple(self.plans.items()),
            notes=combined(self.notes) if self.notes else (),
            matched=frozenset(self.matched),
        )


def combined(notes: list[Note]) -> tuple[Note, ...]:
    """Return the notes, equal ones counted together, and all those beyond the first of a reason.

    Each note is a line of the log: an answer with thousands of odd rows gets some of them.
    """
    counts: dict[tuple[str, str], int] = {}
    details: Counter[str] = Counter()
    for note in notes:
        key = (note.reason, note.detail)
        if key not in counts:
            details[note.reason] += 1
            if details[note.reason] > _DETAILS:
                key = (note.reason, _FURTHER)
        counts[key] = counts.get(key, 0) + note.count
    return tuple(
        Note(reason=reason, detail=detail, count=count)
        for (reason, detail), count in counts.items()
    )
