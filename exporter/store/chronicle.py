"""How much was used in the last weeks, thinned to what a forecast needs; in memory.

The ledger keeps the finer points on disk. Here the last value of every quarter of a day stays: a
month of a resource is two kilobytes.
"""

from array import array
from collections.abc import Mapping
from typing import ClassVar

Points = tuple[tuple[float, float], ...]
Key = tuple[str, str]
"""Account label and resource."""


class Chronicle:
    """Past values by target, account and resource; each an ascending row of (epoch, value)."""

    STEP: ClassVar = 6 * 3600.0
    LENGTH: ClassVar = 35 * 86_400.0

    def __init__(self) -> None:
        self._rows: dict[str, dict[Key, array[float]]] = {}

    def of(self, target: str) -> Mapping[Key, Points]:
        """Return what is known of a target."""
        return {key: _pairs(row) for key, row in self._rows.get(target, {}).items()}

    def add(self, target: str, at: float, values: Mapping[Key, float]) -> None:
        """Note the values of one moment; within a step the newer replaces the older."""
        rows = self._rows.setdefault(target, {})
        for key, value in values.items():
            _append(rows.setdefault(key, array("d")), at, value)

    def put(self, target: str, points: Mapping[Key, Points]) -> None:
        """Take over what the ledger knows."""
        for key, pairs in points.items():
            for at, value in pairs:
                self.add(target, at, {key: value})

    def forget(self, target: str) -> None:
        """Forget a target."""
        self._rows.pop(target, None)


def _append(row: "array[float]", at: float, value: float) -> None:
    # The same step is replaced; so is what is later: the clock was wrong then.
    while len(row) and row[-2] // Chronicle.STEP >= at // Chronicle.STEP:
        del row[-2:]
    row.extend((at, value))
    while row[0] < at - Chronicle.LENGTH:
        del row[:2]


def _pairs(row: "array[float]") -> Points:
    return tuple(zip(row[::2], row[1::2], strict=True))
