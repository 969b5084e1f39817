"""Which rows a rule reads, and which names its paths see."""

import re
from typing import Final, TypeAlias

from msgspec import UNSET, UnsetType

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
    steps, names = _steps(place / "each", each)
    joins: list[Join] = []
    if join and names is None:
        names = _RESERVED
    for index, text in enumerate(join):
        joins.append(_join(place / "join" / index, text, names))
        names = (names or _RESERVED) | {text.name}
    condition = None
    if not isinstance(where, UnsetType):
        condition = leaves.path(place / "where", where)
        check_names(place / "where", condition, names)
    return Rows(steps=steps, joins=tuple(joins), where=condition), names


def _steps(place: Place, each: EachText | UnsetType) -> tuple[tuple[Step, ...], Names]:
    if isinstance(each, UnsetType):
        return (), None
    texts = each if isinstance(each, list) else [each]
    steps: list[Step] = []
    names: Names = None
    for index, text in enumerate(texts):
        at = place / index if isinstance(each, list) else place
        step = _step(at, text, names)
        if step.name is not None:
            _check_free(at / "as", step.name, names)
            names = (names or _RESERVED) | {step.name}
        steps.append(step)
    return tuple(steps), names


def _step(place: Place, text: str | StepText, names: Names) -> Step:
    if isinstance(text, str):
        step = Step(path=leaves.path(place, text))
        check_names(place, step.path, names)
        return step
    found = leaves.path(place / "path", text.path)
    check_names(place / "path", found, names)
    name = None if text.name is UNSET else str(text.name)
    return Step(path=found, name=name, optional=text.optional)


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
