"""What the ledger gives back after a restart.

Readings are msgpack of the model's own structs: fields that a version does not know are ignored,
those it misses have defaults, and a row that cannot be understood any more is skipped and counted.
Rows whose fingerprint is not the target's are another account's, and do not come back.

I/O: sqlite3.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from exporter.model.reading import Reading

if TYPE_CHECKING:
    import sqlite3

_decode = msgspec.msgpack.Decoder(Reading).decode

History: TypeAlias = Mapping[tuple[str, str], tuple[tuple[float, float], ...]]
"""(account, resource): the points (epoch seconds, used), ascending."""


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
) -> Restored:
    """Return what belongs to the targets in `fingerprints`; other rows stay, and are not read.

    The history begins at `since`, with the last point of each `step` seconds (0: all).
    """
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
        histories=_histories(connection, fingerprints, since, step),
        schedule=dict(connection.execute("SELECT key, value FROM schedule")),
        written_at=written_at[0] if written_at else None,
        skipped=skipped,
    )


def history(
    connection: "sqlite3.Connection", target: str, fingerprint: str, since: float, step: float
) -> History:
    """Return the points of one target from `since` on, the last of each `step` seconds (0: all)."""
    row = connection.execute(
        "SELECT id FROM targets WHERE name = ? AND fingerprint = ?", (target, fingerprint)
    ).fetchone()
    return _history(connection, row[0], since, step) if row else {}


def _histories(
    connection: "sqlite3.Connection", fingerprints: Mapping[str, str], since: float, step: float
) -> dict[str, History]:
    if since == math.inf:
        return {}
    targets = connection.execute("SELECT id, name, fingerprint FROM targets").fetchall()
    return {
        name: found
        for number, name, fingerprint in targets
        if fingerprints.get(name) == fingerprint
        and (found := _history(connection, number, since, step))
    }


def _history(connection: "sqlite3.Connection", target: int, since: float, step: float) -> History:
    last, bucket = ("max(at)", "GROUP BY CAST(at / :step AS INTEGER)") if step else ("at", "")
    series = connection.execute(
        "SELECT id, account, resource FROM series WHERE target = ?", (target,)
    ).fetchall()
    found = {}
    for number, account, resource in series:
        # SQLite takes `used` from the row that has the max(at): lang_select.html, "bare columns".
        points = connection.execute(
            f"SELECT {last}, used FROM history"  # noqa: S608 - made of constants
            f" WHERE series = :series AND at >= :since {bucket} ORDER BY at",
            {"series": number, "since": since, "step": step},
        ).fetchall()
        if points:
            found[account, resource] = tuple(points)
    return found
