"""Which rows of an answer a rule reads, and which names its paths see: the words and the loop.

JMESPath cannot look up from where it stands. So each level of iteration is a step of the engine,
and where a step is named or a table joined, paths see the scope: a map of all names, ``root`` (the
row's own document) and ``row`` (the innermost row). The first step and the tables of joins start at
the document, whatever is named. Mapping reads its rules' rows here, fetch the accounts of a
fan-out.
"""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final, NamedTuple, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from exporter.kernel.jmes import Selector, compile_path, number_text, quoted
from exporter.kernel.override import override
from exporter.kernel.problems import ErrorLocation, did_you_mean
from exporter.kernel.secrets import clip
from exporter.model.definition import parsers
from exporter.model.definition.parsers import NameStr, PathStr, Strict


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One level of iteration: rows at ``path``; a named row stays in scope for what is below.

    ``optional``: an absent list means no rows; otherwise it is a ``schema`` failure.
    """

    path: Selector
    name: str | None = None
    optional: bool = False


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """Another part of the answer, looked up by key and put into the scope as ``name``.

    ``table`` gives a map (looked up by ``key``) or a list (its row whose ``on`` equals ``key``).
    Absent rows are null in the scope, never an error.
    """

    name: str
    table: Selector
    key: Selector
    on: Selector | None = None


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows a rule reads.

    Without steps the document is the one row. A path sees the row itself when no step is named and
    nothing is joined, else the scope: every name, ``root`` (the document) and ``row`` (the last).
    The first step and the tables of joins start at the document all the same, with or without
    ``root``.
    """

    steps: tuple[Step, ...] = ()
    joins: tuple[Join, ...] = ()
    where: Selector | None = None
    place: str = ""  # made of the steps: where in the answer the rows are; "" is the document

    def __post_init__(self) -> None:
        place = " / ".join(step.path.text for step in self.steps)
        msgspec.structs.force_setattr(self, "place", place)


NameParts: TypeAlias = tuple[str | Selector, ...]
"""A text with paths into the row: ``units_{g.aid}``. The result is snake-cased."""


