"""What stands in the ledger: records are written, read, thinned.

Readings are msgpack of the model's own structs: fields that a version does not know are ignored,
those it misses have defaults, and a row that cannot be understood any more is skipped and counted.
A target's rows carry a fingerprint of what it is (provider, address, params), which the caller
computes: rows of another fingerprint are another account's, and never come back.

I/O: sqlite3.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import TypeAlias, assert_never

import msgspec

from exporter.model.reading import Reading

HOUR = 3600.0
FINE = 2 * 86_400.0
"""Seconds for which every point of the history is kept; older ones are thinned to one an hour."""
KEPT = 35 * 86_400.0
"""Seconds after which points, and targets that nobody polls any more, are deleted."""

_PURGE = "DELETE FROM targets WHERE name = ?"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Reading).decode


class ReadingRecord(msgspec.Struct, frozen=True):
    """The last good reading of a collector; `at` is the time of the success, epoch seconds."""

    target: str
    fingerprint: str
    reading: Reading
    at: float


class RenewalRecord(msgspec.Struct, frozen=True):
    """The last good reading was confirmed (304) at `at`."""

    target: str
    collector: str
    at: float


class ScheduleRecord(msgspec.Struct, frozen=True):
    """One row of the schedule, opaque; without `value` it goes."""

    key: str
    value: bytes | None


class ForgetRecord(msgspec.Struct, frozen=True):
    """A target was removed: its readings and its history go."""

    target: str


Record: TypeAlias = ReadingRecord | RenewalRecord | ScheduleRecord | ForgetRecord


class PointRecord(msgspec.Struct, frozen=True):
    """How much was used at one time, epoch seconds."""

    target: str
    fingerprint: str
    account: str
    resource: str
    at: float
    used: float


History: TypeAlias = Mapping[tuple[str, str], tuple[tuple[float, float], ...]]
"""(account, resource): the points (epoch seconds, used), ascending."""


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What an earlier process knew.

    `readings` by target, each with the time of its last success; `schedule` as it was saved;
    `written_at` is when the last batch was written, None if never. `skipped` rows could not be
    understood.
    """

    readings: Mapping[str, tuple[tuple[Reading, float], ...]] = {}
    schedule: Mapping[str, bytes] = {}
    written_at: float | None = None
    skipped: int = 0


# ------------------------------------------------------------------------------------- writing


def write(
    connection: sqlite3.Connection,
    records: Iterable[Record],
    points: Iterable[PointRecord],
    now: float,
) -> int:
    """Write a batch inside the caller's transaction; return how many records cannot be written.

    A point is dropped if its target has no reading yet, or is another by its fingerprint.
    """
    refused = 0
    for record in records:
        try:
            _write_record(connection, record)
        except (ValueError, TypeError, OverflowError, msgspec.MsgspecError):
            refused += 1  # text that UTF-8 cannot say: the rest of the batch is not to blame
    for point in points:
        try:
            _write_point(connection, point)
        except (ValueError, TypeError, OverflowError):
            refused += 1
    connection.execute("INSERT OR REPLACE INTO facts VALUES ('written_at', ?)", (now,))
    return refused


def _write_record(connection: sqlite3.Connection, record: Record) -> None:
    match record:
        case ReadingRecord(target, fingerprint, reading, at):
            row = (_target(connection, target, fingerprint), reading.collector, at)
            connection.execute(
                "INSERT OR REPLACE INTO readings VALUES (?, ?, ?, ?)", (*row, _encode(reading))
            )
        case RenewalRecord(target, collector, at):
            connection.execute(
                "UPDATE readings SET at = ? WHERE collector = ?"
                " AND target = (SELECT id FROM targets WHERE name = ?)",
                (at, collector, target),
            )
        case ScheduleRecord(key, None):
            connection.execute("DELETE FROM schedule WHERE key = ?", (key,))
        case ScheduleRecord(key, value):
            connection.execute("INSERT OR REPLACE INTO schedule VALUES (?, ?)", (key, value))
        case ForgetRecord(target):
            connection.execute(_PURGE, (target,))
        case _:
            assert_never(record)


def _target(connection: sqlite3.Connection, name: str, fingerprint: str) -> int:
    """Return the id of the target; if it became another one, all it had is deleted."""
    row = connection.execute(
        "SELECT id, fingerprint FROM targets WHERE name = ?", (name,)
    ).fetchone()
    if row is not None and row[1] == fingerprint:
        return int(row[0])
    connection.execute(_PURGE, (name,))
    values = (name, fingerprint)
    added = connection.execute("INSERT INTO targets (name, fingerprint) VALUES (?, ?)", values)
    return int(added.lastrowid or 0)


