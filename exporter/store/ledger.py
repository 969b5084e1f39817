"""The memory that survives the process: last readings, the schedule and the history of use.

This module is the interface that the engine uses; `exporter.store.file_ledger` keeps it in an
SQLite file. Saving returns at once and never raises for the storage's sake: what cannot be written
costs persistence alone, and the ledger says so with LedgerStatus.

A target is kept under a fingerprint of what it is (provider, address, params), which the caller
computes: when it becomes another, all that was known is another account's, and is deleted.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeAlias

import msgspec

from exporter.model.reading import Reading

StoredHistory: TypeAlias = Mapping[tuple[str, str], tuple[tuple[float, float], ...]]
"""(account, resource): the points (epoch seconds, used), ascending."""


class StateInUseError(Exception):
    """Another process uses the state. The message says where, which and what to do."""


class PointRecord(msgspec.Struct, frozen=True):
    """How much was used at one time, epoch seconds."""

    target: str
    fingerprint: str
    account: str
    resource: str
    at: float
    used: float


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What an earlier process saved.

    `readings` by target, each with the time of its last success; `histories` by target;
    `schedule` as it was saved; `written_at` is when something was last written, None if never.
    `skipped` rows were damaged.
    """

    readings: Mapping[str, tuple[tuple[Reading, float], ...]] = {}
    histories: Mapping[str, StoredHistory] = {}
    schedule: Mapping[str, bytes] = {}
    written_at: float | None = None
    skipped: int = 0


class Ledger(Protocol):
    """What every kind of ledger does. Times are epoch seconds."""

    async def load(
        self, fingerprints: Mapping[str, str], *, since: float = math.inf, step: float = 0.0
    ) -> Restored:
        """Return what is known of the targets in `fingerprints`; empty if it cannot be read.

        History from `since` on, the last point of each `step` seconds; 0 for all. To be called
        once, before anything is saved. Raises StateInUseError if another process uses the state.
        """

    def save_reading(self, target: str, fingerprint: str, reading: Reading, at: float) -> None:
        """Save the last good reading of a collector; `at` is the time of the success.

        With another `fingerprint` than before, all else that is known of the target is deleted.
        """

    def renew(self, target: str, collector: str, at: float) -> None:
        """Save that the vendor confirmed the last reading (304)."""

    def save_schedule(self, rows: Mapping[str, bytes | None]) -> None:
        """Save rows of the scheduler under their keys; a row that is None is deleted."""

    def save_history(self, points: Iterable[PointRecord]) -> None:
        """Save how much was used. The target's reading has to be saved first."""

    def forget(self, target: str) -> None:
        """Delete readings and history of a target that was removed, not its schedule."""

    async def settle(self, patience: float) -> bool:
        """Return True when what was saved before is stored, False if it is not yet.

        Waits for `patience` seconds at most: for what a kill in the next instant must not lose.
        """

    def hasten(self) -> None:
        """Store what was saved soon: a kill in the next moment must not lose it."""

    async def close(self) -> None:
        """Store what is left, and end. Takes a second at most."""


class NoLedger:
    """Takes everything and keeps nothing."""

    async def load(
        self, fingerprints: Mapping[str, str], *, since: float = math.inf, step: float = 0.0
    ) -> Restored:
        """Return that nothing is known."""
        return Restored()

    def save_reading(self, target: str, fingerprint: str, reading: Reading, at: float) -> None:
        """Keep nothing."""

    def renew(self, target: str, collector: str, at: float) -> None:
        """Keep nothing."""

    def save_schedule(self, rows: Mapping[str, bytes | None]) -> None:
        """Keep nothing."""

    def save_history(self, points: Iterable[PointRecord]) -> None:
        """Keep nothing."""

    def forget(self, target: str) -> None:
        """Do nothing."""

    async def settle(self, patience: float) -> bool:
        """Return at once that nothing is stored."""
        return False

    def hasten(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""
