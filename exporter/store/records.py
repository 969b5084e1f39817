"""What is written into the ledger, and how its history gets thin.

A target's rows carry a fingerprint of what it is (provider, address, params), which the caller
computes: when it becomes another, all that was known is another account's, and is deleted.

I/O: sqlite3.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias, assert_never
from zlib import crc32

import msgspec

from exporter.model.reading import Reading

if TYPE_CHECKING:
    import sqlite3

HOUR = 3600.0
FINE = 2 * 86_400.0
"""Seconds for which every point of the history is kept; older ones are thinned to one an hour."""
KEPT = 35 * 86_400.0
"""Seconds after which points, and targets that nobody polls any more, are deleted."""

LATEST = 253_402_300_800.0
"""The year 10000 in epoch seconds: no time in the file can be later."""

_PURGE = "DELETE FROM targets WHERE name = ?"
_encode = msgspec.msgpack.Encoder().encode


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


def checksum(key: str, value: bytes) -> int:
    """Return what shows that a row is as it was written: SQLite looks at pages, not at values.

    `key` is in it, so that a row does not pass for another one.
    """
    return crc32(value, crc32(key.encode()))


# ------------------------------------------------------------------------------------- writing


def write(
    connection: "sqlite3.Connection",
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


def _write_record(connection: "sqlite3.Connection", record: Record) -> None:
    match record:
        case ReadingRecord(target, fingerprint, reading, at):
            row = (_target(connection, target, fingerprint), reading.collector, at)
            encoded = _encode(reading)
            connection.execute(
                "INSERT INTO readings VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
                " SET at = excluded.at, reading = excluded.reading, crc = excluded.crc",
                (*row, encoded, checksum(f"{target}/{reading.collector}", encoded)),
            )
        case RenewalRecord(target, collector, at):
            connection.execute(
                "UPDATE readings SET at = ? WHERE collector = ?"
                " AND target = (SELECT id FROM targets WHERE name = ?)",
                (at, collector, target),
            )
        case ScheduleRecord(key, bytes() as value):
            connection.execute(
                "INSERT OR REPLACE INTO schedule VALUES (?, ?, ?)",
                (key, value, checksum(key, value)),
            )
        case ScheduleRecord(key, _):
            connection.execute("DELETE FROM schedule WHERE key = ?", (key,))
        case ForgetRecord(target):
            connection.execute(_PURGE, (target,))
        case _:
            assert_never(record)


def _target(connection: "sqlite3.Connection", name: str, fingerprint: str) -> int:
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


def _write_point(connection: "sqlite3.Connection", point: PointRecord) -> None:
    series = _series(connection, point)
    if series is None:
        return
    last = _last_two(connection, series)
    if last and (not isinstance(last[0][0], float) or last[0][0] >= point.at):
        # Points of a later time are from before the clock was put right; damaged ones that are no
        # numbers stand behind all numbers, and go with them.
        values = (series, point.at)
        connection.execute("DELETE FROM history WHERE series = ? AND at >= ?", values)
        last = _last_two(connection, series)
    if [used for _, used in last] == [point.used, point.used]:
        # Between two equal points the line is level: the later one moves on.
        connection.execute(
            "UPDATE history SET at = ? WHERE series = ? AND at = ?", (point.at, series, last[0][0])
        )
    else:
        connection.execute("INSERT INTO history VALUES (?, ?, ?)", (series, point.at, point.used))


def _last_two(connection: "sqlite3.Connection", series: int) -> list[tuple[object, object]]:
    return connection.execute(
        "SELECT at, used FROM history WHERE series = ? ORDER BY at DESC LIMIT 2", (series,)
    ).fetchall()


def _series(connection: "sqlite3.Connection", point: PointRecord) -> int | None:
    of_target = (point.target, point.fingerprint)
    in_target = (point.account, point.resource)
    found = connection.execute(
        "SELECT series.id FROM targets JOIN series ON series.target = targets.id"
        " WHERE name = ? AND fingerprint = ? AND account = ? AND resource = ?",
        of_target + in_target,
    ).fetchone()
    if found is not None:
        return int(found[0])
    added = connection.execute(
        "INSERT INTO series (target, account, resource)"
        " SELECT id, ?, ? FROM targets WHERE name = ? AND fingerprint = ?",
        in_target + of_target,
    )
    return added.lastrowid if added.rowcount else None


# ------------------------------------------------------------------------------------ thinning


def tidy(connection: "sqlite3.Connection", now: float, after: int, count: int) -> int | None:
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
    _forget(connection, now - KEPT)
    return None


def _forget(connection: "sqlite3.Connection", before: float) -> None:
    """Delete whom nobody polled since: collectors, targets; and resources without any points."""
    connection.execute("DELETE FROM readings WHERE at < ?", (before,))
    connection.execute(
        "DELETE FROM targets WHERE NOT EXISTS"
        " (SELECT 1 FROM readings WHERE readings.target = targets.id)"
    )
    connection.execute(
        "DELETE FROM series WHERE NOT EXISTS"
        " (SELECT 1 FROM history WHERE history.series = series.id)"
    )
