"""What the ledger gives back after a restart.

Readings are msgpack of the model's own structs: fields that a version does not know are ignored,
those it misses have defaults. A row that cannot be understood, that is not as it was written (its
checksum says so) or whose time cannot be, costs itself alone: it is skipped and counted.
Rows whose fingerprint is not the target's are another account's, and do not come back.

I/O: sqlite3.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

import msgspec

from exporter.model.reading import Reading
from exporter.store.records import LATEST, checksum

if TYPE_CHECKING:
    import sqlite3

AHEAD = 86_400.0
"""Seconds by which a time may lie after the last writing and the present: clocks are set."""

_decode = msgspec.msgpack.Decoder(Reading).decode

History: TypeAlias = Mapping[tuple[str, str], tuple[tuple[float, float], ...]]
"""(account, resource): the points (epoch seconds, used), ascending."""


class StateInUseError(Exception):
    """Another process uses the state file. The message says where, which and what to do."""


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What an earlier process knew.

    `readings` by target, each with the time of its last success; `histories` by target;
    `schedule` as it was saved; `written_at` is when the last batch was written, None if never.
    `skipped` rows could not be understood.
    """

    readings: Mapping[str, tuple[tuple[Reading, float], ...]] = {}
    histories: Mapping[str, History] = {}
    schedule: Mapping[str, bytes] = {}
    written_at: float | None = None
    skipped: int = 0


def load(
    connection: "sqlite3.Connection",
    fingerprints: Mapping[str, str],
    since: float = math.inf,
    step: float = 0.0,
    *,
    now: float = LATEST,
) -> Restored:
    """Return what belongs to the targets in `fingerprints`; other rows stay, and are not read.

    The history begins at `since`, with the last point of each `step` seconds (0: all). What claims
    to be of much later than `now` (epoch seconds) is damaged: it would never grow old.
    """
    fact = connection.execute("SELECT value FROM facts WHERE name = 'written_at'").fetchone()
    written_at = fact[0] if fact and _is_time(fact[0]) else None
    readings: dict[str, list[tuple[Reading, float]]] = {}
    schedule: dict[str, bytes] = {}
    skipped = 0 if fact is None or written_at is not None else 1
    latest = max(now, written_at or 0.0) + AHEAD
    rows = connection.execute(
        "SELECT name, fingerprint, collector, at, reading, crc FROM readings"
        " JOIN targets ON id = target"
    )
    for name, fingerprint, collector, at, encoded, crc in rows:
        if not isinstance(name, str) or fingerprints.get(name) != fingerprint:
            continue
        reading = _reading(name, collector, encoded, crc)
        if reading is None or not _is_time(at) or at > latest:
            skipped += 1
        else:
            readings.setdefault(name, []).append((reading, at))
    for key, value, crc in connection.execute("SELECT key, value, crc FROM schedule"):
        if isinstance(value, bytes) and _is_text(key) and _is_intact(key, value, crc):
            schedule[key] = value
        else:
            skipped += 1
    histories, odd = _histories(connection, fingerprints, since, step)
    return Restored(
        readings={name: tuple(found) for name, found in readings.items()},
        histories=histories,
        schedule=schedule,
        written_at=written_at,
        skipped=skipped + odd,
    )


def _reading(name: str, collector: object, encoded: object, crc: object) -> Reading | None:
    if not isinstance(encoded, bytes) or not _is_text(collector):
        return None
    if not _is_intact(f"{name}/{collector}", encoded, crc):
        return None
    try:
        reading = _decode(encoded)
    except (msgspec.MsgspecError, ValueError, TypeError):
        return None
    return reading if reading.collector == collector and _is_finite(reading) else None


def _is_intact(key: str, value: bytes, crc: object) -> bool:
    """Tell whether a row is as it was written. Rows of the first schema have no checksum."""
    return crc is None or crc == checksum(key, value)


def _is_text(value: object) -> TypeGuard[str]:
    """Tell whether `value` is a text that was valid UTF-8 in the file."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and 0 <= value <= LATEST


def _is_finite(value: object) -> bool:
    """Tell whether there is no NaN and no infinity in a reading."""
    match value:
        case float():
            return math.isfinite(value)
        case msgspec.Struct():
            return all(_is_finite(getattr(value, name)) for name in value.__struct_fields__)
        case tuple():
            return all(map(_is_finite, value))
        case _:
            return True


def history(
    connection: "sqlite3.Connection", target: str, fingerprint: str, since: float, step: float
) -> History:
    """Return the points of one target from `since` on, the last of each `step` seconds (0: all)."""
    row = connection.execute(
        "SELECT id FROM targets WHERE name = ? AND fingerprint = ?", (target, fingerprint)
    ).fetchone()
    return _history(connection, row[0], since, step)[0] if row else {}


def _histories(
    connection: "sqlite3.Connection", fingerprints: Mapping[str, str], since: float, step: float
) -> tuple[dict[str, History], int]:
    found: dict[str, History] = {}
    skipped = 0
    if since == math.inf:
        return found, skipped
    targets = connection.execute("SELECT id, name, fingerprint FROM targets").fetchall()
    for number, name, fingerprint in targets:
        if isinstance(name, str) and fingerprints.get(name) == fingerprint:
            points, odd = _history(connection, number, since, step)
            skipped += odd
            if points:
                found[name] = points
    return found, skipped


def _history(
    connection: "sqlite3.Connection", target: int, since: float, step: float
) -> tuple[History, int]:
    """Return the points of a target, and how many rows cannot be understood."""
    last, bucket = ("max(at)", "GROUP BY CAST(at / :step AS INTEGER)") if step else ("at", "")
    series = connection.execute(
        "SELECT id, account, resource FROM series WHERE target = ?", (target,)
    ).fetchall()
    found = {}
    skipped = 0
    for number, account, resource in series:
        if not (_is_text(account) and _is_text(resource)):
            skipped += 1
            continue
        # SQLite takes `used` from the row that has the max(at): lang_select.html, "bare columns".
        rows = connection.execute(
            f"SELECT {last}, used FROM history"  # noqa: S608 - made of constants
            f" WHERE series = :series AND at >= :since {bucket} ORDER BY at",
            {"series": number, "since": since, "step": step},
        ).fetchall()
        points = tuple((at, used) for at, used in rows if _is_time(at) and _is_number(used))
        skipped += len(rows) - len(points)
        if points:
            found[account, resource] = points
    return found, skipped


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)
