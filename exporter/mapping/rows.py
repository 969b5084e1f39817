"""What does not fit: the one exception inside this stage, and how a found value is told.

Which rows a rule reads: iteration with every ancestor in reach.

JMESPath cannot look up from where it stands. So each level of iteration is a step of the engine,
and where a step is named or a table joined, paths see the scope: a map of all names, ``root`` (the
row's own document) and ``row`` (the innermost row).

The first step and the tables of joins start at the document, whatever is named.

Instants of an answer. The same few texts come with every row and every poll: they are kept.
"""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import NamedTuple, TypeAlias

from exporter.kernel.calendar import parse_timestamp
from exporter.kernel.jmes import Selector
from exporter.kernel.override import override
from exporter.kernel.secrets import clip
from exporter.model.definition.rows import Join, Rows, Step

_SHOWN = 60  # characters of a found text; enough to know it again


class MappingError(Exception):
    """The answer does not fit the definition. `read` turns it into a failure of the poll.

    `path` is the place in the answer, "" where it has none. `place` is the rule and the role,
    added by whoever knows them.
    """

    def __init__(self, path: str, what: str) -> None:
        super().__init__(what)
        self.path = path
        self.what = what
        self.place = ""

    def at(self, place: str) -> "MappingError":
        """Put `place` in front of what is known of the place already."""
        self.place = f"{place}.{self.place}" if self.place else place
        return self

    @override
    def __str__(self) -> str:
        path = f'path "{clip(self.path, 120)}"' if self.path else ""
        return ": ".join(part for part in (self.place, path, self.what) if part)


def quoted(value: object) -> str:
    """Say what was found: its type, and as much of it as helps to find it again."""
    match value:
        case None | bool():
            return str(value).lower() if value is not None else "null"
        case str():
            return f'the text "{clip(value, _SHOWN)}"'
        case int() | float():
            return f"the number {clip(number_text(value), _SHOWN)}"
        case dict():
            return f"a map of {len(value)} key(s)"
        case list():
            return f"a list of {len(value)}"
        case _:
            return f"a {type(value).__name__}"


def number_text(number: float) -> str:
    """Write a number as an answer would; 2067.0 is 2067. Never raises on a huge integer."""
    if isinstance(number, int):
        return str(number) if number.bit_length() < 2**13 else "of thousands of digits"
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


Row: TypeAlias = tuple[object, object]
"""What the paths of a rule see, and the document that it came from."""
_SAYS_ROOT = re.compile(r"(?<![\w.\"'])root\b")


class RowScope(NamedTuple):
    """The rows of all pages. `present`: the innermost list was there, with or without rows."""

    rows: list[Row]
    present: bool


def row_scope(rows: Rows, documents: Sequence[object]) -> RowScope:
    """Return the rows of `documents`, in order.

    Raises Misfit where a list is absent (unless optional) or is no list, SelectError where a path
    cannot be searched.
    """
    if not rows.steps and not rows.joins:
        found = [(document, document) for document in documents]
        return RowScope(_kept(found, rows.where), present=bool(documents))
    scoped = bool(rows.joins) or any(step.name for step in rows.steps)
    found = []
    present = False
    for document in documents:
        views, there = _scoped(rows, document) if scoped else _bare(rows.steps, document)
        present = present or there
        found += [(view, document) for view in views]
    return RowScope(_kept(found, rows.where), present)


def _kept(found: list[Row], where: Selector | None) -> list[Row]:
    return found if where is None else [row for row in found if where(row[0])]


def _bare(steps: Sequence[Step], document: object) -> tuple[list[object], bool]:
    """Iterate without names: each path sees the row above it."""
    above = [document]
    present = True
    for step in steps:
        lists = [listed for parent in above if (listed := _list(step, parent)) is not None]
        present = bool(lists) or (present and not above)
        above = [row for listed in lists for row in listed]
    return above, present


