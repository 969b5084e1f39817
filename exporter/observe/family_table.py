"""Families with one or several lines for each of up to 50,000 rows, rendered where they change.

A row is a target, or a collector of a target; a column is a family. Rows are kept in chunks, and a
chunk keeps the text of each column until one of its rows changes it. So a poll costs the text of
one chunk, a scrape costs a join, and no row holds text of its own. The client library would take
10 µs and 700 bytes for each line, in every scrape; all reasons of all targets at 0 are 1.8 kB a
target.
"""

from collections.abc import Callable, Iterator
from typing import Final, Generic, Literal, TypeVar

import msgspec

from exporter.kernel.exposition_text import Dialect, label_pairs, metadata

_CHUNK: Final = 64  # rows


class TableRow:
    """Something with labels, as text: ``provider="a",account="b"``. Subclasses hold values."""

    __slots__ = ("chunk", "labels")

    def __init__(self, **labels: str) -> None:
        self.labels = label_pairs(labels.items())
        self.chunk = -1


_Row = TypeVar("_Row", bound=TableRow)


class TableColumn(msgspec.Struct, Generic[_Row], frozen=True, kw_only=True):
    """A family. ``name`` is that of the samples; ``write`` returns the lines of a row with it."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    write: Callable[[str, _Row], str]
    unit: str = ""

    def header(self, dialect: Dialect) -> bytes:
        """Return the lines that come before the samples."""
        return metadata(self.name, self.kind, self.help, self.unit, dialect)


class _Chunk(Generic[_Row]):
    __slots__ = ("rows", "texts")

    def __init__(self, columns: int) -> None:
        self.rows: list[_Row] = []
        self.texts: list[bytes | None] = [None] * columns


class FamilyTable(Generic[_Row]):
    """Rows and columns. After a change of a row's value call `touch`."""

    def __init__(self, *columns: TableColumn[_Row]) -> None:
        self._columns = columns
        self._headers = {
            dialect: [column.header(dialect) for column in columns] for dialect in Dialect
        }
        self._chunks: dict[int, _Chunk[_Row]] = {}
        self._last = 0

    def add(self, row: _Row) -> None:
        """Add a row that is not in the table yet."""
        chunk = self._chunks.get(self._last)
        if chunk is None or len(chunk.rows) >= _CHUNK:
            self._last += 1
            chunk = self._chunks[self._last] = _Chunk(len(self._columns))
        row.chunk = self._last
        chunk.rows.append(row)
        chunk.texts = [None] * len(self._columns)

    def remove(self, row: _Row) -> None:
        """Remove a row."""
        chunk = self._chunks[row.chunk]
        chunk.rows.remove(row)
        chunk.texts = [None] * len(self._columns)
        if not chunk.rows:
            del self._chunks[row.chunk]

    def touch(self, row: _Row, column: TableColumn[_Row]) -> None:
        """Note that `row` has another value in `column`."""
        self._chunks[row.chunk].texts[self._columns.index(column)] = None

    def pieces(self, dialect: Dialect) -> list[bytes]:
        """Return all families. A piece that has not changed is the same object as last time."""
        pieces = []
        if self._chunks:
            for number in range(len(self._columns)):
                pieces.append(self._headers[dialect][number])
                for chunk in self._chunks.values():
                    text = chunk.texts[number]
                    if text is None:
                        text = self._render(chunk, number)
                    if text:  # a column may have nothing to say of any row
                        pieces.append(text)
        return pieces

    def warm(self) -> Iterator[None]:
        """Render one chunk at each step: afterwards `pieces` finds all texts rendered."""
        for chunk in list(self._chunks.values()):
            for number, text in enumerate(chunk.texts):
                if text is None:
                    self._render(chunk, number)
            yield

    def _render(self, chunk: _Chunk[_Row], number: int) -> bytes:
        name, write = self._columns[number].name, self._columns[number].write
        text = "".join([write(name, row) for row in chunk.rows]).encode()
        chunk.texts[number] = text
        return text