class RowsError(Exception):
    """An answer has no such rows. `path` is the place in the answer."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(what)
        self.path = path
        self.what = what

    @override
    def __str__(self) -> str:
        path = f'path "{clip(self.path, 120)}"' if self.path else ""
        return ": ".join(part for part in (path, self.what) if part)


Row: TypeAlias = tuple[object, object]
"""What the paths of a rule see, and the document that it came from."""


class RowScope(NamedTuple):
    """The rows of all pages. `present`: the innermost list was there, with or without rows."""

    rows: list[Row]
    present: bool


def row_scope(rows: Rows, documents: Sequence[object]) -> RowScope:
    """Return the rows of `documents`, in order.

    Raises RowsError where a list is absent (unless optional) or is no list, SelectError where a
    path cannot be searched.
    """
    if not rows.steps and not rows.joins:
        found = [(document, document) for document in documents]
        return RowScope(_where(found, rows.where), present=bool(documents))
    scoped = bool(rows.joins) or any(step.name for step in rows.steps)
    found = []
    present = False
    for document in documents:
        views, there = _scoped(rows, document) if scoped else _bare(rows.steps, document)
        present = present or there
        found += [(view, document) for view in views]
    return RowScope(_where(found, rows.where), present)


def _where(found: list[Row], where: Selector | None) -> list[Row]:
    return found if where is None else [row for row in found if where(row[0])]


def _bare(steps: Sequence[Step], document: object) -> tuple[list[object], bool]:
    """Iterate without names: each path sees the row above it."""
    above = [document]
    present = True
    for step in steps:
        lists = [listed for parent in above if (listed := _listed(step, parent)) is not None]
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
            subject = parent if number else _from_top(step.path, document)
            listed = _listed(step, subject)
            if listed is not None:
                there = True
                named = () if step.name is None else (step.name,)
                below += [{**parent, "row": row, **dict.fromkeys(named, row)} for row in listed]
        above, present = below, there
    _look_up(rows.joins, above, document)
    return list(above), present


def _from_top(path: Selector, document: object) -> object:
    """Return what a path from the top sees: the document, in which ``root`` is the document too.

    For a path that does not say ``root`` there is none: ``items(@)`` must not list it as an entry.
    """
    if "root" not in path.heads:
        return document
    return {**document, "root": document} if isinstance(document, dict) else {"root": document}


def _listed(step: Step, subject: object) -> Sequence[object] | None:
    found = step.path(subject)
    if isinstance(found, list):
        return found
    if found == {}:  # so some languages write a list without rows
        return []
    if found is None:
        if step.optional:
            return None
        raise RowsError(
            step.path.text,
            "there is no list here. If it may be absent, the definition says `optional: true`.",
        )
    hint = f" Write items({step.path.text}) for its entries." if isinstance(found, dict) else ""
    raise RowsError(step.path.text, f"found {quoted(found)} in the place of a list.{hint}")


def _look_up(joins: Iterable[Join], scopes: list[dict[str, object]], document: object) -> None:
    """Put the row of each table that belongs to a scope into it; null where there is none."""
    for join in joins:
        table = _table(join, document) if scopes else {}
        for names in scopes:
            key = _join_key(join.key(names))
            names[join.name] = None if key is None else table.get(key)


def _table(join: Join, document: object) -> Mapping[str, object]:
    found = join.table(_from_top(join.table, document))
    if found is None or found in ([], {}):
        return {}
    if isinstance(found, dict) and join.on is None:
        return found
    if isinstance(found, list) and join.on is not None:
        keyed = ((_join_key(join.on(row)), row) for row in reversed(found))
        return {key: row for key, row in keyed if key is not None}  # the first of equal keys wins
    wanted = "a map" if join.on is None else "a list, for which `on` gives the key"
    raise RowsError(join.table.text, f"found {quoted(found)} in the place of {wanted}.")


def _join_key(value: object) -> str | None:
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


class StepText(Strict, kw_only=True, frozen=True):
    """One level of iteration."""

    path: Annotated[PathStr, Meta(description="The rows: a list, or items(map).")]
    name: Annotated[
        NameStr | UnsetType,
        Meta(description="A name for the row; it stays in scope for all that is below."),
    ] = field(name="as", default=UNSET)
    optional: Annotated[bool, Meta(description="An absent list means no rows.")] = False


EachText: TypeAlias = PathStr | StepText | list[PathStr | StepText]


class JoinText(Strict, kw_only=True, frozen=True):
    """Another part of the answer, looked up by key."""

    name: Annotated[NameStr, Meta(description="The name of what is found.")] = field(name="as")
    table: Annotated[PathStr, Meta(description="A map, or with `on` a list, in the answer.")]
    key: Annotated[PathStr, Meta(description="The key to look up, from the row.")]
    on: Annotated[
        PathStr | UnsetType,
        Meta(description="What the key is compared with, in each row of a list."),
    ] = UNSET


class RowsText(Strict, kw_only=True, frozen=True):
    """Which rows a rule reads, and of which collector."""

    collector: Annotated[
        str | UnsetType, Meta(description="The collector whose answer is read; default the first.")
    ] = UNSET
    each: Annotated[
        EachText | UnsetType, Meta(description="The rows; without it the answer is the one row.")
    ] = UNSET
    where: Annotated[PathStr | UnsetType, Meta(description="A condition on the rows.")] = UNSET
    join: Annotated[
        list[JoinText], Meta(description="Other parts of the answer to look things up in.")
    ] = field(default_factory=list)


ScopeNames: TypeAlias = frozenset[str] | None
"""The names in scope of a row. None: paths see the document, `_NO_NAMES`: the row itself."""
_NO_NAMES: Final[frozenset[str]] = frozenset()
_RESERVED: Final = frozenset({"root", "row"})
_HOLE: Final = re.compile(r"\{([^{}]*)\}|[^{}]+|[{}]")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


def compile_rows(
    place: ErrorLocation,
    each: EachText | UnsetType,
    where: str | UnsetType,
    join: list[JoinText],
) -> tuple[Rows, ScopeNames]:
    """Compile the rows of a rule; `place` is the map that holds each, where and join."""
    texts = [] if isinstance(each, UnsetType) else each if isinstance(each, list) else [each]
    scoped = bool(join) or any(_name_of(text) for text in texts)
    names: ScopeNames = _RESERVED if scoped else None if not texts else _NO_NAMES
    steps: list[Step] = []
    for index, text in enumerate(texts):
        at = place / "each" / index if isinstance(each, list) else place / "each"
        step, names = _step(at, text, names, first=index == 0)
        steps.append(step)
    joins: list[Join] = []
    for index, one in enumerate(join):
        joins.append(_join(place / "join" / index, one, names))
        names = (names or _RESERVED) | {one.name}
    condition = None
    if not isinstance(where, UnsetType):
        condition = parsers.parse_path(place / "where", where)
        check_names(place / "where", condition, names)
    return _shared(Rows(steps=tuple(steps), joins=tuple(joins), where=condition)), names


def outer_names(rows: Rows, names: ScopeNames) -> frozenset[str]:
    """Return the names in scope that several rows share: the answer, and all steps but the last.

    What a join finds belongs to its row, also where several rows find the same.
    """
    if not names:
        return frozenset()
    return frozenset({"root", *(step.name for step in rows.steps[:-1] if step.name is not None)})


@functools.lru_cache(maxsize=4096)
def _shared(rows: Rows) -> Rows:
    """Return one object for all equal rows: they are then looked up once in each answer."""
    return rows


def _name_of(text: str | StepText) -> str | None:
    return None if isinstance(text, str) or isinstance(text.name, UnsetType) else text.name


def _step(
    place: ErrorLocation, text: str | StepText, names: ScopeNames, *, first: bool
) -> tuple[Step, ScopeNames]:
    """Compile a step; the first one starts at the answer, whatever is named."""
    at, path = (place, text) if isinstance(text, str) else (place / "path", text.path)
    found = parsers.parse_path(at, path)
    if not first:
        check_names(at, found, names)
    name = _name_of(text)
    if name is not None:
        _check_free(place / "as", name, names)
        names = (names or _RESERVED) | {name}
    optional = not isinstance(text, str) and text.optional
    return Step(path=found, name=name, optional=optional), names


def _join(place: ErrorLocation, text: JoinText, names: ScopeNames) -> Join:
    _check_free(place / "as", text.name, names)
    key = parsers.parse_path(place / "key", text.key)
    check_names(place / "key", key, names)
    return Join(
        name=text.name,
        table=parsers.parse_path(place / "table", text.table),
        key=key,
        on=parsers.parse_optional_path(place / "on", text.on),
    )


def _check_free(place: ErrorLocation, name: str, names: ScopeNames) -> None:
    parsers.check_name(place, name)
    if name in _RESERVED:
        place.error(f'"{name}" has a meaning of its own: root is the answer, row the last row.')
    elif names is not None and name in names:
        place.error(f'"{name}" is taken by a step or join above. Write another name.')


def check_names(place: ErrorLocation, selector: Selector, names: ScopeNames) -> None:
    """Refuse a plain path in a named scope that begins with none of its names.

    Rows without a name see nothing of the answer around them: ``root`` is refused there.
    """
    if names == _NO_NAMES:
        if selector.heads & _RESERVED:
            place.error(
                f'"{selector.text}" sees only the row, which has no name here. '
                "Write `each: {path: …, as: name}`, then name.field for a field of the row "
                "and root.field for one of the answer."
            )
        return
    if names is None or selector.plain is None or selector.plain[0] in names:
        return
    first = selector.plain[0]
    place.error(
        f'"{first}" is not among the names of this rule.{did_you_mean(first, names)} '
        f'Write "row.{selector.text}" for a field of the row itself.'
    )


def name_pattern(parts: NameParts) -> str:
    """Return a name for people; what comes from the answer stands in pointed brackets."""
    return "".join(part if isinstance(part, str) else f"<{part.text}>" for part in parts)


def name_parts(place: ErrorLocation, text: str, names: ScopeNames) -> NameParts:
    """Compile ``units_{g.aid}``; a name without holes must be snake_case."""
    parts: list[str | Selector] = []
    for piece in _HOLE.finditer(text):
        if piece.group() in ("{", "}"):
            place.error(f'"{text}" has a brace without its partner. Write "{{path}}".')
            return (compile_path("@"),)
        parts.append(piece.group() if piece[1] is None else _hole(place, piece[1], names))
    if all(isinstance(part, str) for part in parts):
        _check_constant(place, text)
    return tuple(parts)


def _hole(place: ErrorLocation, text: str, names: ScopeNames) -> Selector:
    found = parsers.parse_path(place, text)
    check_names(place, found, names)
    return found


def _check_constant(place: ErrorLocation, text: str) -> None:
    if not _NAME.fullmatch(text):
        place.error(
            f'"{text}" is not the name of a resource. Write small letters, digits and '
            "underscores: api_requests."
        )