def _scoped(rows: Rows, document: object) -> tuple[list[object], bool]:
    """Iterate with names: each path but the first sees the scope above it."""
    above: list[dict[str, object]] = [{"root": document, "row": document}]
    present = True
    for number, step in enumerate(rows.steps):
        below: list[dict[str, object]] = []
        there = present and not above
        for parent in above:
            subject = parent if number else _start(step.path, document)
            listed = _list(step, subject)
            if listed is not None:
                there = True
                below += [_within(parent, step.name, row) for row in listed]
        above, present = below, there
    _join(rows.joins, above, document)
    return list(above), present


def _within(parent: Mapping[str, object], name: str | None, row: object) -> dict[str, object]:
    return {**parent, "row": row} if name is None else {**parent, "row": row, name: row}


def _start(path: Selector, document: object) -> object:
    """Return what a path from the top sees: the document, in which ``root`` is the document too."""
    if isinstance(document, dict):
        return {**document, "root": document}
    return {"root": document} if _SAYS_ROOT.search(path.text) else document


def _list(step: Step, subject: object) -> Sequence[object] | None:
    found = step.path(subject)
    if isinstance(found, list):
        return found
    if found is None:
        if step.optional:
            return None
        raise MappingError(
            step.path.text,
            "there is no list here. If it may be absent, the definition says `optional: true`.",
        )
    hint = f" Write items({step.path.text}) for its entries." if isinstance(found, dict) else ""
    raise MappingError(step.path.text, f"found {quoted(found)} in the place of a list.{hint}")


def _join(joins: Iterable[Join], scopes: list[dict[str, object]], document: object) -> None:
    """Put the row of each table that belongs to a scope into it; null where there is none."""
    for join in joins:
        table = _table(join, document) if scopes else {}
        for names in scopes:
            key = _key(join.key(names))
            names[join.name] = None if key is None else table.get(key)


def _table(join: Join, document: object) -> Mapping[str, object]:
    found = join.table(_start(join.table, document))
    if found is None:
        return {}
    if isinstance(found, dict) and join.on is None:
        return found
    if isinstance(found, list) and join.on is not None:
        keyed = ((_key(join.on(row)), row) for row in reversed(found))
        return {key: row for key, row in keyed if key is not None}  # the first of equal keys wins
    wanted = "a map" if join.on is None else "a list, for which `on` gives the key"
    raise MappingError(join.table.text, f"found {quoted(found)} in the place of {wanted}.")


def _key(value: object) -> str | None:
    """Return the text by which keys are compared: 2067 and "2067" are the same account."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return number_text(value)
        case _:
            return None


_LONGEST = 128  # characters of a text that is kept: blanks around a time are no error


# Typed, because to a dictionary True is 1, and 1 is a time.
@functools.lru_cache(maxsize=4096, typed=True)
def _known(found: str | float, zone: tzinfo) -> float | None:
    return parse_timestamp(found, zone=zone)


def epochs(found: Sequence[object], path: str) -> list[float]:
    """Return the epoch seconds of what was found at `path` in many rows.

    Raises Misfit for what is no time, or none.
    """
    try:
        # Mostly texts that are known: without a call of ours for each of them.
        times = [
            _known(one, UTC) if type(one) is str and len(one) <= _LONGEST else epoch(one, path)
            for one in found
        ]
    except ValueError as error:
        raise MappingError(path, str(error)) from error
    known = [time for time in times if time is not None]
    if len(known) < len(times):
        nothing = quoted(found[times.index(None)])
        raise MappingError(path, f"found {nothing} in the place of the time that orders the rows.")
    return known


def epoch(found: object, path: str, zone: tzinfo = UTC) -> float | None:
    """Return the epoch seconds of what was found at `path`; None for "no time".

    Raises Misfit for what is no time.
    """
    try:
        if isinstance(found, int | float) or (isinstance(found, str) and len(found) <= _LONGEST):
            return _known(found, zone)
        return parse_timestamp(found, zone=zone)
    except ValueError as error:
        raise MappingError(path, str(error)) from error
