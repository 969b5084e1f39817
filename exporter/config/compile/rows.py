"""Which rows a rule reads, and which names its paths see."""

import functools
import re
from typing import Final, TypeAlias

from msgspec import UnsetType

from exporter.config.compile import leaves
from exporter.config.findings import Place
from exporter.config.grammar.rules import EachText, JoinText, StepText
from exporter.kernel.problems import did_you_mean
from exporter.kernel.select import Selector, compile_path
from exporter.model.definition import Join, NameParts, Rows, Step

Names: TypeAlias = frozenset[str] | None
"""The names in scope of a row. None: paths see the row itself, whatever it holds."""

_RESERVED: Final = frozenset({"root", "row"})
_HOLE: Final = re.compile(r"\{([^{}]*)\}|[^{}]+|[{}]")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


def rows(
    place: Place,
    each: EachText | UnsetType,
    where: str | UnsetType,
    join: list[JoinText],
) -> tuple[Rows, Names]:
    """Compile the rows of a rule; `place` is the map that holds each, where and join."""
    texts = [] if isinstance(each, UnsetType) else each if isinstance(each, list) else [each]
    scoped = bool(join) or any(_name_of(text) for text in texts)
    names: Names = _RESERVED if scoped else None
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
        condition = leaves.path(place / "where", where)
        check_names(place / "where", condition, names)
    return _shared(Rows(steps=tuple(steps), joins=tuple(joins), where=condition)), names


@functools.lru_cache(maxsize=4096)
def _shared(rows: Rows) -> Rows:
    """Return one object for all equal rows: they are then looked up once in each answer."""
    return rows


def _name_of(text: str | StepText) -> str | None:
    return None if isinstance(text, str) or isinstance(text.name, UnsetType) else text.name


def _step(place: Place, text: str | StepText, names: Names, *, first: bool) -> tuple[Step, Names]:
    """Compile a step; the first one starts at the answer, whatever is named."""
    at, path = (place, text) if isinstance(text, str) else (place / "path", text.path)
    found = leaves.path(at, path)
    if not first:
        check_names(at, found, names)
    name = _name_of(text)
    if name is not None:
        _check_free(place / "as", name, names)
        names = (names or _RESERVED) | {name}
    optional = not isinstance(text, str) and text.optional
    return Step(path=found, name=name, optional=optional), names


def _join(place: Place, text: JoinText, names: Names) -> Join:
    _check_free(place / "as", text.name, names)
    key = leaves.path(place / "key", text.key)
    check_names(place / "key", key, names)
    return Join(
        name=text.name,
        table=leaves.path(place / "table", text.table),
        key=key,
        on=leaves.optional_path(place / "on", text.on),
    )


def _check_free(place: Place, name: str, names: Names) -> None:
    leaves.name(place, name)
    if name in _RESERVED:
        place.error(f'"{name}" has a meaning of its own: root is the answer, row the last row.')
    elif names is not None and name in names:
        place.error(f'"{name}" is taken by a step or join above. Write another name.')


def check_names(place: Place, selector: Selector, names: Names) -> None:
    """Refuse a plain path in a named scope that begins with none of its names."""
    if names is None or selector.plain is None or selector.plain[0] in names:
        return
    first = selector.plain[0]
    place.error(
        f'"{first}" is not among the names of this rule.{did_you_mean(first, names)} '
        f'Write "row.{selector.text}" for a field of the row itself.'
    )


def name_parts(place: Place, text: str, names: Names) -> NameParts:
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


def _hole(place: Place, text: str, names: Names) -> Selector:
    found = leaves.path(place, text)
    check_names(place, found, names)
    return found


def _check_constant(place: Place, text: str) -> None:
    if not _NAME.fullmatch(text):
        place.error(
            f'"{text}" is not the name of a resource. Write small letters, digits and '
            "underscores: api_requests."
        )
