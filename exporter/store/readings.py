"""What is known of each target in memory: its last good readings, and its use in the last weeks.

`ReadingCache` holds one reading per collector and decides on staleness alone. Whether a value's
period is over is decided value by value in the mapping; the cache says when that has to be looked
at again. `UsageHistory` is thinned to what a forecast needs: the last value of every quarter of a
day, so that a month of a resource is two kilobytes; the ledger has the finer points on disk.
`fingerprint` says whose values these are.
"""

import hashlib
from array import array
from collections.abc import Mapping
from typing import ClassVar

import msgspec

from exporter.model.reading import Reading
from exporter.model.target import Target


class Held(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A reading and the time of the last success that confirmed it, epoch seconds."""

    reading: Reading
    at: float
    ends: tuple[float, ...]  # of the open periods in it, ascending


class ReadingCache:
    """The last good readings. A failed poll does not come here: its values stay, and age."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[Held, ...]] = {}

    def accept(self, target: str, reading: Reading, at: float) -> None:
        """Replace what the reading's collector said before; `at` is the time of the success.

        The end of a closed period says nothing: it was over when it was asked for.
        """
        spans = [usage.period for usage in reading.usages if not usage.closed]
        spans += [money.period for money in reading.money if not money.closed]
        ends = tuple(sorted({span.end for span in spans if span is not None}))
        self._put(target, Held(reading=reading, at=at, ends=ends))

    def unchanged(self, target: str, collector: str, at: float) -> None:
        """Renew the age: the vendor said that its last answer still holds.

        Nothing to do where no answer is known.
        """
        if held := self._find(target, collector):
            self._put(target, msgspec.structs.replace(held, at=at))

    def clock_moved(self, by: float) -> None:
        """Keep the ages as they are: the clock was set forward by so many seconds."""
        for target, all_held in self._held.items():
            self._held[target] = tuple(
                msgspec.structs.replace(held, at=held.at + by) for held in all_held
            )

    def successes(self, target: str) -> dict[str, float]:
        """Return when each collector last succeeded, epoch seconds; stale readings count."""
        return {held.reading.collector: held.at for held in self._held.get(target, ())}

    def held(self, target: str) -> list[tuple[Reading, float]]:
        """Return each reading with the time of its last success; stale readings count."""
        return [(held.reading, held.at) for held in self._held.get(target, ())]

    def remove(self, target: str) -> None:
        """Forget the target."""
        self._held.pop(target, None)

    def reading(
        self, target: str, collector: str, now: float, stale_after: Mapping[str, float]
    ) -> Reading | None:
        """Return the reading of one collector, unless it is stale."""
        held, longest = self._find(target, collector), stale_after.get(collector)
        alive = held is not None and longest is not None and not _is_stale(held, now, longest)
        return held.reading if held is not None and alive else None

    def readings(
        self, target: str, now: float, stale_after: Mapping[str, float]
    ) -> dict[str, Reading]:
        """Return the readings that are not stale, by collector.

        `stale_after` are seconds by collector, 0 for never. A collector that is not in it is no
        longer polled: its reading is not alive.
        """
        alive = self._alive(target, now, stale_after)
        return {held.reading.collector: held.reading for held in alive}

    def next_change(
        self, target: str, now: float, stale_after: Mapping[str, float]
    ) -> float | None:
        """Return when time alone will next change what the target publishes, epoch seconds.

        The earliest instant after `now` at which a reading grows stale or a period in it ends.
        """
        moments = [
            moment
            for held in self._alive(target, now, stale_after)
            for moment in (_stale_at(held, stale_after[held.reading.collector]), *held.ends)
            if moment is not None and moment > now
        ]
        return min(moments, default=None)

    def _alive(self, target: str, now: float, stale_after: Mapping[str, float]) -> list[Held]:
        return [
            held
            for held in self._held.get(target, ())
            if (longest := stale_after.get(held.reading.collector)) is not None
            and not _is_stale(held, now, longest)
        ]

    def _find(self, target: str, collector: str) -> Held | None:
        held = (held for held in self._held.get(target, ()) if held.reading.collector == collector)
        return next(held, None)

    def _put(self, target: str, new: Held) -> None:
        """Put `new` in the place of its collector, at the end if it had none."""
        found = list(self._held.get(target, ()))
        for place, held in enumerate(found):
            if held.reading.collector == new.reading.collector:
                found[place] = new
                break
        else:
            found.append(new)
        self._held[target] = tuple(found)


def _stale_at(held: Held, stale_after: float) -> float | None:
    return held.at + stale_after if stale_after else None


def _is_stale(held: Held, now: float, stale_after: float) -> bool:
    moment = _stale_at(held, stale_after)
    return moment is not None and now >= moment


HistoryPoints = tuple[tuple[float, float], ...]
SeriesKey = tuple[str, str]
"""Account label and resource."""


class UsageHistory:
    """Past values by target, account and resource; each an ascending row of (epoch, value)."""

    STEP: ClassVar = 6 * 3600.0
    LENGTH: ClassVar = 35 * 86_400.0
    MOST: ClassVar = int(LENGTH / STEP) + 1

    def __init__(self) -> None:
        self._rows: dict[str, dict[SeriesKey, array[float]]] = {}

    def of(self, target: str) -> Mapping[SeriesKey, HistoryPoints]:
        """Return what is known of a target."""
        return {
            key: _pairs(row, len(row), row[-2]) for key, row in self._rows.get(target, {}).items()
        }

    def points(self, target: str, account: str, resource: str, before: float) -> HistoryPoints:
        """Return the values of one series in the steps before the one that `before` lies in.

        The value of a step is final when the step is over: what is worked out of these points is
        the same before and after the present value is added.
        """
        row = self._rows.get(target, {}).get((account, resource))
        if not row:
            return ()
        end, step = len(row), before // self.STEP
        while end and row[end - 2] // self.STEP >= step:
            end -= 2
        return _pairs(row, end, before)

    def add(self, target: str, at: float, values: Mapping[SeriesKey, float]) -> None:
        """Note the values of one moment; within a step the newer replaces the older."""
        rows = self._rows.setdefault(target, {})
        for key, value in values.items():
            _append(rows.setdefault(key, array("d")), at, value)

    def put(self, target: str, points: Mapping[SeriesKey, HistoryPoints]) -> None:
        """Take over what the ledger knows."""
        for key, pairs in points.items():
            for at, value in pairs:
                self.add(target, at, {key: value})

    def forget(self, target: str) -> None:
        """Forget a target."""
        self._rows.pop(target, None)


def _append(row: "array[float]", at: float, value: float) -> None:
    # The same step is replaced; so is what is later: the clock was wrong then.
    while len(row) and row[-2] // UsageHistory.STEP >= at // UsageHistory.STEP:
        del row[-2:]
    row.extend((at, value))
    # Old ones go by their number: a clock that jumps ahead for a while must not wipe the history.
    if len(row) > 2 * UsageHistory.MOST:
        del row[: len(row) - 2 * UsageHistory.MOST]


def _pairs(row: "array[float]", end: int, now: float) -> HistoryPoints:
    begin = 0
    while begin < end and row[begin] < now - UsageHistory.LENGTH:
        begin += 2
    return tuple(zip(row[begin:end:2], row[begin + 1 : end : 2], strict=True))


def fingerprint(target: Target) -> str:
    """Return a short digest of what makes a target the account that it is.

    Provider, address, parameters and accounts: when one of them changes, what was known belongs to
    another account and must not come back. A renewed credential changes nothing.
    """
    parts = (target.provider, target.base_url, sorted(target.params.items()), target.accounts)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]
