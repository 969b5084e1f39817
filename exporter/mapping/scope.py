"""Which rows a rule reads: iteration with every ancestor in reach.

JMESPath cannot look up from where it stands. So each level of iteration is a step of the engine,
and where a step is named or a table joined, paths see the scope: a map of all names, ``root`` (the
row's own document) and ``row`` (the innermost row).

The first step and the tables of joins start at the document, whatever is named.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from exporter.kernel.select import Selector
from exporter.mapping.misfit import Misfit, number_text, told
from exporter.model.definition import Join, Rows, Step

Row: TypeAlias = tuple[object, object]
"""What the paths of a rule see, and the document that it came from."""

_SAYS_ROOT = re.compile(r"(?<![\w.\"'])root\b")


class Scope(NamedTuple):
    """The rows of all pages. `present`: the innermost list was there, with or without rows."""

    rows: list[Row]
    present: bool


def scope(rows: Rows, documents: Sequence[object]) -> Scope:
    """Return the rows of `documents`, in order.

    Raises Misfit where a list is absent (unless optional) or is no list, SelectError where a path
    cannot be searched.
    """
    if not rows.steps and not rows.joins:
        found = [(document, document) for document in documents]
        return Scope(_kept(found, rows.where), present=bool(documents))
    scoped = bool(rows.joins) or any(step.name for step in rows.steps)
    found = []
    present = False
    for document in documents:
        views, there = _scoped(rows, document) if scoped else _bare(rows.steps, document)
        present = present or there
        found += [(view, document) for view in views]
    return Scope(_kept(found, rows.where), present)


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
        raise Misfit(
            step.path.text,
            "there is no list here. If it may be absent, the definition says `optional: true`.",
        )
    hint = f" Write items({step.path.text}) for its entries." if isinstance(found, dict) else ""
    raise Misfit(step.path.text, f"found {told(found)} in the place of a list.{hint}")


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
    raise Misfit(join.table.text, f"found {told(found)} in the place of {wanted}.")


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
