"""Families with a line, or several, for each of up to 50,000 rows, rendered where they change.

A row is a target's collector, or a target; a column is a family. Rows stand in chunks, and a
chunk keeps the text of each column until one of its rows changes it. So a poll costs the text
of one chunk, a scrape nothing but a join, and no row holds text of its own: all reasons of all
targets at 0 are 1.8 kB a target, once.
"""

from collections.abc import Callable, Iterator
from typing import Final, Generic, Literal, TypeAlias, TypeVar

import msgspec

Dialect: TypeAlias = Literal["text", "openmetrics"]
EOF: Final = b"# EOF\n"

_DIALECTS: Final[tuple[Dialect, ...]] = ("text", "openmetrics")

_CHUNK: Final = 64
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Row:
    """Something with labels, as text: ``provider="a",account="b"``. Subclasses hold values."""

    __slots__ = ("chunk", "labels")

    def __init__(self, **labels: str) -> None:
        self.labels = ",".join(
            f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items()
        )
        self.chunk = -1


_Row = TypeVar("_Row", bound=Row)


class Column(msgspec.Struct, Generic[_Row], frozen=True, kw_only=True):
    """A family: its name (of a counter with ``_total``), and how a row is written, as lines."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    write: Callable[[_Row], str]
    unit: str = ""

    def header(self, dialect: Dialect) -> bytes:
        """Return the lines that come before the samples."""
        name = self.name.removesuffix("_total") if dialect == "openmetrics" else self.name
        lines = [f"# HELP {name} {self.help}", f"# TYPE {name} {self.kind}"]
        if self.unit and dialect == "openmetrics":
            lines.append(f"# UNIT {name} {self.unit}")
        return "".join(f"{line}\n" for line in lines).encode()


class _Chunk(Generic[_Row]):
    __slots__ = ("rows", "texts")

    def __init__(self, columns: int) -> None:
        self.rows: list[_Row] = []
        self.texts: list[bytes | None] = [None] * columns


class Sheet(Generic[_Row]):
    """Rows and columns. Whoever changes a value of a row says so with `touch`."""

    def __init__(self, *columns: Column[_Row]) -> None:
        self._columns = columns
        self._headers = {
            dialect: [column.header(dialect) for column in columns] for dialect in _DIALECTS
        }
        self._chunks: dict[int, _Chunk[_Row]] = {}
        self._last = 0

    def add(self, row: _Row) -> None:
        """Take `row` in; it must not be in yet."""
        chunk = self._chunks.get(self._last)
        if chunk is None or len(chunk.rows) >= _CHUNK:
            self._last += 1
            chunk = self._chunks[self._last] = _Chunk(len(self._columns))
        row.chunk = self._last
        chunk.rows.append(row)
        chunk.texts = [None] * len(self._columns)

    def remove(self, row: _Row) -> None:
        """Take `row` out."""
        chunk = self._chunks[row.chunk]
        chunk.rows.remove(row)
        chunk.texts = [None] * len(self._columns)
        if not chunk.rows:
            del self._chunks[row.chunk]

    def touch(self, row: _Row, column: Column[_Row]) -> None:
        """Note that `row` has another value in `column`."""
        self._chunks[row.chunk].texts[self._columns.index(column)] = None

    def pieces(self, dialect: Dialect) -> list[bytes]:
        """Return all families. A piece that has not changed is the same object as last time."""
        pieces = []
        if self._chunks:
            for number in range(len(self._columns)):
                pieces.append(self._headers[dialect][number])
                pieces += [self._text(chunk, number) for chunk in self._chunks.values()]
        return pieces

    def warm(self) -> Iterator[None]:
        """Write what is not written yet, a little at each step."""
        for chunk in list(self._chunks.values()):
            for number in range(len(self._columns)):
                self._text(chunk, number)
            yield

    def _text(self, chunk: _Chunk[_Row], number: int) -> bytes:
        text = chunk.texts[number]
        if text is None:
            lines = map(self._columns[number].write, chunk.rows)
            text = chunk.texts[number] = "".join(lines).encode()
        return text