def _write_point(connection: sqlite3.Connection, point: PointRecord) -> None:
    series = _series(connection, point)
    if series is None:
        return
    # Points of a later time are from before the clock was put right.
    connection.execute("DELETE FROM history WHERE series = ? AND at >= ?", (series, point.at))
    last = connection.execute(
        "SELECT at, used FROM history WHERE series = ? ORDER BY at DESC LIMIT 2", (series,)
    ).fetchall()
    if [used for _, used in last] == [point.used, point.used]:
        # Between two equal points the line is level: the later one moves on.
        connection.execute(
            "UPDATE history SET at = ? WHERE series = ? AND at = ?", (point.at, series, last[0][0])
        )
    else:
        connection.execute("INSERT INTO history VALUES (?, ?, ?)", (series, point.at, point.used))


def _series(connection: sqlite3.Connection, point: PointRecord) -> int | None:
    target = connection.execute(
        "SELECT id FROM targets WHERE name = ? AND fingerprint = ?",
        (point.target, point.fingerprint),
    ).fetchone()
    if target is None:
        return None
    key = (target[0], point.account, point.resource)
    found = connection.execute(
        "SELECT id FROM series WHERE target = ? AND account = ? AND resource = ?", key
    ).fetchone()
    if found is not None:
        return int(found[0])
    added = connection.execute(
        "INSERT INTO series (target, account, resource) VALUES (?, ?, ?)", key
    )
    return added.lastrowid


# ------------------------------------------------------------------------------------- reading


def load(connection: sqlite3.Connection, fingerprints: Mapping[str, str]) -> Restored:
    """Return what belongs to the targets in `fingerprints`; other rows stay, and are not read."""
    readings: dict[str, list[tuple[Reading, float]]] = {}
    skipped = 0
    rows = connection.execute(
        "SELECT name, fingerprint, at, reading FROM readings JOIN targets ON id = target"
    )
    for name, fingerprint, at, encoded in rows:
        if fingerprints.get(name) != fingerprint:
            continue
        try:
            reading = _decode(encoded)
        except (msgspec.MsgspecError, ValueError, TypeError):
            skipped += 1
        else:
            readings.setdefault(name, []).append((reading, at))
    written_at = connection.execute("SELECT value FROM facts WHERE name = 'written_at'").fetchone()
    return Restored(
        readings={name: tuple(found) for name, found in readings.items()},
        schedule=dict(connection.execute("SELECT key, value FROM schedule")),
        written_at=written_at[0] if written_at else None,
        skipped=skipped,
    )


def history(
    connection: sqlite3.Connection, target: str, fingerprint: str, since: float, step: float
) -> History:
    """Return the points of a target from `since` on, the last of each `step` seconds (0: all)."""
    last = "max(at)" if step else "at"
    bucket = "GROUP BY series, CAST(at / ? AS INTEGER)" if step else "AND ? = 0"
    rows = connection.execute(
        f"SELECT account, resource, {last}, used FROM targets"  # noqa: S608 - constants
        " JOIN series ON series.target = targets.id JOIN history ON history.series = series.id"
        f" WHERE name = ? AND fingerprint = ? AND at >= ? {bucket} ORDER BY series, at",
        (target, fingerprint, since, step),
    )
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for account, resource, at, used in rows:
        found.setdefault((account, resource), []).append((at, used))
    return {key: tuple(points) for key, points in found.items()}


# ------------------------------------------------------------------------------------ thinning


def tidy(connection: sqlite3.Connection, now: float, after: int, count: int) -> int | None:
    """Prune and thin the history of the next `count` series after the id `after`.

    Inside the caller's transaction. Returns where to go on, None when all have been seen.
    """
    ids = connection.execute(
        "SELECT id FROM series WHERE id > ? ORDER BY id LIMIT ?", (after, count)
    ).fetchall()
    connection.executemany(
        "DELETE FROM history WHERE series = ? AND at < ?",
        [(series, now - KEPT) for (series,) in ids],
    )
    border = (now - FINE) // HOUR * HOUR
    connection.executemany(
        "DELETE FROM history WHERE series = ? AND at < ? AND EXISTS ("
        "SELECT 1 FROM history AS later WHERE later.series = history.series"
        " AND later.at > history.at AND later.at < (CAST(history.at / ? AS INTEGER) + 1) * ?)",
        [(series, border, HOUR, HOUR) for (series,) in ids],
    )
    if len(ids) == count:
        return int(ids[-1][0])
    connection.execute(
        "DELETE FROM targets WHERE NOT EXISTS"
        " (SELECT 1 FROM readings WHERE readings.target = targets.id AND at >= ?)",
        (now - KEPT,),
    )
    return None
