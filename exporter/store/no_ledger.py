"""Where no state is kept: a ledger that forgets, and the choice between the two.

SQLite is loaded only where there is a file for it: it takes a megabyte and a half.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from exporter.model.event import Event
from exporter.model.reading import Reading
from exporter.store.recall import Restored
from exporter.store.records import PointRecord

if TYPE_CHECKING:
    from exporter.store.ledger import Ledger


class NoLedger:
    """Takes everything and keeps nothing."""

    async def load(self, fingerprints: Mapping[str, str], *, since: float, step: float) -> Restored:
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

    async def settle(self, patience: float) -> bool:
        """Return at once that nothing is on a disk."""
        return False

    def hasten(self) -> None:
        """Do nothing: nothing is kept."""

    def forget(self, target: str) -> None:
        """Do nothing: nothing is known of it."""

    async def close(self) -> None:
        """Do nothing: nothing is open."""


def open_ledger(
    path: str,
    *,
    emit: Callable[[Event], None],
    wall: Callable[[], float],
    begun_anew: Callable[[], object],
) -> "Ledger | NoLedger":
    """Return the ledger of the file at `path`, "" for none. To be called in the running loop.

    `begun_anew` is called when what is in memory has to be saved again, into a new file.
    """
    if not path:
        return NoLedger()
    from exporter.store.ledger import Ledger  # noqa: PLC0415 - see above

    return Ledger(path, emit=emit, wall=wall, begun_anew=begun_anew)
