"""A captured answer, as tables.

A table is a set of rows that are alike: the answer itself (one row), each list of maps in it, and
each open map, which is a map whose keys are data and whose entries look alike. A column is a
scalar that the rows of a table have in the same place, with all values that were seen there.
"""

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from exporter.authoring import words
from exporter.authoring.paging import Rule
from exporter.kernel.calendar import parse_timestamp
from exporter.kernel.secrets import clip

_DEEPEST = 10  # levels of maps and lists; nothing that is used so far down is guessed
_MOST_ROWS = 1_000
_MOST_KEYS = 1_000
_LONGEST_KEY = 80


class Unusable(ValueError):  # noqa: N818 - shown to the user as it is
    """A file holds nothing that can be guessed from. The text says why."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded answer; ``lines``: it was JSON Lines, and is a list of them."""

    document: object
    lines: bool = False


def read_sample(content: bytes) -> Sample:
    """Decode an answer. Raises Unusable."""
    content = content.removeprefix(codecs.BOM_UTF8)
    if not content.strip():
        raise Unusable("the file is empty; save the body of an answer there.")
    try:
        content.decode()  # msgspec's versions say differently what is not UTF-8
    except UnicodeDecodeError as error:
        raise Unusable(f"it is not UTF-8 (byte {error.start}). Save it as UTF-8.") from error
    try:
        return Sample(document=msgspec.json.decode(content))
    except RecursionError:
        raise Unusable("it is nested too deeply.") from None
    except msgspec.DecodeError as error:
        try:
            lines = msgspec.json.Decoder().decode_lines(content)
        except (msgspec.DecodeError, RecursionError):
            lines = []
        if len(lines) > 1 and all(isinstance(one, dict | list) for one in lines):
            return Sample(document=lines, lines=True)
        hint = ""
        if content.lstrip()[:1] == b"<":
            hint = " It looks like a web page; is the address the API's, and is the key sent along?"
        if content.lstrip()[:5].upper() == b"HTTP/":
            hint = " It begins with headers; save the body alone (curl without -i)."
        raise Unusable(f"it is no JSON: {clip(str(error)).rstrip('.')}.{hint}") from error


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A scalar of each row: the keys to it, its path in the scope, and each row's value or None."""

    keys: tuple[str, ...]
    path: str
    values: tuple[object, ...]

    @property
    def words(self) -> set[str]:
        """The words of its own key."""
        return set(words.split(self.keys[-1]))

    @property
    def given(self) -> list[object]:
        """The values that are there."""
        return [value for value in self.values if value is not None and value != ""]

    @property
    def has_gaps(self) -> bool:
        """Some row has no value."""
        return len(self.given) < len(self.values)

    @property
    def is_number(self) -> bool:
        """There are numbers and nothing else."""
        return bool(self.given) and all(map(is_number, self.given))

    @property
    def is_time(self) -> bool:
        """There are times and nothing else, and some key on the way says so."""
        return bool(set(words.split(" ".join(self.keys))) & words.TIMES) and self.holds_times

    @property
    def holds_times(self) -> bool:
        """There are texts that are times, or epochs of this century, and nothing else."""
        return bool(self.given) and all(map(is_time_value, self.given))

    @property
    def holds_texts(self) -> bool:
        """Each row has a text."""
        return all(isinstance(value, str) and value for value in self.values)


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that are alike. ``steps`` are the iterations (``each``) that lead to them.

    Of an open map ``key`` is the path of its keys and ``keys`` are those that were seen.
    """

    steps: tuple[Rule, ...] = ()
    title: str = ""
    where: str = ""
    key: str = ""
    keys: tuple[str, ...] = ()
    count: int = 1
    columns: tuple[Column, ...] = ()
    above: "Table | None" = None


def tables_of(document: object) -> Iterator[Table]:
    """Yield the tables of an answer, each before those below it."""
    if isinstance(document, dict):
        if _is_open([document], ""):
            yield from _rows([document], "root", "", Table(), optional=False, depth=0)
        else:
            yield from _table([document], "", Table(), 0)
    elif isinstance(document, list) and document and _are(document, dict):
        yield from _rows([document], "@", "", Table(), optional=False, depth=0)


def _table(rows: Sequence[Any], prefix: str, table: Table, depth: int) -> Iterator[Table]:
    """Yield `table` with its columns, then the tables below it. `prefix` is a row in the scope."""
    columns: list[Column] = []
    below: list[tuple[tuple[str, ...], list[Any]]] = []
    pending: list[tuple[tuple[str, ...], Sequence[Any]]] = [((), rows)]
    while pending:
        keys, maps = pending.pop()
        deeper = []
        for key in dict.fromkeys(key for one in maps if one is not None for key in one):
            values = [None if one is None else one.get(key) for one in maps]
            given = [value for value in values if value is not None]
            here = (*keys, key)
            if not is_usable(key) or depth + len(here) > _DEEPEST:
                continue
            if given and _are(given, dict) and not _is_open(given, key):
                deeper.append((here, values))
            elif given and (_are(given, dict) or _are(given, list)):
                below.append((here, values))
            elif not any(isinstance(value, dict | list) for value in given):
                path = words.path_of(here, prefix)
                columns.append(Column(keys=here, path=path, values=tuple(values)))
        pending += reversed(deeper)
    table = msgspec.structs.replace(table, columns=tuple(columns[:_MOST_KEYS]))
    yield table
    for keys, values in below:
        given = [value for value in values if value is not None]
        optional = len(given) < len(values)
        place = words.path_of(keys, prefix)
        yield from _rows(given, place, keys[-1], table, optional=optional, depth=depth + len(keys))


def _rows(
    given: Sequence[Any], place: str, title: str, above: Table, *, optional: bool, depth: int
) -> Iterator[Table]:
    """Yield the table of lists of maps, or of open maps, and those below it."""
    name = words.singular(title, "row_of_it") if title else "entry"
    while name in {step["as"] for step in above.steps}:
        name += "_too"
    where, key, keys = above.where, "", ()
    if isinstance(given[0], list):
        prefix = name
        rows = [row for one in given for row in one][:_MOST_ROWS]
        if not rows or not _are(rows, dict):
            return
    else:
        place, prefix, key = f"items({place})", f"{name}.value", f"{name}.key"
        entries = [(key, row) for one in given for key, row in one.items()]
        rows = [row for _, row in entries if isinstance(row, dict)]
        keys = tuple(key for key, row in entries if isinstance(row, dict))
        if len(rows) < len(entries):  # scalars among the entries are passed over
            where = " && ".join(filter(None, (where, f"type({prefix}) == 'object'")))
    step: Rule = {"path": place, "as": name}
    if optional or above.where:
        step["optional"] = True
    table = Table(
        steps=(*above.steps, step),
        title=title,
        where=where,
        key=key,
        keys=keys,
        count=len(rows),
        above=above,
    )
    yield from _table(rows, prefix, table, depth + 1)


_FEW = 12  # entries that a definition would rather name one by one
_ALIKE = 0.5  # the share of keys that the entries of an open map have in common


def _is_open(maps: Sequence[Any], title: str) -> bool:
    """Tell whether the keys of a map are data: its entries are maps that look alike."""
    entries = [(key, row) for one in maps for key, row in one.items() if isinstance(row, dict)]
    keys = {key for key, _ in entries}
    if len(keys) < 2 or not all(is_usable(key) for one in maps for key in one):  # noqa: PLR2004
        return False
    if all(words.role_of(key) or key.lower() in words.MONEY_ROLES for key in keys):
        return False
    columns = [set(row) for _, row in entries]
    common = set.intersection(*columns)
    tells_units = any(
        set(words.split(key)) & words.UNIT_KEYS for key in common if isinstance(key, str)
    )
    few = len(keys) <= _FEW and not set(words.split(title)) & words.PROJECTED
    if few and not tells_units and any(map(words.counts_bytes, keys)):
        return False  # each entry has a unit of its own, and only its key tells which
    numbers = any(is_number(row[key]) for _, row in entries for key in common)
    return numbers and len(common) >= _ALIKE * len(set.union(*columns))


def _are(values: Iterable[object], kind: type) -> bool:
    return all(isinstance(value, kind) for value in values)


def is_usable(key: object) -> bool:
    return (
        isinstance(key, str)
        and 0 < len(key) <= _LONGEST_KEY
        and key.isprintable()
        and not key.isspace()
    )


# ----------------------------------------------------------------------------------- values

_NUMBER = re.compile(r"\s*[+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})\s*", re.ASCII)
_LARGEST = 1e24
_NO_LIMIT = frozenset({"unlimited", "infinite", "infinity", "unmetered", "no limit", "none", "∞"})
_RECENT, _LATE = 978_307_200.0, 4_102_444_800.0  # 2001 and 2100: other numbers are no epochs


def is_number(value: object) -> bool:
    """Tell whether the mapping would read a value as a number of sensible size."""
    if isinstance(value, str):
        return _NUMBER.fullmatch(value) is not None
    return isinstance(value, int | float) and type(value) is not bool and abs(value) < _LARGEST


def numbers(column: Column) -> list[float]:
    return [float(value) for value in column.values if is_number(value)]  # type: ignore[arg-type]


def is_time_value(value: object) -> bool:
    try:
        epoch = None if isinstance(value, bool) else parse_timestamp(value)
    except ValueError:
        return False
    return epoch is not None and (not is_number(value) or _RECENT < epoch < _LATE)


def is_no_limit(value: object) -> bool:
    return isinstance(value, str) and value.strip().casefold() in _NO_LIMIT
