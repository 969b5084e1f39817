"""What the payloads of one poll gave, until it is a reading."""

import msgspec

from exporter.model.reading import Item, Money, Note, Reading, Usage


class Gathered(msgspec.Struct):
    """Lists that grow with each payload (one per account of a fan-out)."""

    usages: list[Usage] = msgspec.field(default_factory=list)
    money: list[Money] = msgspec.field(default_factory=list)
    items: list[Item] = msgspec.field(default_factory=list)
    notes: list[Note] = msgspec.field(default_factory=list)
    matched: set[str] = msgspec.field(default_factory=set)
    plans: dict[str, str] = msgspec.field(default_factory=dict)

    def size(self) -> int:
        """Return how much was learned so far."""
        return len(self.usages) + len(self.money) + len(self.items) + len(self.plans)

    def reading(self, collector: str, at: float, most: int) -> Reading:
        """Return the reading. Beyond `most` usages or items the later and the smaller go.

        That bounds the memory of a reading; the series are counted by the join.
        """
        dropped = max(len(self.usages) - most, 0) + max(len(self.items) - most, 0)
        if len(self.items) > most:
            self.items.sort(key=lambda one: -one.value)
        if dropped:
            self.notes.append(Note(reason="series_limit", detail=collector, count=dropped))
        return Reading(
            collector=collector,
            at=at,
            usages=tuple(self.usages[:most]),
            money=tuple(self.money[:most]),
            items=tuple(self.items[:most]),
            plans=tuple(self.plans.items()),
            notes=combined(self.notes) if self.notes else (),
            matched=frozenset(self.matched),
        )


def combined(notes: list[Note]) -> tuple[Note, ...]:
    """Return the notes, equal ones counted together."""
    counts: dict[tuple[str, str], int] = {}
    for note in notes:
        key = (note.reason, note.detail)
        counts[key] = counts.get(key, 0) + note.count
    return tuple(
        Note(reason=reason, detail=detail, count=count)
        for (reason, detail), count in counts.items()
    )
