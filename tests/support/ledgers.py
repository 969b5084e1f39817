"""Opens, closes and reads ledgers for tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from exporter.kernel.units import Kind
from exporter.model.events import Event, LedgerStatus
from exporter.model.reading import Reading, Usage
from exporter.store.file_ledger import FileLedger
from exporter.store.ledger import PointRecord, Restored
from exporter.store.sqlite import load_state
from exporter.store.state_file import open_database

NOW = 1_763_208_000.0
PAUSE = 0.01


def a_reading(used: float = 1.0, collector: str = "usage") -> Reading:
    usage = Usage(resource="bandwidth", kind=Kind.BYTES, used=used)
    return Reading(collector=collector, at=NOW, usages=(usage,))


def a_point(used: float, at: float = NOW) -> PointRecord:
    return PointRecord("a", "f", "", "bandwidth", at, used)


@asynccontextmanager
async def opened(
    file: Path | str, events: list[Event] | None = None, *, pause: float = PAUSE
) -> AsyncIterator[FileLedger]:
    """Without `events` there must be none."""
    told = [] if events is None else events
    ledger = FileLedger(str(file), emit=told.append, wall=lambda: NOW, pause=pause)
    try:
        yield ledger
    finally:
        await ledger.close()
        assert events is not None or told == []


async def restored(file: Path, **fingerprints: str) -> Restored:
    """Return what the next process would find, also while a ledger has the file open."""
    connection, aside = open_database(str(file), NOW)
    assert aside == ""
    with contextlib.closing(connection):
        return load_state(connection, fingerprints, since=0.0)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the ledger has no event for each of these
            await asyncio.sleep(0.005)


def oks(events: list[Event]) -> list[bool]:
    return [event.ok for event in events if isinstance(event, LedgerStatus)]
