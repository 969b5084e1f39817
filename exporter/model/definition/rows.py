"""How numbers are read from an answer.

How answers become resources, costs and breakdowns, as text.

Which rows a rule reads, and which names its paths see.
"""

import functools
import re
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from exporter.kernel.jmes import Selector, compile_path
from exporter.kernel.problems import ErrorLocation, did_you_mean
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
"""The names in scope of a row. None: paths see the row itself, whatever it holds."""
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
    names: ScopeNames = _RESERVED if scoped else None
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
    """Refuse a plain path in a named scope that begins with none of its names."""
    if names is None or selector.plain is None or selector.plain[0] in names:
        return
    first = selector.plain[0]
    place.error(
        f'"{first}" is not among the names of this rule.{did_you_mean(first, names)} '
        f'Write "row.{selector.text}" for a field of the row itself.'
    )


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
